"""JWTs: checked with PyJWT against one kind of key, and read as principals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
from jwt.types import Options

from dragoman.domain.errors import InvalidToken, TokenExpired
from dragoman.domain.identity import ORDINARY, Principal, Scope, is_name, known_scopes

LEEWAY = 5.0
"""Seconds by which two clocks may differ."""

HS256_KEY = 32
"""Bytes a shared secret should have at least."""


class KeySource(Protocol):
    """Keys of one kind, shared or public, so that neither can ever be used as the other."""

    @property
    def algorithms(self) -> frozenset[str]: ...

    async def keys(self, algorithm: str, key_id: str | None) -> Sequence[Any]:
        """The keys that may have signed a token whose header says so; none if it cannot be one of ours."""
        ...


class SharedSecrets:
    """Secrets that whoever issues the tokens knows as well."""

    algorithms = frozenset({"HS256"})

    def __init__(self, *secrets: str) -> None:
        # HMAC fills a short key up with zeros itself; doing so here says that its length was the operator's choice.
        self._keys = [secret.encode().ljust(HS256_KEY, b"\0") for secret in secrets]

    async def keys(self, algorithm: str, key_id: str | None) -> Sequence[bytes]:  # noqa: ARG002 - they have no names
        return self._keys


@dataclass(frozen=True, slots=True)
class Claims:
    """What is expected of tokens, and where they say what. A claim is named by its key or by a path, ``a.b``."""

    issuer: str | None = None
    audience: tuple[str, ...] = ()
    tenant: str | None = None  # without: everybody is in one tenant
    scopes: str | None = None  # without: everybody may do what ordinary users may

    def principal(self, claims: Mapping[str, Any]) -> Principal:
        user = _name(claims.get("sub")) or _name(claims.get("user_id"))
        if user is None:
            raise InvalidToken("Invalid token: missing user identifier")
        scopes = self._scopes(claims)
        if self.tenant is None:
            return Principal(user, scopes=scopes)
        tenant = _name(_at(claims, self.tenant))
        if tenant is None:
            raise InvalidToken("Invalid token: missing tenant")
        return Principal(user, tenant, scopes)

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[Scope]:
        said = None if self.scopes is None else _at(claims, self.scopes)
        match said:
            case None:
                return ORDINARY
            case str():
                return known_scopes(said.split())
            case list():
                return known_scopes(said)
            case _:
                return frozenset()


@dataclass(frozen=True, slots=True)
class Tokens:
    """``Verifier`` of JWTs."""

    source: KeySource
    claims: Claims

    async def verify(self, token: str) -> Principal:
        try:
            header = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, *_NONSENSE):
            raise InvalidToken from None
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self.source.algorithms:
            raise InvalidToken
        keys = await self.source.keys(algorithm, header.get("kid"))
        return self.claims.principal(self._signed(token, algorithm, keys))

    def _signed(self, token: str, algorithm: str, keys: Sequence[Any]) -> Mapping[str, Any]:
        """What a token says, once one of the keys has proved good and it is valid now, here and for us."""
        for key in keys:
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=[algorithm],
                    options=self._options(),
                    issuer=self.claims.issuer,
                    audience=self.claims.audience or None,
                    leeway=LEEWAY,
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.ExpiredSignatureError:
                raise TokenExpired from None
            except (jwt.PyJWTError, *_NONSENSE):
                raise InvalidToken from None
        raise InvalidToken

    def _options(self) -> Options:
        return {
            "require": ["exp"],
            "verify_aud": bool(self.claims.audience),  # many issuers always name one
            "verify_sub": False,  # a number will do
            "verify_jti": False,
            "enforce_minimum_key_length": True,
        }


_NONSENSE = (ValueError, TypeError, OverflowError, RecursionError)
"""What hostile JSON may cause where nobody expected it."""


def _at(claims: Mapping[str, Any], path: str) -> Any:
    if path in claims:  # a name may have dots of its own: https://example.com/tenant
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _name(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    text = str(value)
    return text if is_name(text) else None

"""The public keys of an identity provider: a JSON Web Key Set behind a URL."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import jwt
import orjson

from dragoman.domain.errors import IdentityUnavailable

logger = logging.getLogger(__name__)

FRESH = 300.0
"""Seconds for which a key set is trusted without being asked for again: how long a withdrawn key may still be good."""
FLOOR = 10.0
"""Seconds between two fetches at least, whatever tokens claim to be signed with."""
STALE = 86_400.0
"""Seconds for which old keys are good while the provider does not answer."""
PATIENCE = 5.0
MAX_BYTES = 262_144
MAX_KEYS = 100

FITTING: dict[tuple[str, str | None], tuple[str, ...]] = {
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
    ("EC", "P-256"): ("ES256",),
    ("RSA", None): ("RS256", "PS256"),
}
"""Which algorithms a key of a type and curve is for. A key that is not public is for none."""

FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError)

Key = tuple[str | None, jwt.PyJWK]  # with its id


class Jwks:
    """``KeySource``. Keys are fetched when they are first needed, when they are old, and when a token names one that is
    not there: then the provider may have a new one. All who wait for them wait for the same fetch."""

    algorithms = frozenset(algorithm for found in FITTING.values() for algorithm in found)

    def __init__(self, url: str, *, fresh: float = FRESH, floor: float = FLOOR, stale: float = STALE) -> None:
        self._url = url
        self._fresh, self._floor, self._stale = fresh, floor, stale
        self._keys: Mapping[str, Sequence[Key]] = {}  # by algorithm
        self._fetched: float | None = None  # when that went well for the last time
        self._tried: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    async def keys(self, algorithm: str, key_id: str | None) -> Sequence[jwt.PyJWK]:
        if self._age(self._fetched) >= self._fresh:
            await self._fetch()
        found = self._find(algorithm, key_id)
        if not found:
            await self._fetch()
            found = self._find(algorithm, key_id)
        if not found and self._fetched != self._tried:
            raise IdentityUnavailable
        return found

    def _find(self, algorithm: str, key_id: str | None) -> Sequence[jwt.PyJWK]:
        """A token without an id is for the only key there is, if there is only one."""
        if self._age(self._fetched) >= self._stale:
            return []
        keys = self._keys.get(algorithm, ())
        if key_id is None:
            return [keys[0][1]] if len(keys) == 1 else []
        return [key for id, key in keys if id == key_id]

    async def _fetch(self) -> None:
        """Unless that was tried a moment ago. Who leaves while it goes on leaves it to the others."""
        if self._fetching is None or self._fetching.done():
            if self._age(self._tried) < self._floor:
                return
            self._fetching = asyncio.get_running_loop().create_task(self._refresh(), name="jwks")
        await asyncio.shield(self._fetching)

    async def _refresh(self) -> None:
        self._tried = asyncio.get_running_loop().time()
        try:
            keys = read_keys(await _get(self._url))
        except FAILURES as error:
            logger.warning("the keys of the identity provider cannot be fetched: %s", type(error).__name__)
            return
        self._keys, self._fetched = keys, self._tried

    def _age(self, moment: float | None) -> float:
        return float("inf") if moment is None else asyncio.get_running_loop().time() - moment


async def algorithms_at(url: str) -> Sequence[str]:
    """What the keys behind a URL are for. ``IdentityUnavailable`` if there is no key set."""
    try:
        return sorted(read_keys(await _get(url)))
    except FAILURES:
        raise IdentityUnavailable from None


async def _get(url: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with (
        aiohttp.ClientSession(timeout=timeout, headers={"accept": "application/json"}) as http,
        http.get(url, allow_redirects=False) as answer,
    ):
        if answer.status != 200:
            raise ValueError(f"status {answer.status}")
        body = b""
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > MAX_BYTES:
                raise ValueError("too much")
        return body


def read_keys(body: bytes) -> dict[str, list[Key]]:
    """The keys of a set that can be used here, by algorithm. ``ValueError`` if it is none."""
    document = orjson.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a key set")  # noqa: TRY004 - as wrong as JSON that is none
    keys: dict[str, list[Key]] = {}
    for entry in entries[:MAX_KEYS]:
        for algorithm in _algorithms(entry):
            try:
                keys.setdefault(algorithm, []).append((entry.get("kid"), jwt.PyJWK(entry, algorithm)))
            except (jwt.PyJWTError, ValueError, TypeError):
                logger.warning("a key of the identity provider makes no sense")
    return keys


def _algorithms(entry: Any) -> Sequence[str]:
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or "d" in entry:
        return ()
    kind = str(entry.get("kty"))
    fitting = FITTING.get((kind, None if kind == "RSA" else str(entry.get("crv"))), ())
    named = entry.get("alg")
    return fitting if named is None or kind == "OKP" else [name for name in fitting if name == named]

"""Bearer tokens: an ``Authorization`` header holds a JWT or an API key, told apart by how they begin."""

from dataclasses import dataclass
from typing import Protocol

from dragoman.domain.errors import InvalidToken, NotAuthenticated
from dragoman.domain.identity import Principal

MAX_TOKEN = 8192
"""Longer ones are not even looked at."""


class Verifier(Protocol):
    async def verify(self, token: str) -> Principal:
        """The principal a token was made for. ``NotAuthenticated`` and its kin if it is not good."""
        ...


@dataclass(frozen=True, slots=True)
class BearerAuthenticator:
    """``Authenticator``. ``verifiers`` by what their tokens begin with; the first that fits is asked."""

    verifiers: tuple[tuple[str, Verifier], ...]

    async def authenticate(self, authorization: str | None) -> Principal:
        scheme, _, token = (authorization or "").strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise NotAuthenticated
        verifier = next((found for prefix, found in self.verifiers if token.startswith(prefix)), None)
        if verifier is None or len(token) > MAX_TOKEN or not token.isascii():
            raise InvalidToken
        return await verifier.verify(token)

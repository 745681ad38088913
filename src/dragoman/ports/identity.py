"""Who sent a request."""

from typing import Protocol

from dragoman.domain.identity import Principal


class Authenticator(Protocol):
    async def authenticate(self, authorization: str | None) -> Principal:
        """The principal behind an ``Authorization`` header. ``NotAuthenticated`` if there is none, ``IdentityUnavailable``
        or ``StorageUnavailable`` if that cannot be found out at the moment."""
        ...

"""Implementations of ``ports.identity.Authenticator``."""

from dragoman.domain.identity import LOCAL, Principal


class LocalAuthenticator:
    """No authentication: everybody is the one local user."""

    async def authenticate(self, authorization: str | None) -> Principal:  # noqa: ARG002 - whoever it is
        return LOCAL

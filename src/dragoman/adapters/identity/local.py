"""No authentication."""

from dragoman.domain.identity import LOCAL, Principal


class LocalAuthenticator:
    """Everybody is the one local user."""

    async def authenticate(self, authorization: str | None) -> Principal:  # noqa: ARG002 - whoever it is
        return LOCAL

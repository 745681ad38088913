"""The web, for addresses that somebody gave whom nobody trusts: callers, models, pages.

Such an address may lead back into the operator's own network: to a database, a router, the metadata of a cloud. So it is
``http`` or ``https``, and every host it names must have public addresses only, unless the operator trusts that host.
"""

from dataclasses import dataclass
from typing import Protocol

MAX_URL = 2048


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was found: where redirects led to, the status, the kind, and the body."""

    url: str
    status: int
    content_type: str
    body: bytes


class UrlGuard(Protocol):
    async def check(self, url: str) -> None:
        """Whether somebody else, a model's endpoint say, may be sent there. ``UrlRefused`` if not. A name that is not found
        here passes: whoever goes there will not find it either."""
        ...


class Web(UrlGuard, Protocol):
    async def fetch(
        self, url: str, *, max_bytes: int, timeout: float, headers: dict[str, str] | None = None
    ) -> Fetched:
        """Get what is there, following redirects. Each address is looked up once and checked, and the connection goes to
        just that address. ``UrlRefused`` if it may not be fetched; ``FetchFailed`` if it cannot be, takes longer than
        ``timeout`` seconds in all, or is larger than ``max_bytes``. A status that tells of an error is an answer."""
        ...


class Unguarded:
    """``UrlGuard`` that lets everything pass."""

    async def check(self, url: str) -> None:
        pass

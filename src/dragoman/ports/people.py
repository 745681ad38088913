"""One person's things, all of them: read for an export, and removed for good."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from dragoman.domain.identity import Principal
from dragoman.domain.people import Kind

Place = tuple[Any, ...]
"""Where a page of things ended."""


class PeopleStore(Protocol):
    """Every method is one short transaction, about the user and the tenant of ``person``."""

    async def page(
        self, person: Principal, kind: Kind, after: Place | None, limit: int
    ) -> Sequence[tuple[Place, object]]:
        """Things of this kind, in an order of their own, each with its place. They are the nouns of the domain."""
        ...

    async def holds(self, person: Principal) -> int:
        """How many of their conversations must be kept."""
        ...

    async def stop(self, person: Principal, at: datetime, limit: int) -> Sequence[str]:
        """Revoke their API keys, and end some of their unfinished runs so that no player adds to them. Returns the ids of
        these runs."""
        ...

    async def remove(self, person: Principal, kind: Kind, limit: int) -> int:
        """Remove at most ``limit`` things of this kind, one of ``REMOVED``; of runs only those that have ended, of
        conversations those that no run is left in. Returns how many."""
        ...

    async def rename(self, person: Principal, pseudonym: str, limit: int) -> int:
        """Where what belongs to others, or the audit log, names them, write ``pseudonym`` instead; in at most ``limit``
        places of each sort. Returns how many."""
        ...

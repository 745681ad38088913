"""Due things, claimed as runs are: exclusively, for a while, by processes that may die at any moment."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from dragoman.domain.schedules import Schedule
from dragoman.ports.runs import Claim


class ScheduleStore(Protocol):
    """Every method is one short transaction. A database that fails raises ``StorageUnavailable``."""

    async def enter(self, due: Mapping[str, datetime]) -> None:
        """Make sure that these are there, by name, and due at the given time at the latest."""
        ...

    async def all(self) -> Sequence[Schedule]:
        """By name."""
        ...

    async def claim(self, claim: Claim, names: Collection[str], *, early: bool = False) -> Sequence[Schedule]:
        """Take those that are due and that nobody holds; with ``early`` also those that are not due yet. Of any number of
        claimants one gets each."""
        ...

    async def renew(self, claim: Claim, schedule: Schedule) -> bool:
        """Hold on to one until ``claim.until``; ``False`` if somebody else has begun it since."""
        ...

    async def end(self, schedule: Schedule, *, due_at: datetime, result: str, failed: bool = False) -> bool:
        """Say how it went, and when it is due again; ``False``, and nothing is said, if somebody else has begun it since."""
        ...

    async def release(self, schedule: Schedule) -> None:
        """Give one back undone. It is due as it was."""
        ...

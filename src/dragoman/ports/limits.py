"""Counting requests where all processes can see it."""

from typing import Protocol

from dragoman.domain.limits import Subject


class RequestCounts(Protocol):
    """Every method is one short transaction."""

    async def add(self, subject: Subject, minute: int, wanted: int, limit: int) -> int | None:
        """Count ``wanted`` more requests of somebody in a minute (since 1970). Returns how many there are then, perhaps more
        than ``limit``; ``None``, and nothing is counted, if there were as many already."""
        ...

    async def forget(self, before: int, limit: int) -> int:
        """Remove what was counted before a minute, at most so many. How many that were."""
        ...

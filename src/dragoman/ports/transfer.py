"""Places that keep conversations by name: ours, and those that conversations come from or go to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dragoman.domain.items import Content


@dataclass(frozen=True, slots=True)
class Entry:
    """An item as a place keeps it."""

    content: Content
    at: datetime | None = None
    id: str = ""  # the place's own name for it


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation as a place keeps it. Without a ``version`` it does not exist there."""

    entries: tuple[Entry, ...] = ()  # oldest first; of several branches the current one
    unreadable: tuple[str, ...] = ()  # what else is there, and what is wrong with it
    version: str | None = None  # another one whenever something was added or removed


class Shelf(Protocol):
    """Every method is one short transaction. A database that fails raises ``StorageUnavailable``."""

    async def keys(self) -> Sequence[str]:
        """The names of all conversations that hold anything."""
        ...

    async def read(self, key: str) -> Kept: ...

    async def extend(self, key: str, kept: Kept, keep: int, entries: Sequence[Entry]) -> None:
        """Let a conversation go on with ``entries`` after the first ``keep`` of those that were read; make it if there is none.

        ``Conflict``, and nothing has happened, if it has changed since, or somebody is at work in it.
        """
        ...

"""Where research looks: the web, or documents of one's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that was found: where it stands, and the words that fit."""

    title: str
    url: str
    text: str


class SearchEngine(Protocol):
    @property
    def leads_outside(self) -> bool:
        """Whether what it finds stands on the web, where there is more of it to read."""
        ...

    async def search(self, query: str, limit: int) -> Sequence[Hit]:
        """The best first, at most ``limit``; none if there is nothing. ``FetchFailed`` if it cannot be asked."""
        ...

"""A conversation's items: the history a turn starts from, and what its owner reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dragoman.domain.conversations import Conversation
from dragoman.domain.identity import Principal
from dragoman.domain.items import Item


@dataclass(frozen=True, slots=True)
class ItemPage:
    conversation: Conversation
    items: tuple[Item, ...]  # oldest first
    has_more: bool  # there are older ones


class SessionStore(Protocol):
    """Every method is one short transaction and sees only the principal's own conversations."""

    async def history(self, principal: Principal, item_id: str | None, limit: int) -> Sequence[Item]:
        """At most ``limit`` items of the branch that ends with ``item_id``, oldest first. Its cost depends on ``limit`` only."""
        ...

    async def page(self, principal: Principal, session_id: str, *, limit: int, before: str | None = None) -> ItemPage:
        """The newest items of a conversation, or those before the item ``before``. ``NotFound`` if there is no such
        conversation."""
        ...

    async def delete(self, principal: Principal, session_id: str) -> Sequence[str]:
        """Remove a conversation with its items, runs and logs. Returns the ids of the runs that were unfinished. The name may
        be used again. ``NotFound`` if there is no such conversation."""
        ...

"""Conversations: the history a turn starts from, and what their owner reads and arranges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dragoman.domain.audit import AuditEntry
from dragoman.domain.conversations import Branch, Change, Comparison, Conversation, ConversationStatus, Search
from dragoman.domain.identity import Principal
from dragoman.domain.items import Item, NewItem
from dragoman.domain.runs import Run

BUSY = "A run is in progress in this conversation; wait for its end."


@dataclass(frozen=True, slots=True)
class ItemPage:
    conversation: Conversation
    items: tuple[Item, ...]  # oldest first
    has_more: bool  # there are more in the direction that was asked for: older ones, or newer ones after a place


@dataclass(frozen=True, slots=True)
class ConversationPage:
    conversations: tuple[Conversation, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class BranchPage:
    branches: tuple[Branch, ...]
    next: str | None


class SessionStore(Protocol):
    """Every method is one short transaction and sees only the principal's own conversations.

    A conversation is named by its id or by the name its owner gave it; ``NotFound`` if there is none. An item or a branch
    that is not in it: ``Invalid``, with the name of the argument as the field.
    """

    async def history(self, principal: Principal, item_id: str | None, limit: int) -> Sequence[Item]:
        """At most ``limit`` items of the path that ends with ``item_id``, oldest first, without those that are withheld.
        Its cost depends on ``limit`` only."""
        ...

    async def end_of(self, principal: Principal, run: Run) -> str | None:
        """The last item that a run has added to its conversation."""
        ...

    async def create(self, conversation: Conversation) -> Conversation:
        """A conversation without items, whose first branch is ``conversation.branch``. ``NameTaken`` if its owner has one of
        that name."""
        ...

    async def find(self, principal: Principal, name: str) -> Conversation: ...

    async def list(
        self,
        principal: Principal,
        *,
        search: Search | None = None,
        status: ConversationStatus | None = None,
        agent: str | None = None,
        tag: str | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> ConversationPage:
        """The principal's conversations, those with the latest message first; ``after`` is the ``next`` of an earlier page,
        ``Invalid`` if it is not. A search finds a conversation by its title, once it has been given one, and by any message
        on any branch."""
        ...

    async def speakers(self, principal: Principal, conversation_ids: Sequence[str]) -> Mapping[str, str]:
        """The agent that the run ended with which the current branch of each conversation ends: the one that was asked, or the
        last that took over from it. Those of somebody else, and those in which no agent was asked yet, are missing."""
        ...

    async def change(self, principal: Principal, name: str, change: Change) -> Conversation:
        """Change what ``change`` names. Another branch is where new messages go; runs stay on theirs."""
        ...

    async def page(
        self,
        principal: Principal,
        name: str,
        *,
        limit: int,
        before: str | None = None,
        after: str | None = None,
        branch: str | None = None,
    ) -> ItemPage:
        """The newest items of a branch, the current one if none is named, or those before the item ``before``. Its cost
        depends on ``limit`` only. Or the oldest ones after the item ``after``, or after ``START``: its cost depends on how
        many come after that."""
        ...

    async def item(self, principal: Principal, name: str, item_id: str) -> Item:
        """One item, on whichever branch; ``NotFound`` if it is not in this conversation."""
        ...

    async def add(self, principal: Principal, name: str, items: Sequence[NewItem]) -> Sequence[Item]:
        """Let the current branch go on with items that no run has said. As a message does, they title a conversation that has
        no title, and make it active. ``ConversationBusy`` while a run in it is unfinished."""
        ...

    async def remove(self, principal: Principal, name: str, item_id: str) -> Conversation:
        """Take an item out: what followed it follows what stood before it, on every branch. ``NotFound`` if it is not in
        this conversation, ``OnHold`` if that must be kept, ``ConversationBusy`` while a run in it is unfinished."""
        ...

    async def fork(self, principal: Principal, name: str, at: str) -> Branch:
        """Begin a branch at an item, or at ``START``, and make it the current one. Nothing is copied."""
        ...

    async def branches(
        self, principal: Principal, name: str, *, after: str | None = None, limit: int = 20
    ) -> BranchPage:
        """The branches of a conversation, newest first."""
        ...

    async def compare(
        self, principal: Principal, name: str, branch: str | None, other: str, *, limit: int
    ) -> Comparison:
        """Where two branches part, and at most ``limit`` of the newest items of each since then. Its cost depends on how
        much they differ."""
        ...

    async def put_away(self, before: datetime, limit: int) -> int:
        """Make active conversations inactive, anybody's, in which nothing was said since ``before``; at most so many. How many
        that were."""
        ...

    async def remove_old(self, before: datetime, limit: int) -> int:
        """Remove conversations, anybody's, in which nothing was said since ``before`` and no run is unfinished, with all that
        is in them; at most so many. How many that were."""
        ...

    async def hold(self, tenant: str, conversation_id: str, hold: bool, entry: AuditEntry) -> Conversation:
        """Set or release the hold on a conversation, anybody's in the tenant; ``NotFound`` if it has none of that id. The
        entry is written to the audit log in the same transaction, with the owner as ``user`` in its detail; not if nothing
        changes."""
        ...

    async def delete(self, principal: Principal, name: str) -> Sequence[str]:
        """Remove a conversation with its items, runs and logs; ``OnHold`` if it must be kept. Returns the ids of the runs that were unfinished. The name may
        be used again."""
        ...

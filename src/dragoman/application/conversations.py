"""The verbs of a conversation: create, list, read, change, branch, delete."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dragoman.application.log import LiveLog
from dragoman.application.runs import checked_input, checked_session_id
from dragoman.domain.audit import AuditAction, audit_entry
from dragoman.domain.conversations import (
    Branch,
    Change,
    Comparison,
    Conversation,
    ConversationStatus,
    checked_tags,
    checked_title,
    search_for,
)
from dragoman.domain.errors import ConversationDeleted, Forbidden, Invalid, SessionsDisabled
from dragoman.domain.events import RunFailed
from dragoman.domain.identity import Principal
from dragoman.domain.ids import branch_id, conversation_id, is_conversation_id
from dragoman.domain.items import Content, Item, ItemStatus, NewItem
from dragoman.domain.runs import Run
from dragoman.domain.text import storable_json
from dragoman.ports.clock import Clock
from dragoman.ports.sessions import BranchPage, ConversationPage, ItemPage, SessionStore
from dragoman.ports.signals import Signals


@dataclass(frozen=True, slots=True)
class Conversations:
    """``name`` is a conversation's id, or the name its owner gave it."""

    sessions: SessionStore
    log: LiveLog
    signals: Signals
    clock: Clock
    enabled: bool = True

    async def create(
        self,
        principal: Principal,
        *,
        session_id: str | None = None,
        agent: str = "",
        title: str | None = None,
        tags: Iterable[str] = (),
        metadata: dict[str, Any] | None = None,
        items: Sequence[Content] = (),
    ) -> Conversation:
        """A conversation in which nothing is said yet, or what somebody brings. Without a title it gets one from its first
        message."""
        self._check_enabled()
        brought = new_items(items) if items else ()
        now = self.clock.now()
        conversation = Conversation(
            id=conversation_id(),
            tenant=principal.tenant,
            owner=principal.user,
            key=checked_name(session_id),
            agent=agent,
            branch=branch_id(),
            head=None,
            created_at=now,
            updated_at=now,
            last_message_at=now,
            title="" if title is None else checked_title(title),
            tags=checked_tags(tags),
            metadata=storable_json(metadata or {}),
        )
        created = await self.sessions.create(conversation)
        if brought:
            await self.sessions.add(principal, created.id, brought)
        return created

    async def get(self, principal: Principal, name: str) -> Conversation:
        self._check_enabled()
        return await self.sessions.find(principal, name)

    async def list(
        self,
        principal: Principal,
        *,
        query: str | None = None,
        status: ConversationStatus | None = None,
        agent: str | None = None,
        tag: str | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> ConversationPage:
        """The principal's conversations, those with the latest message first. Words in ``query`` are looked for in titles
        and messages; nothing else in it means anything."""
        self._check_enabled()
        search = None if query is None else search_for(query)
        if search is not None and search.empty:
            return ConversationPage((), next=None)
        return await self.sessions.list(
            principal, search=search, status=status, agent=agent, tag=tag, after=after, limit=limit
        )

    async def speakers(self, principal: Principal, conversation_ids: Sequence[str]) -> Mapping[str, str]:
        """Which agent spoke last in each of these conversations, where one has."""
        self._check_enabled()
        return await self.sessions.speakers(principal, conversation_ids)

    async def change(self, principal: Principal, name: str, change: Change) -> Conversation:
        self._check_enabled()
        checked = replace(
            change,
            title=None if change.title is None else checked_title(change.title),
            tags=None if change.tags is None else checked_tags(change.tags),
            metadata=storable_json(change.metadata),
        )
        return await self.sessions.change(principal, name, checked)

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
        self._check_enabled()
        return await self.sessions.page(principal, name, limit=limit, before=before, after=after, branch=branch)

    async def item(self, principal: Principal, name: str, item_id: str) -> Item:
        self._check_enabled()
        return await self.sessions.item(principal, name, item_id)

    async def add(self, principal: Principal, name: str, items: Sequence[Content]) -> Sequence[Item]:
        """Let a conversation go on with items that somebody brings: nobody answers them."""
        self._check_enabled()
        return await self.sessions.add(principal, name, new_items(items))

    async def remove(self, principal: Principal, name: str, item_id: str) -> Conversation:
        """Take one item out of a conversation; the rest closes up."""
        self._check_enabled()
        return await self.sessions.remove(principal, name, item_id)

    async def end_of(self, principal: Principal, run: Run) -> str | None:
        """The last item that a run has added to its conversation."""
        self._check_enabled()
        return await self.sessions.end_of(principal, run)

    async def until(self, principal: Principal, run: Run, limit: int) -> Sequence[Item]:
        """At most ``limit`` items of the history that ends with what a run has added."""
        return await self.sessions.history(principal, await self.end_of(principal, run), limit)

    async def fork(self, principal: Principal, name: str, at: str) -> Branch:
        """A new branch that goes on after the item ``at``; it becomes the current one."""
        self._check_enabled()
        return await self.sessions.fork(principal, name, at)

    async def branches(self, principal: Principal, name: str, *, after: str | None = None, limit: int) -> BranchPage:
        self._check_enabled()
        return await self.sessions.branches(principal, name, after=after, limit=limit)

    async def compare(
        self, principal: Principal, name: str, branch: str | None, other: str, *, limit: int
    ) -> Comparison:
        self._check_enabled()
        return await self.sessions.compare(principal, name, branch, other, limit=limit)

    async def delete(self, principal: Principal, name: str) -> None:
        """Really gone, with its runs. Whoever watches one of them is told."""
        self._check_enabled()
        checked_session_id(name)
        self.dismiss(await self.sessions.delete(principal, name), session_id=name)

    async def hold(self, principal: Principal, conversation_id: str, *, hold: bool) -> Conversation:
        """An administrator says that a conversation of the tenant must be kept, or need not be any more."""
        self._check_enabled()
        if not principal.may("admin"):
            raise Forbidden("admin")
        action: AuditAction = "conversation.held" if hold else "conversation.released"
        entry = audit_entry(principal, action, self.clock.now(), target=conversation_id)
        return await self.sessions.hold(principal.tenant, conversation_id, hold, entry)

    def dismiss(self, gone: Collection[str], *, session_id: str | None = None) -> None:
        """Tell whoever watches or plays these runs that they are no more."""
        for run_id in gone:
            if channel := self.log.get(run_id):
                channel.dismiss(RunFailed(ConversationDeleted.code, ConversationDeleted.message, session_id=session_id))
        if gone:  # whoever plays them elsewhere finds that they are not his any more
            self.signals.send("asked", gone)

    def _check_enabled(self) -> None:
        if not self.enabled:
            raise SessionsDisabled


def new_items(given: Sequence[Content]) -> tuple[NewItem, ...]:
    """What is brought as it is kept: an answer that says it is incomplete stays so."""
    statuses: list[ItemStatus] = ["incomplete" if item.get("status") == "incomplete" else "completed" for item in given]
    kept = checked_input(given, field="items")
    return tuple(NewItem(content, status) for content, status in zip(kept, statuses, strict=True))


def checked_name(session_id: str | None) -> str | None:
    """A name for a new conversation."""
    if session_id is not None and is_conversation_id(session_id):
        raise Invalid("A name must not look like the id of a conversation.", field="session_id")
    return checked_session_id(session_id)

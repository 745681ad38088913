"""Conversations read and written by their owner directly, without a run: imports, exports, code that uses only the SDK."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from dragoman.adapters.sql.branches import begin_branch, fork
from dragoman.adapters.sql.engine import Engine, Script
from dragoman.adapters.sql.items import GROW, LOCK, Addition, chain, forget
from dragoman.adapters.sql.rows import conversation_from, micros
from dragoman.adapters.sql.runs import ENTER, NEWEST_UNFINISHED
from dragoman.adapters.sql.sessions import FIND_BY_ID, FIND_BY_NAME, SqlSessions
from dragoman.domain.conversations import START, Conversation, title_from
from dragoman.domain.errors import Conflict, ConversationBusy, NotFound
from dragoman.domain.identity import Principal
from dragoman.domain.ids import branch_id, conversation_id, is_conversation_id
from dragoman.domain.items import Content, NewItem
from dragoman.ports.sessions import BUSY
from dragoman.ports.transfer import Entry, Kept

ALL = 2**31 - 1

NAMES = """
SELECT COALESCE(key, conversations.id) FROM conversations JOIN branches ON branches.id = conversations.branch
WHERE tenant = :tenant AND owner = :owner AND head IS NOT NULL AND status <> 'hidden' ORDER BY conversations.id
"""
SAID_AT = "UPDATE items SET created_at = :at WHERE id = :id"
ITEM = "SELECT parent, content FROM items WHERE id = :id"

# What a run has written, or another branch stands on, stays: only the branch ends before it.
DROP = """
DELETE FROM items WHERE id = :id AND run_id IS NULL
  AND NOT EXISTS (SELECT 1 FROM branches WHERE conversation_id = :conversation_id AND head = :id)
  AND NOT EXISTS (SELECT 1 FROM items AS next WHERE next.conversation_id = :conversation_id AND next.parent = :id)
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class SqlShelf:
    """``Shelf``: the conversations of one principal, by name or id. ``agent`` is whose a new one is."""

    engine: Engine
    principal: Principal
    agent: str

    async def keys(self) -> Sequence[str]:
        return await self.engine.read(self.principal, _names, self.principal)

    async def read(self, key: str, limit: int = ALL) -> Kept:
        """``limit``: of the newest entries, at most so many."""
        conversation = await self.engine.read(self.principal, _find, self.principal, key)
        if conversation is None:
            return Kept()
        items = await SqlSessions(self.engine).history(self.principal, conversation.head, limit)
        return Kept(
            tuple(Entry(item.content, item.created_at, item.id) for item in items), version=_version(conversation)
        )

    async def extend(self, key: str, kept: Kept, keep: int, entries: Sequence[Entry]) -> None:
        await self.engine.write(self.principal, _extend, self, key, kept, keep, entries)

    async def append(self, key: str, entries: Sequence[Entry]) -> None:
        """Let a conversation go on from where it is."""
        await self.engine.write(self.principal, _append, self, key, entries)

    async def pop(self, key: str) -> Content | None:
        """Take the newest item away."""
        return await self.engine.write(self.principal, _pop, self.principal, key)

    async def clear(self, key: str) -> None:
        """Remove the conversation with everything in it, if there is one."""
        try:
            await SqlSessions(self.engine).delete(self.principal, key)
        except NotFound:
            return


def _names(principal: Principal) -> Script[Sequence[str]]:
    rows = yield NAMES, {"tenant": principal.tenant, "owner": principal.user}
    return [name for (name,) in rows]


def _find(principal: Principal, name: str) -> Script[Conversation | None]:
    find = FIND_BY_ID if is_conversation_id(name) else FIND_BY_NAME
    rows = yield find, {"tenant": principal.tenant, "owner": principal.user, "name": name}
    return conversation_from(rows[0]) if rows else None


def _version(conversation: Conversation) -> str:
    return f"{conversation.branch} {conversation.head}"


def _extend(shelf: SqlShelf, name: str, kept: Kept, keep: int, entries: Sequence[Entry]) -> Script[None]:
    conversation = yield from _entered(shelf, name, entries)
    changed = _version(conversation) != kept.version if kept.version else conversation.head is not None
    if changed:
        raise Conflict("The conversation has changed since it was read.")
    branch = conversation.branch
    if keep < len(kept.entries):
        place = kept.entries[keep - 1].id if keep else START
        branch = (yield from fork(conversation, place, datetime.now(UTC))).id
    yield from _add(conversation.id, branch, entries)


def _append(shelf: SqlShelf, name: str, entries: Sequence[Entry]) -> Script[None]:
    conversation = yield from _entered(shelf, name, entries)
    yield from _add(conversation.id, conversation.branch, entries)


def _pop(principal: Principal, name: str) -> Script[Content | None]:
    conversation = yield from _held(principal, name)
    if conversation is None or conversation.head is None:
        return None
    ((parent, content),) = yield ITEM, {"id": conversation.head}
    yield GROW, {"branch": conversation.branch, "head": parent}
    dropped = yield DROP, {"id": conversation.head, "conversation_id": conversation.id}
    for (id,) in dropped:
        yield from forget(id, conversation.id)
    popped: Content = orjson.loads(content)
    return popped


def _entered(shelf: SqlShelf, name: str, entries: Sequence[Entry]) -> Script[Conversation]:
    """The conversation, made if there is none, in which nobody else is at work until the end of the transaction."""
    conversation = yield from _held(shelf.principal, name)
    if conversation is None:
        yield from _create(shelf, name, entries)
        conversation = yield from _held(shelf.principal, name)
    assert conversation is not None
    return conversation


def _create(shelf: SqlShelf, name: str, entries: Sequence[Entry]) -> Script[None]:
    if is_conversation_id(name):
        raise NotFound("conversation", name)
    at = entries[0].at or datetime.now(UTC)
    new = {"id": conversation_id(), "branch": branch_id(), "key": name, "agent": shelf.agent, "now": micros(at)}
    whose = {"tenant": shelf.principal.tenant, "owner": shelf.principal.user}
    ((id, _, branch),) = yield (
        ENTER,
        {**new, **whose, "status": "active", "title": title_from(entry.content for entry in entries)},
    )
    if branch == new["branch"]:
        yield from begin_branch(branch, id, None, at)


def _held(principal: Principal, name: str) -> Script[Conversation | None]:
    conversation = yield from _find(principal, name)
    if conversation is None:
        return None
    yield LOCK, {"conversation_id": conversation.id}
    ((unfinished,),) = yield NEWEST_UNFINISHED, {"conversation_id": conversation.id}
    if unfinished is not None:
        raise ConversationBusy(BUSY)
    return (yield from _find(principal, name))  # as whoever held it before has left it


def _add(conversation_id: str, branch: str, entries: Sequence[Entry]) -> Script[None]:
    items = [NewItem(entry.content, _status(entry.content)) for entry in entries]
    last = next((entry.at for entry in reversed(entries) if entry.at), None)
    yield from chain([Addition(conversation_id, branch, None, items)], micros(last or datetime.now(UTC)))
    times: list[dict[str, Any]] = [
        {"id": item.id, "at": micros(entry.at)} for item, entry in zip(items, entries, strict=True) if entry.at
    ]
    if times:
        yield SAID_AT, times


def _status(content: Content) -> Any:
    return "incomplete" if content.get("status") == "incomplete" else "completed"

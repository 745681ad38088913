"""Conversations as their owner and their next turn read them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from dragoman.adapters.sql.audit import audited
from dragoman.adapters.sql.branches import begin_branch, common_item, fork, head_of, list_branches
from dragoman.adapters.sql.engine import SERVER, Dialect, Engine, Script, administrator_of
from dragoman.adapters.sql.items import FIND_BY, LOCK, Addition, chain, found_by, take_out
from dragoman.adapters.sql.rows import (
    CONVERSATION,
    ITEM,
    conversation_from,
    conversation_params,
    dumps_or_null,
    item_from,
    micros,
    now,
)
from dragoman.adapters.sql.runs import NEWEST_UNFINISHED
from dragoman.domain.audit import AuditEntry, about
from dragoman.domain.conversations import (
    START,
    Branch,
    Change,
    Comparison,
    Conversation,
    ConversationStatus,
    Search,
    bookmark,
    place_of,
    title_from,
    words_of,
)
from dragoman.domain.errors import ConversationBusy, Invalid, NameTaken, NotFound, OnHold
from dragoman.domain.identity import Principal
from dragoman.domain.ids import is_conversation_id
from dragoman.domain.items import WITHHELD, Item, NewItem
from dragoman.domain.runs import Run
from dragoman.ports.sessions import BUSY, BranchPage, ConversationPage, ItemPage

SELECT = f"SELECT {CONVERSATION} FROM conversations JOIN branches ON branches.id = conversations.branch"  # noqa: S608
FIND_BY_ID = f"{SELECT} WHERE conversations.id = :name AND tenant = :tenant AND owner = :owner"
FIND_BY_NAME = f"{SELECT} WHERE tenant = :tenant AND owner = :owner AND key = :name"

CREATE = """
INSERT INTO conversations (id, tenant, owner, key, title, agent, tags, metadata, status, hold, branch, last_seq,
  created_at, updated_at, last_message_at)
VALUES (:id, :tenant, :owner, :key, :title, :agent, :tags, :metadata, :status, :hold, :branch, 0,
  :created_at, :updated_at, :last_message_at)
ON CONFLICT (tenant, owner, key) DO NOTHING RETURNING id
"""

SPEAKER = """
SELECT conversations.id, runs.agent,
  (SELECT content FROM events WHERE run_id = runs.id AND kind = 'agent' ORDER BY position DESC LIMIT 1)
FROM conversations JOIN branches ON branches.id = conversations.branch
  JOIN items ON items.id = branches.head JOIN runs ON runs.id = items.run_id
WHERE conversations.id = :id AND conversations.tenant = :tenant AND conversations.owner = :owner
"""

CHANGE = """
UPDATE conversations SET updated_at = :now, title = COALESCE(CAST(:title AS TEXT), title),
  status = COALESCE(CAST(:status AS TEXT), status), tags = COALESCE(CAST(:tags AS TEXT), tags),
  metadata = COALESCE(CAST(:metadata AS TEXT), metadata), branch = COALESCE(CAST(:branch AS TEXT), branch)
WHERE id = :conversation_id
"""

# A tag is looked for as it stands in the JSON, quotes included; no tag can look like the end of one and the start of another.
LIST = f"""
{SELECT}
WHERE tenant = :tenant AND owner = :owner AND (last_message_at, conversations.id) < (:at, :id)
  AND status <> 'hidden' AND (CAST(:status AS TEXT) IS NULL OR status = :status)
  AND (CAST(:agent AS TEXT) IS NULL OR agent = :agent)
  AND (CAST(:tag AS TEXT) IS NULL OR replace(tags, :tag, '') <> tags)
"""
NEWEST_FIRST = "ORDER BY last_message_at DESC, conversations.id DESC LIMIT :limit"
AFTER_ALL = (datetime.max.replace(tzinfo=UTC), "zzzz")

FOUND: Mapping[Dialect, str] = {
    "sqlite": """AND conversations.id IN (SELECT conversation_id FROM findable WHERE number IN (
      SELECT rowid FROM findable_words WHERE findable_words MATCH :words))""",
    "postgresql": """AND conversations.id IN (
      SELECT found FROM conversations_with(CAST(:words AS tsquery)) AS found)""",
}

# From an item upwards, at most :limit of those that count, and not as far as :until: what lies above is never touched.
PATH = f"""
WITH RECURSIVE path (id, conversation_id, parent, run_id, content, created_at, status, nth) AS (
  SELECT items.id, conversation_id, parent, run_id, content, items.created_at, items.status, {{counted}}
  FROM items JOIN conversations ON conversations.id = items.conversation_id
  WHERE items.id = :item_id AND items.id <> :until AND tenant = :tenant AND owner = :owner
  UNION ALL
  SELECT items.id, items.conversation_id, items.parent, items.run_id, items.content, items.created_at, items.status,
    nth + {{counted}}
  FROM path JOIN items ON items.id = path.parent WHERE nth < :limit AND items.id <> :until
)
SELECT {ITEM} FROM path WHERE status NOT IN ({{left_out}}) ORDER BY nth DESC
"""  # noqa: S608 - constants
PAGE = PATH.format(counted="1", left_out="''")
_WITHHELD = ", ".join(f"'{status}'" for status in sorted(WITHHELD))
HISTORY = PATH.format(counted=f"CASE WHEN items.status IN ({_WITHHELD}) THEN 0 ELSE 1 END", left_out=_WITHHELD)

# From an item upwards as far as :after, without looking at what the items say; then the oldest of them.
PATH_AFTER = """
WITH RECURSIVE path (id, parent, nth) AS (
  SELECT id, parent, 1 FROM items WHERE id = :item_id
  UNION ALL
  SELECT items.id, items.parent, nth + 1 FROM path JOIN items ON items.id = path.parent WHERE path.id <> :after
)
SELECT items.id, conversation_id, items.parent, run_id, content, created_at, status
FROM (SELECT id, nth FROM path ORDER BY nth DESC LIMIT :limit) AS oldest JOIN items ON items.id = oldest.id
ORDER BY nth DESC
"""
ONE = f"SELECT {ITEM} FROM items WHERE id = :item_id AND conversation_id = :conversation_id"  # noqa: S608 - constants
SAID = """
UPDATE conversations SET status = 'active', title = CASE WHEN title = '' THEN :title ELSE title END
WHERE id = :conversation_id
"""
# What a provider keeps beside us is not what is here any more.
TOUCH = """
UPDATE conversations SET updated_at = :now, provider_conversation_id = NULL, provider_run_id = NULL
WHERE id = :conversation_id
"""
PARENT = "SELECT parent FROM items WHERE id = :item_id AND conversation_id = :conversation_id"
END_OF = """
SELECT items.id FROM items JOIN conversations ON conversations.id = items.conversation_id
WHERE items.conversation_id = :conversation_id AND items.run_id = :run_id AND tenant = :tenant AND owner = :owner
ORDER BY seq DESC LIMIT 1
"""
NOTHING = ""  # no item has this id

# With these locks whoever ends a run meanwhile comes before or after, never between; and runs before their conversation,
# as everywhere, so that nobody waits in a circle.
RUNS = """
SELECT id, status IN ('queued', 'in_progress', 'requires_action') FROM runs
WHERE conversation_id = :conversation_id ORDER BY id FOR UPDATE
"""
# Whoever is just saying something in one of them holds its row, and is not waited for.
PUT_AWAY = "UPDATE conversations SET status = 'inactive' WHERE id = :id"
IDLE = """
SELECT id FROM conversations WHERE status = 'active' AND last_message_at < :before AND hold = 0
ORDER BY last_message_at LIMIT :limit FOR UPDATE SKIP LOCKED
"""
OLD = """
SELECT id FROM conversations
WHERE status IN ('active', 'inactive', 'hidden') AND last_message_at < :before AND hold = 0 AND NOT EXISTS (
  SELECT 1 FROM runs WHERE runs.conversation_id = conversations.id
    AND runs.status IN ('queued', 'in_progress', 'requires_action'))
LIMIT :limit FOR UPDATE SKIP LOCKED
"""
OWNER = "SELECT owner, hold FROM conversations WHERE id = :conversation_id AND tenant = :tenant FOR UPDATE"
HOLD = "UPDATE conversations SET hold = :hold WHERE id = :conversation_id"
DELETE = "DELETE FROM conversations WHERE id = :conversation_id"


@dataclass(frozen=True, slots=True)
class SqlSessions:
    """``SessionStore``."""

    engine: Engine

    async def history(self, principal: Principal, item_id: str | None, limit: int) -> Sequence[Item]:
        if item_id is None or limit <= 0:
            return ()
        return await self.engine.read(principal, _path, HISTORY, principal, item_id, limit)

    async def end_of(self, principal: Principal, run: Run) -> str | None:
        return await self.engine.read(principal, _end_of, principal, run)

    async def create(self, conversation: Conversation) -> Conversation:
        return await self.engine.write(Principal(conversation.owner, conversation.tenant), _create, conversation)

    async def find(self, principal: Principal, name: str) -> Conversation:
        return await self.engine.read(principal, _find, principal, name)

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
        dialect = self.engine.dialect
        at, id = AFTER_ALL if after is None else place_of(after)
        where = {
            "tenant": principal.tenant,
            "owner": principal.user,
            "status": status,
            "agent": agent,
            "tag": dumps_or_null(tag),
            "at": micros(at),
            "id": id,
        }
        if search is None:
            return await self.engine.read(principal, _list, f"{LIST} {NEWEST_FIRST}", where, limit)
        where["words"] = QUERY[dialect](search)
        return await self.engine.read(principal, _list, f"{LIST} {FOUND[dialect]} {NEWEST_FIRST}", where, limit)

    async def speakers(self, principal: Principal, conversation_ids: Sequence[str]) -> Mapping[str, str]:
        return await self.engine.read(principal, _speakers, principal, conversation_ids) if conversation_ids else {}

    async def change(self, principal: Principal, name: str, change: Change) -> Conversation:
        return await self.engine.write(principal, _change, principal, name, change)

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
        if after is not None:
            return await self.engine.read(principal, _page_after, principal, name, limit, after, branch)
        return await self.engine.read(principal, _page, principal, name, limit, before, branch)

    async def item(self, principal: Principal, name: str, item_id: str) -> Item:
        return await self.engine.read(principal, _item, principal, name, item_id)

    async def add(self, principal: Principal, name: str, items: Sequence[NewItem]) -> Sequence[Item]:
        return await self.engine.write(principal, _add, principal, name, items)

    async def remove(self, principal: Principal, name: str, item_id: str) -> Conversation:
        return await self.engine.write(principal, _remove, principal, name, item_id)

    async def fork(self, principal: Principal, name: str, at: str) -> Branch:
        return await self.engine.write(principal, _fork, principal, name, at)

    async def branches(
        self, principal: Principal, name: str, *, after: str | None = None, limit: int = 20
    ) -> BranchPage:
        return await self.engine.read(principal, _branches, principal, name, after, limit)

    async def compare(
        self, principal: Principal, name: str, branch: str | None, other: str, *, limit: int
    ) -> Comparison:
        return await self.engine.read(principal, _compare, principal, name, branch, other, limit)

    async def put_away(self, before: datetime, limit: int) -> int:
        return await self.engine.write(SERVER, _put_away, before, limit)

    async def remove_old(self, before: datetime, limit: int) -> int:
        return await self.engine.write(SERVER, _remove_old, before, limit)

    async def hold(self, tenant: str, conversation_id: str, hold: bool, entry: AuditEntry) -> Conversation:
        return await self.engine.write(administrator_of(tenant), _hold, tenant, conversation_id, hold, entry)

    async def delete(self, principal: Principal, name: str) -> Sequence[str]:
        return await self.engine.write(principal, _delete, principal, name)


# One conversation ----------------------------------------------------------------------------------------------------


def _find(principal: Principal, name: str) -> Script[Conversation]:
    sql = FIND_BY_ID if is_conversation_id(name) else FIND_BY_NAME
    rows = yield sql, {"tenant": principal.tenant, "owner": principal.user, "name": name}
    if not rows:
        raise NotFound("conversation", name)
    return conversation_from(rows[0])


def _held(principal: Principal, name: str) -> Script[Conversation]:
    """A conversation that nobody else changes until this is over."""
    found = yield from _find(principal, name)
    yield LOCK, {"conversation_id": found.id}
    return (yield from _find(principal, found.id))


def _idle(principal: Principal, name: str) -> Script[Conversation]:
    """The same, in which no run is unfinished."""
    conversation = yield from _held(principal, name)
    ((unfinished,),) = yield NEWEST_UNFINISHED, {"conversation_id": conversation.id}
    if unfinished is not None:
        raise ConversationBusy(BUSY)
    return conversation


def _create(conversation: Conversation) -> Script[Conversation]:
    rows = yield CREATE, conversation_params(conversation)
    if not rows:
        raise NameTaken
    yield from begin_branch(conversation.branch, conversation.id, None, conversation.created_at)
    if conversation.title:
        yield FIND_BY, found_by(conversation.id, conversation.id, words_of(conversation.title))
    return conversation


def _change(principal: Principal, name: str, change: Change) -> Script[Conversation]:
    conversation = yield from _held(principal, name)
    yield from head_of(conversation, change.branch, field="branch")
    yield (
        CHANGE,
        {
            "conversation_id": conversation.id,
            "title": change.title,
            "status": change.status,
            "tags": dumps_or_null(change.tags),
            "metadata": dumps_or_null(change.metadata),
            "branch": change.branch,
            "now": now(),
        },
    )
    if change.title is not None:
        yield FIND_BY, found_by(conversation.id, conversation.id, words_of(change.title))
    return (yield from _find(principal, conversation.id))


def _speakers(principal: Principal, conversation_ids: Sequence[str]) -> Script[Mapping[str, str]]:
    where = {"tenant": principal.tenant, "owner": principal.user}
    rows = yield SPEAKER, [{"id": id, **where} for id in conversation_ids]
    return {id: agent if taken_over is None else orjson.loads(taken_over)["agent"] for id, agent, taken_over in rows}


def _fork(principal: Principal, name: str, at: str) -> Script[Branch]:
    conversation = yield from _held(principal, name)
    return (yield from fork(conversation, at, datetime.now(UTC)))


def _branches(principal: Principal, name: str, after: str | None, limit: int) -> Script[BranchPage]:
    conversation = yield from _find(principal, name)
    return (yield from list_branches(conversation, after, limit))


def _delete(principal: Principal, name: str) -> Script[Sequence[str]]:
    conversation = yield from _find(principal, name)
    yield RUNS, {"conversation_id": conversation.id}
    if (yield from _held(principal, conversation.id)).hold:
        raise OnHold
    runs = yield RUNS, {"conversation_id": conversation.id}  # also those that began before it closed
    yield DELETE, {"conversation_id": conversation.id}
    return [run_id for run_id, unfinished in runs if unfinished]


def _hold(tenant: str, conversation_id: str, hold: bool, entry: AuditEntry) -> Script[Conversation]:
    rows = yield OWNER, {"conversation_id": conversation_id, "tenant": tenant}
    if not rows:
        raise NotFound("conversation", conversation_id)
    owner, held = rows[0]
    if bool(held) != hold:
        yield HOLD, {"conversation_id": conversation_id, "hold": int(hold)}
        yield from audited(about(entry, owner))
    return (yield from _find(Principal(owner, tenant), conversation_id))


def _put_away(before: datetime, limit: int) -> Script[int]:
    rows = yield IDLE, {"before": micros(before), "limit": limit}
    if rows:
        yield PUT_AWAY, [{"id": id} for (id,) in rows]
    return len(rows)


def _remove_old(before: datetime, limit: int) -> Script[int]:
    rows = yield OLD, {"before": micros(before), "limit": limit}
    if rows:
        yield DELETE, [{"conversation_id": id} for (id,) in rows]
    return len(rows)


# Items ---------------------------------------------------------------------------------------------------------------


def _end_of(principal: Principal, run: Run) -> Script[str | None]:
    rows = yield (
        END_OF,
        {
            "run_id": run.id,
            "conversation_id": run.conversation_id,
            "tenant": principal.tenant,
            "owner": principal.user,
        },
    )
    return rows[0][0] if rows else None


def _path(sql: str, principal: Principal, item_id: str, limit: int, until: str = NOTHING) -> Script[Sequence[Item]]:
    """The newest items of the path that ends with ``item_id``, oldest first."""
    where = {"item_id": item_id, "until": until, "tenant": principal.tenant, "owner": principal.user}
    rows = yield sql, {**where, "limit": limit}
    return [item_from(row) for row in rows]


def _page(principal: Principal, name: str, limit: int, before: str | None, branch: str | None) -> Script[ItemPage]:
    conversation = yield from _find(principal, name)
    newest = yield from head_of(conversation, branch, field="branch")
    if before is not None:
        rows = yield PARENT, {"item_id": before, "conversation_id": conversation.id}
        if not rows:
            raise Invalid("There is no such item in this conversation.", field="before")
        newest = rows[0][0]
    items: Sequence[Item] = ()
    if newest is not None:
        items = yield from _path(PAGE, principal, newest, limit)
    return ItemPage(conversation, tuple(items), has_more=bool(items) and items[0].parent is not None)


def _page_after(principal: Principal, name: str, limit: int, after: str, branch: str | None) -> Script[ItemPage]:
    conversation = yield from _find(principal, name)
    newest = yield from head_of(conversation, branch, field="branch")
    begun = after != START  # then the item itself comes first
    rows = yield PATH_AFTER, {"item_id": newest or NOTHING, "after": after, "limit": limit + 1 + begun}
    items = [item_from(row) for row in rows]
    if begun and (not items or items.pop(0).id != after):
        raise Invalid("There is no such item in this conversation.", field="after")
    return ItemPage(conversation, tuple(items[:limit]), has_more=len(items) > limit)


def _item(principal: Principal, name: str, item_id: str) -> Script[Item]:
    conversation = yield from _find(principal, name)
    return (yield from _item_in(conversation.id, item_id))


def _item_in(conversation_id: str, item_id: str) -> Script[Item]:
    rows = yield ONE, {"item_id": item_id, "conversation_id": conversation_id}
    if not rows:
        raise NotFound("item", item_id)
    return item_from(rows[0])


def _add(principal: Principal, name: str, items: Sequence[NewItem]) -> Script[Sequence[Item]]:
    conversation = yield from _idle(principal, name)
    yield from chain([Addition(conversation.id, conversation.branch, None, items)], now())
    title = title_from(item.content for item in items)
    yield SAID, {"title": title, "conversation_id": conversation.id}
    rows = yield ONE, [{"item_id": item.id, "conversation_id": conversation.id} for item in items]
    added = {row[0]: item_from(row) for row in rows}
    return [added[item.id] for item in items]


def _remove(principal: Principal, name: str, item_id: str) -> Script[Conversation]:
    conversation = yield from _idle(principal, name)
    item = yield from _item_in(conversation.id, item_id)
    if conversation.hold:
        raise OnHold
    yield from take_out(item.id, item.parent, conversation.id)
    yield TOUCH, {"conversation_id": conversation.id, "now": now()}
    return (yield from _find(principal, conversation.id))


def _compare(principal: Principal, name: str, branch: str | None, other: str, limit: int) -> Script[Comparison]:
    conversation = yield from _find(principal, name)
    branch = branch or conversation.branch
    head = yield from head_of(conversation, branch, field="branch")
    other_head = yield from head_of(conversation, other, field="other")
    shared = yield from common_item(branch, other)
    common: Sequence[Item] = ()
    if shared is not None:
        common = yield from _path(PAGE, principal, shared, 1)
    items = yield from _path(PAGE, principal, head or NOTHING, limit, shared or NOTHING)
    other_items = yield from _path(PAGE, principal, other_head or NOTHING, limit, shared or NOTHING)
    return Comparison(
        common=common[0] if common else None,
        branch=branch,
        items=tuple(items),
        other=other,
        other_items=tuple(other_items),
    )


# Lists ---------------------------------------------------------------------------------------------------------------


def _list(sql: str, where: Mapping[str, Any], limit: int) -> Script[ConversationPage]:
    rows = yield sql, {**where, "limit": limit + 1}
    conversations = tuple(conversation_from(row) for row in rows[:limit])
    return ConversationPage(conversations, next=bookmark(conversations[-1]) if len(rows) > limit else None)


def _fts5(search: Search) -> str:
    return " ".join([*(f'"{word}"' for word in search.words), *([f'"{search.prefix}"*'] if search.prefix else ())])


def _tsquery(search: Search) -> str:
    return " & ".join([*(f"'{word}'" for word in search.words), *([f"'{search.prefix}':*"] if search.prefix else ())])


QUERY: Mapping[Dialect, Callable[[Search], str]] = {"sqlite": _fts5, "postgresql": _tsquery}
"""Words hold letters and digits only, so nothing in them has to be escaped."""

"""A conversation's items as its owner and its next turn read them."""

from collections.abc import Sequence
from dataclasses import dataclass

from dragoman.adapters.sql.engine import Engine, Script
from dragoman.adapters.sql.rows import CONVERSATION, ITEM, conversation_from, item_from
from dragoman.domain.conversations import Conversation
from dragoman.domain.errors import Invalid, NotFound
from dragoman.domain.identity import Principal
from dragoman.domain.items import Item
from dragoman.ports.sessions import ItemPage

# From an item upwards, at most :limit of them: what lies above is never touched.
BRANCH = f"""
WITH RECURSIVE branch (id, conversation_id, parent, run_id, content, created_at, status, depth) AS (
  SELECT items.id, conversation_id, parent, run_id, content, items.created_at, items.status, 1
  FROM items JOIN conversations ON conversations.id = items.conversation_id
  WHERE items.id = :item_id AND tenant = :tenant AND owner = :owner
  UNION ALL
  SELECT items.id, items.conversation_id, items.parent, items.run_id, items.content, items.created_at, items.status,
    depth + 1
  FROM branch JOIN items ON items.id = branch.parent WHERE depth < :limit
)
SELECT {ITEM} FROM branch ORDER BY depth DESC
"""  # noqa: S608 - constants

FIND = f"""
SELECT {CONVERSATION} FROM conversations WHERE tenant = :tenant AND owner = :owner AND key = :key
"""  # noqa: S608 - constants
PARENT = "SELECT parent FROM items WHERE id = :item_id AND conversation_id = :conversation_id"

# With these locks whoever ends a run meanwhile comes before or after, never between; and runs before their conversation,
# as everywhere, so that nobody waits in a circle.
RUNS = """
SELECT id, status IN ('queued', 'in_progress', 'requires_action') FROM runs
WHERE conversation_id = :conversation_id ORDER BY id FOR UPDATE
"""
CLOSE = "SELECT 1 FROM conversations WHERE id = :conversation_id FOR UPDATE"
DELETE = "DELETE FROM conversations WHERE id = :conversation_id"


@dataclass(frozen=True, slots=True)
class SqlSessions:
    """``SessionStore``."""

    engine: Engine

    async def history(self, principal: Principal, item_id: str | None, limit: int) -> Sequence[Item]:
        if item_id is None or limit <= 0:
            return ()
        return await self.engine.read(_branch, principal, item_id, limit)

    async def page(self, principal: Principal, session_id: str, *, limit: int, before: str | None = None) -> ItemPage:
        return await self.engine.read(_page, principal, session_id, limit, before)

    async def delete(self, principal: Principal, session_id: str) -> Sequence[str]:
        return await self.engine.write(_delete, principal, session_id)


def _branch(principal: Principal, item_id: str, limit: int) -> Script[Sequence[Item]]:
    rows = yield (
        BRANCH,
        {"item_id": item_id, "limit": limit, "tenant": principal.tenant, "owner": principal.user},
    )
    return [item_from(row) for row in rows]


def _find(principal: Principal, session_id: str) -> Script[Conversation]:
    rows = yield FIND, {"tenant": principal.tenant, "owner": principal.user, "key": session_id}
    if not rows:
        raise NotFound("session", session_id)
    return conversation_from(rows[0])


def _page(principal: Principal, session_id: str, limit: int, before: str | None) -> Script[ItemPage]:
    conversation = yield from _find(principal, session_id)
    newest = conversation.head
    if before is not None:
        rows = yield PARENT, {"item_id": before, "conversation_id": conversation.id}
        if not rows:
            raise Invalid("There is no such item in this conversation.", field="before")
        newest = rows[0][0]
    items: Sequence[Item] = ()
    if newest is not None:
        items = yield from _branch(principal, newest, limit)
    return ItemPage(conversation, tuple(items), has_more=bool(items) and items[0].parent is not None)


def _delete(principal: Principal, session_id: str) -> Script[Sequence[str]]:
    conversation = yield from _find(principal, session_id)
    yield RUNS, {"conversation_id": conversation.id}
    yield CLOSE, {"conversation_id": conversation.id}
    runs = yield RUNS, {"conversation_id": conversation.id}  # also those that began before it closed
    yield DELETE, {"conversation_id": conversation.id}
    return [run_id for run_id, unfinished in runs if unfinished]

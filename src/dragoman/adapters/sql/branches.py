"""Branches on disk: begun, found again, listed, compared. Whoever changes one holds its conversation's row."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import orjson

from dragoman.adapters.sql.engine import Script
from dragoman.adapters.sql.rows import branch_from_row, micros
from dragoman.domain.conversations import START, Branch, Conversation, preview_of
from dragoman.domain.errors import Invalid
from dragoman.domain.ids import branch_id
from dragoman.domain.runs import Run, check_place
from dragoman.ports.sessions import BranchPage

BEGIN = """
INSERT INTO branches (id, conversation_id, head, created_at, superseded_by)
VALUES (:id, :conversation_id, :head, :created_at, :superseded_by)
"""
SWITCH = "UPDATE conversations SET branch = :branch WHERE id = :conversation_id"
ROLE = "SELECT role FROM items WHERE id = :item_id AND conversation_id = :conversation_id"
HEAD = "SELECT head FROM branches WHERE id = :branch AND conversation_id = :conversation_id"

# A branch that ends at an item, and that nobody is about to lengthen; the current one rather than any other.
IDLE = """
SELECT id FROM branches
WHERE conversation_id = :conversation_id AND COALESCE(head, 'start') = :place AND NOT EXISTS (
  SELECT 1 FROM runs WHERE runs.conversation_id = :conversation_id AND runs.branch = branches.id
    AND (runs.status IN ('queued', 'in_progress', 'requires_action') OR runs.unsaid = 1))
ORDER BY CASE WHEN id = :current THEN 0 ELSE 1 END, id LIMIT 1
"""

LIST = """
SELECT id, conversation_id, head, created_at, superseded_by FROM branches
WHERE conversation_id = :conversation_id AND id < :after ORDER BY id DESC LIMIT :limit
"""
AFTER_ALL = "zzzz"

# From a head upwards, as far as the next message.
LAST_MESSAGE = """
WITH RECURSIVE back (parent, kind, content) AS (
  SELECT parent, kind, content FROM items WHERE id = :head
  UNION ALL
  SELECT items.parent, items.kind, items.content FROM back JOIN items ON items.id = back.parent
  WHERE back.kind <> 'message'
)
SELECT CAST(:id AS TEXT), content FROM back WHERE kind = 'message'
"""

# Two fingers go up the tree, always the one on the younger item, until both are on the same: a parent is older.
COMMON = """
WITH RECURSIVE walk (one, other, step) AS (
  SELECT a.head, b.head, 0 FROM branches AS a CROSS JOIN branches AS b WHERE a.id = :one AND b.id = :other
  UNION ALL
  SELECT CASE WHEN COALESCE(a.seq, 0) > COALESCE(b.seq, 0) THEN a.parent ELSE walk.one END,
    CASE WHEN COALESCE(a.seq, 0) > COALESCE(b.seq, 0) THEN walk.other ELSE b.parent END,
    step + 1
  FROM walk LEFT JOIN items AS a ON a.id = walk.one LEFT JOIN items AS b ON b.id = walk.other
  WHERE COALESCE(walk.one, '') <> COALESCE(walk.other, '')
)
SELECT one FROM walk ORDER BY step DESC LIMIT 1
"""


def begin_branch(
    id: str, conversation_id: str, head: str | None, at: datetime, *, superseded_by: str | None = None
) -> Script[None]:
    yield (
        BEGIN,
        {
            "id": id,
            "conversation_id": conversation_id,
            "head": head,
            "created_at": micros(at),
            "superseded_by": superseded_by,
        },
    )


def branch_from(run: Run) -> Script[str]:
    """The branch of a run that says where to begin: the one that ends there if it is idle, else a new one. From now on it
    is the current one."""
    place, current = run.options.from_item, run.branch
    assert place is not None
    assert current is not None
    assert run.conversation_id is not None
    role = yield from role_at(run.conversation_id, place, field="from_item")
    check_place(run, role)
    rows = yield IDLE, {"conversation_id": run.conversation_id, "place": place, "current": current}
    if rows and rows[0][0] == current:
        return current
    branch = rows[0][0] if rows else branch_id()
    if not rows:
        yield from begin_branch(branch, run.conversation_id, item_at(place), run.created_at)
    yield SWITCH, {"conversation_id": run.conversation_id, "branch": branch}
    return branch


def role_at(conversation_id: str, place: str, *, field: str) -> Script[str | None]:
    """The role of the item at a place, after making sure that there is one."""
    if place == START:
        return None
    rows = yield ROLE, {"item_id": place, "conversation_id": conversation_id}
    if not rows:
        raise Invalid("There is no such item in this conversation.", field=field)
    role: str | None = rows[0][0]
    return role


def item_at(place: str) -> str | None:
    return None if place == START else place


def fork(conversation: Conversation, at: str, now: datetime) -> Script[Branch]:
    yield from role_at(conversation.id, at, field="at")
    branch = Branch(branch_id(), conversation.id, item_at(at), now)
    yield from begin_branch(branch.id, conversation.id, branch.head, now)
    yield SWITCH, {"conversation_id": conversation.id, "branch": branch.id}
    (shown,) = yield from shown_branches([branch], branch.id)
    return shown


def head_of(conversation: Conversation, branch: str | None, *, field: str) -> Script[str | None]:
    """The newest item of a branch, the current one if none is named."""
    if branch is None or branch == conversation.branch:
        return conversation.head
    rows = yield HEAD, {"branch": branch, "conversation_id": conversation.id}
    if not rows:
        raise Invalid("There is no such branch in this conversation.", field=field)
    head: str | None = rows[0][0]
    return head


def list_branches(conversation: Conversation, after: str | None, limit: int) -> Script[BranchPage]:
    where = {"conversation_id": conversation.id, "after": after or AFTER_ALL, "limit": limit + 1}
    rows = yield LIST, where
    shown = yield from shown_branches([branch_from_row(row) for row in rows[:limit]], conversation.branch)
    return BranchPage(tuple(shown), next=shown[-1].id if len(rows) > limit else None)


def shown_branches(branches: Sequence[Branch], current: str) -> Script[list[Branch]]:
    """With what was said last on each."""
    heads = [{"id": branch.id, "head": branch.head} for branch in branches if branch.head]
    rows = (yield LAST_MESSAGE, heads) if heads else ()
    previews = {id: preview_of(orjson.loads(content)) for id, content in rows}
    return [replace(b, preview=previews.get(b.id, ""), current=b.id == current) for b in branches]


def common_item(one: str, other: str) -> Script[str | None]:
    """The last item that two branches share."""
    ((common,),) = yield COMMON, {"one": one, "other": other}
    found: str | None = common
    return found

"""Items on disk: a tree that grows at the heads of its branches, and the words by which they are found."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from dragoman.adapters.sql.engine import Params, Script
from dragoman.adapters.sql.rows import dumps
from dragoman.domain.conversations import findable
from dragoman.domain.items import NewItem, kind_of

# Both rows are locked, so that what is read of either is what the last one who held them left.
HEAD = """
SELECT conversations.id, branches.head, last_seq
FROM conversations JOIN branches ON branches.conversation_id = conversations.id
WHERE conversations.id = :conversation_id AND branches.id = :branch FOR UPDATE
"""

LOCK = "SELECT 1 FROM conversations WHERE id = :conversation_id FOR UPDATE"

INSERT = """
INSERT INTO items (id, conversation_id, seq, parent, run_id, kind, role, status, content, created_at)
VALUES (:id, :conversation_id, :seq, :parent, :run_id, :kind, :role, :status, :content, :now)
"""

GROW = "UPDATE branches SET head = :head WHERE id = :branch"
ADVANCE = """
UPDATE conversations SET last_seq = :seq, updated_at = :now, last_message_at = :now WHERE id = :conversation_id
"""

# What hangs on an item is hung on what that one hangs on, and a branch that ended there ends there.
TAKE_OUT = (
    "UPDATE items SET parent = :parent WHERE conversation_id = :conversation_id AND parent = :id",
    "UPDATE branches SET head = :parent WHERE conversation_id = :conversation_id AND head = :id",
    "UPDATE runs SET base_item = :parent WHERE conversation_id = :conversation_id AND base_item = :id",
    "DELETE FROM items WHERE id = :id AND conversation_id = :conversation_id",
)
FORGET = "DELETE FROM findable WHERE number = :number"

FIND_BY = """
INSERT INTO findable (number, conversation_id, words) VALUES (:number, :conversation_id, :words)
ON CONFLICT (number) DO UPDATE SET words = excluded.words
"""


@dataclass(frozen=True, slots=True)
class Addition:
    """What is added to a branch of a conversation, mostly by a run."""

    conversation_id: str
    branch: str
    run_id: str | None
    items: Sequence[NewItem]


def chain(additions: Sequence[Addition], now: int) -> Script[dict[str, str | None]]:
    """Chain items to the heads of branches, at most one addition to each conversation. Returns the heads before, by
    conversation."""
    if not additions:
        return {}
    ordered = sorted(additions, key=lambda a: a.conversation_id)  # two transactions never lock in opposite orders
    rows = yield HEAD, [{"conversation_id": a.conversation_id, "branch": a.branch} for a in ordered]
    heads: dict[str, tuple[str | None, int]] = {id: (head, seq) for id, head, seq in rows}
    growing = [addition for addition in ordered if addition.items]
    if growing:
        linked = [_linked(addition, *heads[addition.conversation_id], now) for addition in growing]
        yield INSERT, [params for items in linked for params in items]
        yield GROW, [{"branch": a.branch, "head": items[-1]["id"]} for a, items in zip(growing, linked, strict=True)]
        yield ADVANCE, [_advance(items[-1]) for items in linked]
        if found := [words for addition in growing for words in _found(addition)]:
            yield FIND_BY, found
    return {id: head for id, (head, _) in heads.items()}


def take_out(id: str, parent: str | None, conversation_id: str) -> Script[None]:
    for sql in TAKE_OUT:
        yield sql, {"id": id, "parent": parent, "conversation_id": conversation_id}
    yield from forget(id, conversation_id)


def forget(id: str, conversation_id: str) -> Script[None]:
    """It is found no more."""
    yield FORGET, {"number": found_by(id, conversation_id, ())["number"]}


def found_by(id: str, conversation_id: str, words: Sequence[str]) -> Params:
    """A row of ``findable``, for an item or, by the conversation's id, for its title."""
    number = int.from_bytes(blake2b(id.encode(), digest_size=8).digest()) >> 1  # they are signed
    return {"number": number, "conversation_id": conversation_id, "words": " ".join(words)}


def _found(addition: Addition) -> list[Params]:
    found = ((item.id, findable(item.content)) for item in addition.items)
    return [found_by(id, addition.conversation_id, words) for id, words in found if words]


def _linked(addition: Addition, head: str | None, seq: int, now: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for item in addition.items:
        seq += 1
        items.append(
            {
                "id": item.id,
                "conversation_id": addition.conversation_id,
                "seq": seq,
                "parent": head,
                "run_id": addition.run_id,
                "kind": kind_of(item.content),
                "role": item.content.get("role"),
                "status": item.status,
                "content": dumps(item.content),
                "now": now,
            }
        )
        head = item.id
    return items


def _advance(last: dict[str, Any]) -> dict[str, Any]:
    return {"conversation_id": last["conversation_id"], "seq": last["seq"], "now": last["now"]}

"""Items on disk: a tree, whose newest branch ends at its conversation's head."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.adapters.sql.engine import Script
from dragoman.adapters.sql.rows import dumps
from dragoman.domain.items import NewItem, kind_of

HEAD = "SELECT id, head, last_seq FROM conversations WHERE id = :conversation_id FOR UPDATE"

INSERT = """
INSERT INTO items (id, conversation_id, seq, parent, run_id, kind, role, status, content, created_at)
VALUES (:id, :conversation_id, :seq, :parent, :run_id, :kind, :role, :status, :content, :now)
"""

ADVANCE = """
UPDATE conversations SET head = :head, last_seq = :seq, updated_at = :now, last_message_at = :now
WHERE id = :conversation_id
"""


@dataclass(frozen=True, slots=True)
class Addition:
    """What a run adds to its conversation."""

    conversation_id: str
    run_id: str
    items: Sequence[NewItem]


def chain(additions: Sequence[Addition], now: int) -> Script[dict[str, str | None]]:
    """Chain items to the heads of conversations, at most one addition to each. Returns the heads before."""
    if not additions:
        return {}
    wanted = sorted(addition.conversation_id for addition in additions)  # two transactions never lock in opposite orders
    rows = yield HEAD, [{"conversation_id": conversation_id} for conversation_id in wanted]
    heads: dict[str, tuple[str | None, int]] = {id: (head, seq) for id, head, seq in rows}
    linked = [_linked(addition, *heads[addition.conversation_id], now) for addition in additions if addition.items]
    if linked:
        yield INSERT, [params for items in linked for params in items]
        yield ADVANCE, [_advance(items[-1]) for items in linked]
    return {id: head for id, (head, _) in heads.items()}


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
    return {"conversation_id": last["conversation_id"], "head": last["id"], "seq": last["seq"], "now": last["now"]}

"""How the message of a run enters its conversation: when it is its turn, played or not."""

from collections.abc import Sequence

from dragoman.adapters.sql.engine import Script
from dragoman.adapters.sql.items import Addition, chain
from dragoman.adapters.sql.rows import RUN, run_from
from dragoman.domain.items import NewItem
from dragoman.domain.runs import Run

# Runs that ended while they waited, and behind nothing unfinished any more.
UNSAID = f"""
SELECT {RUN} FROM runs AS unsaid
WHERE conversation_id = :conversation_id AND unsaid = 1 AND NOT EXISTS (
  SELECT 1 FROM runs AS other
  WHERE other.conversation_id = unsaid.conversation_id
    AND other.status IN ('queued', 'in_progress', 'requires_action')
    AND (other.created_at, other.id) < (unsaid.created_at, unsaid.id))
ORDER BY created_at, id
"""  # noqa: S608 - constants
SAID = "UPDATE runs SET unsaid = NULL, base_item = :base_item WHERE id = :id"


def entering(run: Run) -> Addition:
    """The input of a run as what it adds to its conversation."""
    assert run.conversation_id is not None
    assert run.branch is not None
    return Addition(run.conversation_id, run.branch, run.id, [NewItem(content) for content in run.input])


def enter_unsaid(conversation_ids: Sequence[str], now: int) -> Script[dict[str, str | None]]:
    """Messages that nobody will answer enter where they would have been answered. Whoever calls this holds the rows of the
    conversations. Returns what is before each message, by run."""
    if not conversation_ids:
        return {}
    rows = yield UNSAID, [{"conversation_id": id} for id in sorted(conversation_ids)]
    before: dict[str, str | None] = {}
    for run in map(run_from, rows):
        heads = yield from chain([entering(run)], now)
        before[run.id] = heads[run.conversation_id or ""]
        yield SAID, {"id": run.id, "base_item": before[run.id]}
    return before

"""What a message does to a conversation that is busy, in the transaction that accepts it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import orjson

from dragoman.adapters.sql.approvals import withdraw
from dragoman.adapters.sql.branches import begin_branch
from dragoman.adapters.sql.engine import Script
from dragoman.adapters.sql.entering import enter_unsaid
from dragoman.adapters.sql.items import GROW, LOCK, Addition, chain
from dragoman.adapters.sql.record import record
from dragoman.adapters.sql.rows import RUN, dumps, micros, run_from
from dragoman.domain.errors import ConversationBusy
from dragoman.domain.events import Recorded, Row, RunCompleted, unpack
from dragoman.domain.ids import branch_id
from dragoman.domain.runs import ASKED, Asked, Run, RunStatus, first_position
from dragoman.domain.story import story_of, undone

# Runs before their conversation and in this order, as everywhere, so that nobody waits in a circle. The oldest run comes
# first: it lets in one at a time, who then sees what the one before has left.
_THERE = """
conversation_id = (
  SELECT id FROM conversations WHERE tenant = :tenant AND owner = :owner AND (key = :name OR id = :name))
"""
OLDEST = f"SELECT id FROM runs WHERE {_THERE} ORDER BY id LIMIT 1 FOR UPDATE"  # noqa: S608 - constants
HOLD = f"""
SELECT id FROM runs WHERE {_THERE} AND status IN ('queued', 'in_progress', 'requires_action') ORDER BY id FOR UPDATE
"""  # noqa: S608 - constants

UNFINISHED = f"""
SELECT {RUN} FROM runs
WHERE conversation_id = :conversation_id AND status IN ('queued', 'in_progress', 'requires_action')
ORDER BY created_at, id
"""  # noqa: S608 - constants

MARK: dict[Asked, str] = {
    asked: f"UPDATE runs SET cancel = '{asked}' WHERE id = :id AND COALESCE(cancel, '') IN {('', *ASKED[: n + 1])}"  # noqa: S608 - constants
    for n, asked in enumerate(ASKED)
}

DISTURBING = frozenset({"interrupt", "steer", "rollback"})

LAST = "SELECT max(position) FROM events WHERE run_id = :id"
CANCEL = """
UPDATE runs SET status = 'cancelled', unsaid = :unsaid, ended_at = :ended_at
WHERE id = :id AND status IN ('queued', 'requires_action')
"""

LOG = "SELECT position, kind, content FROM events WHERE run_id = :id ORDER BY position"
WRITTEN = "SELECT count(*) FROM items WHERE conversation_id = :conversation_id AND run_id = :id"
SUPERSEDE = """
UPDATE runs SET status = 'cancelled', attempt = :attempt, branch = :branch, superseded_by = :superseded_by,
  usage = :usage, ended_at = :ended_at, player = NULL, lease_until = NULL
WHERE id = :id
"""


def hold_unfinished(run: Run) -> Script[None]:
    """Before its conversation is held: lock the runs that this one may disturb."""
    if run.session_id is not None and run.options.on_busy in DISTURBING:
        named = {"tenant": run.tenant, "owner": run.owner, "name": run.session_id}
        yield OLDEST, named
        yield HOLD, named


def disturb(run: Run) -> Script[Run | None]:
    """Do what ``run.options.on_busy`` says to the run that is before it. Returns that run, if something was done to it."""
    if run.options.on_busy in (None, "queue"):
        return None
    rows = yield UNFINISHED, {"conversation_id": run.conversation_id}
    playing = next((other for other in map(run_from, rows) if other.begun), None)
    match run.options.on_busy:
        case "reject" if rows:
            raise ConversationBusy
        case "interrupt" if playing:
            return (yield from ask(playing, "interrupt"))
        case "steer" if playing:
            return (yield from _mark(playing, "steer"))
        case "rollback" if playing:
            return (yield from _supersede(playing, run))
    return None


def ask(run: Run, asked: Asked) -> Script[Run]:
    """Leave a mark on a run for its player, the next one if it was given back; end one that nobody plays."""
    if run.begun and run.status is not RunStatus.REQUIRES_ACTION:
        return (yield from _mark(run, asked))
    return (yield from _end_unplayed(run))


def _mark(run: Run, asked: Asked) -> Script[Run]:
    yield MARK[asked], {"id": run.id}
    return run


def _end_unplayed(run: Run) -> Script[Run]:
    """End a run that has not begun or waits for a person. Its message was accepted, so the conversation keeps it, and what it
    has said."""
    at = datetime.now(UTC)
    log: Sequence[Row] = ()
    if run.status is RunStatus.REQUIRES_ACTION:
        log = yield from _log(run)
    rows = yield LAST, {"id": run.id}
    position = first_position(run.attempt) if rows[0][0] is None else rows[0][0] + 1
    completed = RunCompleted(RunStatus.CANCELLED, None, run.usage, session_id=run.session_id)
    yield from record({run.id: [Recorded(position, completed)]})
    unsaid = not run.begun and run.conversation_id is not None
    yield CANCEL, {"id": run.id, "unsaid": 1 if unsaid else None, "ended_at": micros(at)}
    ended = replace(run, status=RunStatus.CANCELLED, ended_at=at)
    if run.status is RunStatus.REQUIRES_ACTION:
        yield from withdraw([run.id])
    if run.conversation_id is None:
        return ended
    yield LOCK, {"conversation_id": run.conversation_id}
    if run.status is RunStatus.REQUIRES_ACTION:
        yield from _tell(run, log, at)
    before = yield from enter_unsaid([run.conversation_id], micros(at))
    return replace(ended, base_item=before.get(run.id, run.base_item))


def _log(run: Run) -> Script[list[Row]]:
    rows = yield LOG, {"id": run.id}
    return [Row(position, kind, orjson.loads(content)) for position, kind, content in rows]


def _tell(run: Run, log: Sequence[Row], at: datetime) -> Script[None]:
    """What a run has done so far goes into the history."""
    assert run.conversation_id is not None
    assert run.branch is not None
    story = story_of((entry.event for row in log for entry in unpack(row)), run.options.handed_back)
    yield from chain([Addition(run.conversation_id, run.branch, run.id, story.told())], micros(at))


def _supersede(run: Run, by: Run) -> Script[Run]:
    """Undo a run: what it did moves to a branch of its own, and its branch ends where it began."""
    assert run.conversation_id is not None
    assert run.branch is not None
    at = datetime.now(UTC)
    log = yield from _log(run)
    story, end = undone(replace(run, attempt=run.attempt + 1), log)
    ((written,),) = yield WRITTEN, {"conversation_id": run.conversation_id, "id": run.id}
    more = story.told()[written - len(run.input) :]
    heads = yield from chain([Addition(run.conversation_id, run.branch, run.id, more)], micros(at))
    head = more[-1].id if more else heads[run.conversation_id]
    ended = replace(
        run,
        status=RunStatus.CANCELLED,
        attempt=run.attempt + 1,
        branch=branch_id(),
        superseded_by=by.id,
        usage=story.usage,
        ended_at=at,
    )
    assert ended.branch is not None
    yield from begin_branch(ended.branch, run.conversation_id, head, at, superseded_by=by.id)
    yield GROW, {"branch": run.branch, "head": run.base_item}
    yield from record({run.id: end})
    yield (
        SUPERSEDE,
        {
            "id": run.id,
            "attempt": ended.attempt,
            "branch": ended.branch,
            "superseded_by": by.id,
            "usage": dumps(ended.usage),
            "ended_at": micros(at),
        },
    )
    yield from withdraw([run.id])
    yield from enter_unsaid([run.conversation_id], micros(at))
    return ended

"""How a run that is being played takes the messages that steer it."""

import orjson

from dragoman.adapters.sql.engine import Script
from dragoman.adapters.sql.record import record
from dragoman.adapters.sql.rows import RUN, now, run_from
from dragoman.domain.events import Recorded, Row, Steered, handed_over, steered_by, unpack
from dragoman.domain.runs import Run, RunStatus, steering

# The run itself, all that is unfinished or still to be said in its conversation, and nothing if it has none.
LINE = f"""
SELECT {RUN} FROM runs
WHERE conversation_id = (SELECT conversation_id FROM runs WHERE id = :run_id)
  AND (status IN ('queued', 'in_progress', 'requires_action') OR unsaid = 1)
ORDER BY id FOR UPDATE
"""  # noqa: S608 - constants

THERE = "SELECT kind, content FROM events WHERE run_id = :run_id AND position = :position"
TAKEN = """
UPDATE runs SET status = 'completed', steered_into = :run_id, ended_at = :now WHERE id = :id AND status = 'queued'
"""
HEARD = "UPDATE runs SET cancel = NULL WHERE id = :run_id AND cancel = 'steer'"


def absorb(run_id: str, attempt: int, position: int) -> Script[Steered | None]:
    line = [run_from(row) for row in (yield LINE, {"run_id": run_id})]
    run = next((run for run in line if run.id == run_id and run.attempt == attempt), None)
    if run is None or run.status is not RunStatus.IN_PROGRESS:
        return None
    if there := (yield THERE, {"run_id": run_id, "position": position}):
        ((kind, content),) = there
        (entry,) = unpack(Row(position, kind, orjson.loads(content)))
        assert isinstance(entry.event, Steered)
        return entry.event
    return (yield from _take(run, steering(run, line), position))


def _take(run: Run, messages: list[Run], position: int) -> Script[Steered]:
    steered, at = steered_by(messages), now()
    yield from record({run.id: [Recorded(position, steered)], **{m.id: [handed_over(m, run)] for m in messages}})
    if messages:
        yield TAKEN, [{"id": message.id, "run_id": run.id, "now": at} for message in messages]
    yield HEARD, {"run_id": run.id}
    return steered

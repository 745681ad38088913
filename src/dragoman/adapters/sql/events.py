"""The logs as rows, and how a run ends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from dragoman.adapters.sql.approvals import note, wake_again, withdraw
from dragoman.adapters.sql.budgets import settle
from dragoman.adapters.sql.engine import SERVER, Engine, Params, Script
from dragoman.adapters.sql.entering import enter_unsaid
from dragoman.adapters.sql.items import Addition, chain
from dragoman.adapters.sql.record import record
from dragoman.adapters.sql.rows import dumps, dumps_or_null, now
from dragoman.adapters.sql.steering import absorb
from dragoman.adapters.sql.usage import Payer, charge
from dragoman.domain.events import Recorded, Row, Steered, unpack
from dragoman.domain.identity import Principal
from dragoman.domain.runs import NEXT, RunStatus
from dragoman.ports.events import Append, End

# A mere check could be overtaken by another player's claim; the lock cannot.
FENCE = """
SELECT id, attempt, branch, conversation_id, tenant, owner FROM runs
WHERE id = :run_id AND attempt = :attempt AND status = 'in_progress' FOR SHARE
"""

END = """
UPDATE runs SET status = :status, usage = :usage, error = :error, final_output = :final_output,
  response_id = :response_id, ended_at = :ended_at, player = NULL, lease_until = NULL
WHERE id = :run_id AND status = 'in_progress'
"""

READ = """
SELECT position, kind, content FROM events
WHERE run_id = :run_id AND position > :after
  AND EXISTS (SELECT 1 FROM runs WHERE id = :run_id AND tenant = :tenant AND owner = :owner)
ORDER BY position LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class SqlEvents:
    """``EventLog``."""

    engine: Engine

    async def append(self, batch: Sequence[Append]) -> frozenset[str]:
        return await self.engine.write(SERVER, _append, batch)

    async def absorb(self, run_id: str, attempt: int, position: int) -> Steered | None:
        return await self.engine.write(SERVER, absorb, run_id, attempt, position)

    async def read(self, principal: Principal, run_id: str, after: int, limit: int) -> Sequence[Recorded]:
        return await self.engine.read(principal, _read, principal, run_id, after, limit)


def _append(batch: Sequence[Append]) -> Script[frozenset[str]]:
    wanted = sorted((append.run_id, append.attempt) for append in batch)  # two batches never lock in opposite orders
    rows = yield FENCE, [{"run_id": run_id, "attempt": attempt} for run_id, attempt in wanted]
    held = {(run_id, attempt): Payer(*whose) for run_id, attempt, _, *whose in rows}
    kept = [append for append in batch if (append.run_id, append.attempt) in held]
    if kept:
        yield from record({append.run_id: append.events for append in kept})
        yield from settle([append.events for append in kept])
        told = [(append.run_id, held[append.run_id, append.attempt], append.events) for append in kept]
        yield from charge(told)
        yield from note(told)
    ends = {append.run_id: append.end for append in kept if append.end}
    if ends:
        yield from _end(
            ends, {run_id: (conversation, branch) for run_id, _, branch, conversation, *_ in rows if branch}
        )
    return frozenset(append.run_id for append in batch if (append.run_id, append.attempt) not in held)


def _end(ends: Mapping[str, End], places: Mapping[str, tuple[str, str]]) -> Script[None]:
    """Set the status of runs and chain what they add to their branches; ``places`` has conversation and branch of each."""
    at = now()
    yield END, [_ended(run_id, end, at) for run_id, end in ends.items()]
    if waiting := [run_id for run_id, end in ends.items() if not end.status.ended]:
        yield from wake_again(waiting)
    if asked := [run_id for run_id, end in ends.items() if end.status.ended and end.asked]:
        yield from withdraw(asked)
    additions = [Addition(*places[run_id], run_id, end.items) for run_id, end in ends.items() if run_id in places]
    yield from chain(additions, at)
    yield from enter_unsaid([addition.conversation_id for addition in additions], at)


def _ended(run_id: str, end: End, at: int) -> Params:
    if end.status not in NEXT[RunStatus.IN_PROGRESS]:
        raise ValueError(f"a run in progress cannot become {end.status}")
    return {
        "run_id": run_id,
        "status": end.status.value,
        "usage": dumps(end.usage),
        "error": dumps_or_null(end.error),
        "final_output": dumps_or_null(end.final_output),
        "response_id": end.response_id,
        "ended_at": at if end.status.ended else None,
    }


def _read(principal: Principal, run_id: str, after: int, limit: int) -> Script[Sequence[Recorded]]:
    rows = yield (
        READ,
        {"run_id": run_id, "after": after, "limit": limit, "tenant": principal.tenant, "owner": principal.user},
    )
    result: list[Recorded] = []
    for position, kind, content in rows:
        for recorded in unpack(Row(position, kind, orjson.loads(content))):
            if recorded.position > after:  # a row may begin before the place the reader has reached
                result.append(recorded)
                after = recorded.position
        if len(result) >= limit:
            break
    return result

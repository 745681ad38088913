"""The logs in memory, and how a run ends."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import orjson

from dragoman.adapters.memory.state import State, StoredRow, encoded
from dragoman.domain.errors import NotFound
from dragoman.domain.events import Recorded, Steered, handed_over, steered_by
from dragoman.domain.identity import Principal
from dragoman.domain.runs import NEXT, Run, RunStatus, steering
from dragoman.ports.events import Append, End


@dataclass(frozen=True, slots=True)
class MemoryEvents:
    """``EventLog``."""

    state: State

    async def append(self, batch: Sequence[Append]) -> frozenset[str]:
        prepared = [(append, encoded(append.events)) for append in batch]  # what cannot be stored raises here
        for append in batch:
            _check(append.end)
        lost = set()
        for append, rows in prepared:
            run = self.state.runs.get(append.run_id)
            if run is None or run.attempt != append.attempt or run.status is not RunStatus.IN_PROGRESS:
                lost.add(append.run_id)
                continue
            log = self.state.logs[run.id]
            last = log[-1].position if log else -1
            log.extend(row for row in rows if row.position > last)
            self.state.charge(run, append.events)
            self.state.note(run, append.events)
            if append.end is not None:
                self._end(run, append.end)
        return frozenset(lost)

    async def absorb(self, run_id: str, attempt: int, position: int) -> Steered | None:
        state, run = self.state, self.state.runs.get(run_id)
        if run is None or run.attempt != attempt or run.status is not RunStatus.IN_PROGRESS:
            return None
        log = state.logs[run.id]
        if log and log[-1].position >= position:
            return _steered_at(position, log)
        there = [*state.unfinished_in(run.conversation_id), *state.unsaid_in(run.conversation_id)]
        absorbed = steering(run, there)
        for other in absorbed:
            state.logs[other.id].extend(encoded([handed_over(other, run)]))
            state.put(replace(other, status=RunStatus.COMPLETED, steered_into=run.id, ended_at=datetime.now(UTC)))
        steered = steered_by(absorbed)
        log.extend(encoded([Recorded(position, steered)]))
        if state.marks.get(run.id) == "steer":
            del state.marks[run.id]
        return steered

    async def read(self, principal: Principal, run_id: str, after: int, limit: int) -> Sequence[Recorded]:
        try:
            run = self.state.run(principal, run_id)
        except NotFound:
            return []
        result: list[Recorded] = []
        log = self.state.logs[run.id]
        for row in log[bisect_right(log, after, key=lambda row: row.position) :]:
            for recorded in row.events():
                if recorded.position > after:  # a row may begin before the place the reader has reached
                    result.append(recorded)
                    after = recorded.position
            if len(result) >= limit:
                break
        return result

    def _end(self, run: Run, end: End) -> None:
        self.state.chain(run, end.items)
        self.state.put(
            replace(
                run,
                status=end.status,
                usage=end.usage,
                error=end.error,
                final_output=end.final_output,
                response_id=end.response_id,
                ended_at=datetime.now(UTC) if end.status.ended else None,
            )
        )
        if not end.status.ended:
            self.state.wake(run.id)
        elif end.asked:
            self.state.withdraw(run.id)
        self.state.enter_unsaid(run.conversation_id)


def _steered_at(position: int, log: Sequence[StoredRow]) -> Steered:
    (entry,) = next(row for row in log if row.position == position).events()
    assert isinstance(entry.event, Steered)
    return entry.event


def _check(end: End | None) -> None:
    if end is None:
        return
    if end.status not in NEXT[RunStatus.IN_PROGRESS]:
        raise ValueError(f"a run in progress cannot become {end.status}")
    orjson.dumps([end.usage, end.error, end.final_output, [item.content for item in end.items]])

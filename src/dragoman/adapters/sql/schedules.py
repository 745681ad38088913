"""Due things as rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dragoman.adapters.sql.engine import SERVER, Engine, Script
from dragoman.adapters.sql.rows import Row, micros, moment, now
from dragoman.domain.schedules import Schedule
from dragoman.ports.runs import Claim

SCHEDULE = "name, due_at, begun, player, lease_until, ended_at, failures, result"

ENTER = """
INSERT INTO schedules (name, due_at, begun, failures, result) VALUES (:name, :due_at, 0, 0, '')
ON CONFLICT (name) DO UPDATE SET due_at = excluded.due_at WHERE excluded.due_at < schedules.due_at
"""

ALL = f"SELECT {SCHEDULE} FROM schedules ORDER BY name"  # noqa: S608 - constants

CLAIM = f"""
UPDATE schedules SET begun = begun + 1, player = :player, lease_until = :until
WHERE name = :name AND due_at <= :due_before AND (lease_until IS NULL OR lease_until < :now)
RETURNING {SCHEDULE}
"""  # noqa: S608 - constants
ANY_TIME = 2**63 - 1

OURS = "WHERE name = :name AND begun = :begun AND player = :player RETURNING name"
RENEW = f"UPDATE schedules SET lease_until = :until {OURS}"  # noqa: S608 - constants
END = f"""
UPDATE schedules SET player = NULL, lease_until = NULL, due_at = :due_at, ended_at = :now, failures = :failures,
  result = :result {OURS}
"""  # noqa: S608 - constants
RELEASE = f"UPDATE schedules SET player = NULL, lease_until = NULL {OURS}"  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class SqlSchedules:
    """``ScheduleStore``."""

    engine: Engine

    async def enter(self, due: Mapping[str, datetime]) -> None:
        if due:
            await self.engine.write(SERVER, _enter, due)

    async def all(self) -> Sequence[Schedule]:
        return await self.engine.read(SERVER, _all)

    async def claim(self, claim: Claim, names: Collection[str], *, early: bool = False) -> Sequence[Schedule]:
        return await self.engine.write(SERVER, _claim, claim, names, early) if names else ()

    async def renew(self, claim: Claim, schedule: Schedule) -> bool:
        return await self.engine.write(SERVER, _change, RENEW, schedule, {"until": micros(claim.until)})

    async def end(self, schedule: Schedule, *, due_at: datetime, result: str, failed: bool = False) -> bool:
        failures = schedule.failures + 1 if failed else 0
        values = {"due_at": micros(due_at), "now": now(), "failures": failures, "result": result}
        return await self.engine.write(SERVER, _change, END, schedule, values)

    async def release(self, schedule: Schedule) -> None:
        await self.engine.write(SERVER, _change, RELEASE, schedule, {})


def _enter(due: Mapping[str, datetime]) -> Script[None]:
    yield ENTER, [{"name": name, "due_at": micros(due[name])} for name in sorted(due)]


def _all() -> Script[Sequence[Schedule]]:
    rows = yield ALL, {}
    return [_schedule_from(row) for row in rows]


def _claim(claim: Claim, names: Collection[str], early: bool) -> Script[Sequence[Schedule]]:
    at = now()
    who = {"player": claim.player, "until": micros(claim.until), "now": at, "due_before": ANY_TIME if early else at}
    rows = yield CLAIM, [{"name": name, **who} for name in sorted(names)]
    return [_schedule_from(row) for row in rows]


def _change(sql: str, schedule: Schedule, values: Mapping[str, Any]) -> Script[bool]:
    """Change one, if it is still as its claimant has it."""
    rows = yield sql, {"name": schedule.name, "begun": schedule.begun, "player": schedule.player, **values}
    return bool(rows)


def _schedule_from(row: Row) -> Schedule:
    name, due_at, begun, player, lease_until, ended_at, failures, result = row
    return Schedule(
        name, moment(due_at), begun, player, _moment_or_none(lease_until), _moment_or_none(ended_at), failures, result
    )


def _moment_or_none(micros: int | None) -> datetime | None:
    return None if micros is None else moment(micros)

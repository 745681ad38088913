"""Due things, in memory."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from dragoman.domain.schedules import Schedule
from dragoman.ports.runs import Claim


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class MemorySchedules:
    """``ScheduleStore``."""

    now: Callable[[], datetime] = _now
    schedules: dict[str, Schedule] = field(default_factory=dict)

    async def enter(self, due: Mapping[str, datetime]) -> None:
        for name, due_at in due.items():
            known = self.schedules.get(name, Schedule(name, due_at))
            self.schedules[name] = replace(known, due_at=min(known.due_at, due_at))

    async def all(self) -> Sequence[Schedule]:
        return [self.schedules[name] for name in sorted(self.schedules)]

    async def claim(self, claim: Claim, names: Collection[str], *, early: bool = False) -> Sequence[Schedule]:
        now, taken = self.now(), []
        for name in sorted(self.schedules.keys() & names):
            schedule = self.schedules[name]
            if schedule.due(now) or (early and not schedule.held(now)):
                schedule = replace(schedule, begun=schedule.begun + 1, player=claim.player, lease_until=claim.until)
                self.schedules[name] = schedule
                taken.append(schedule)
        return taken

    async def renew(self, claim: Claim, schedule: Schedule) -> bool:
        return self._change(schedule, lease_until=claim.until)

    async def end(self, schedule: Schedule, *, due_at: datetime, result: str, failed: bool = False) -> bool:
        return self._change(
            schedule,
            due_at=due_at,
            player=None,
            lease_until=None,
            ended_at=self.now(),
            failures=schedule.failures + 1 if failed else 0,
            result=result,
        )

    async def release(self, schedule: Schedule) -> None:
        self._change(schedule, player=None, lease_until=None)

    def _change(self, schedule: Schedule, **changes: object) -> bool:
        """Change one, if it is still as its claimant has it."""
        known = self.schedules.get(schedule.name)
        if known is None or known.begun != schedule.begun or known.player != schedule.player:
            return False
        self.schedules[schedule.name] = replace(known, **changes)  # type: ignore[arg-type]
        return True

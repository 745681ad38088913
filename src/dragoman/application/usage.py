"""What model calls used and cost: for a period, or for one run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from dragoman.domain.errors import Invalid
from dragoman.domain.identity import Principal
from dragoman.domain.ledger import Entry, GroupBy, Period, Report
from dragoman.ports.clock import Clock
from dragoman.ports.runs import RunStore
from dragoman.ports.usage import UsageLedger

DAYS = 30
"""How far a report goes back unless it is told."""


@dataclass(frozen=True, slots=True)
class UsageReports:
    ledger: UsageLedger
    runs: RunStore
    clock: Clock

    async def report(
        self, principal: Principal, since: datetime | None, until: datetime | None, by: GroupBy
    ) -> tuple[Period, Report]:
        until = until or self.clock.now()
        since = since or datetime.combine(until.date() - timedelta(days=DAYS), time(), until.tzinfo)
        if since > until:
            raise Invalid("A period ends after it begins.", field="to")
        period = Period(since, until)
        return period, await self.ledger.report(principal, period, by)

    async def of_run(self, principal: Principal, run_id: str) -> Sequence[Entry]:
        """Every request of a run, deleted ones included. ``NotFound`` where nobody was ever asked for this principal."""
        entries = await self.ledger.of_run(principal, run_id)
        if not entries:
            await self.runs.get(principal, run_id)
        return entries

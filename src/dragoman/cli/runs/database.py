"""Runs in the configured database, whether a server is running or not."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from dragoman.adapters.sql import SqlStore
from dragoman.cli.runs.source import Record
from dragoman.domain.approvals import ApprovalStatus, Decision
from dragoman.domain.identity import OPERATOR, Principal
from dragoman.domain.runs import Run, RunStatus
from dragoman.surfaces.http.responses import dump
from dragoman.surfaces.rest.wire import approval_record, run_record, wire_events

PAGE = 100
POLL = 0.25
"""Seconds between two looks at a log that has not ended."""


@dataclass(frozen=True, slots=True)
class DatabaseRuns:
    """``Source``: one user's runs."""

    store: SqlStore
    principal: Principal

    async def approvals(self, filters: Mapping[str, str], limit: int) -> AsyncIterator[Record]:
        """Those of everybody in the tenant: whoever reads the database is its operator."""
        status = ApprovalStatus(filters["status"]) if "status" in filters else None
        after = None
        while limit > 0:
            page = await self.store.approvals.list(self._operator, status=status, after=after, limit=min(limit, PAGE))
            for approval in page.approvals:
                yield _plain(approval_record(approval))
            limit -= len(page.approvals)
            if (after := page.next) is None:
                return

    async def decide(self, approval: Record, decision: Mapping[str, Any]) -> Record:
        """A server finds by itself that the run can go on. Changed arguments are checked when the call is made."""
        found = await self.store.approvals.get(self._operator, approval["run_id"], approval["approval_id"])
        said = Decision(
            decision["decision"] == "approve",
            self._operator.user,
            datetime.now(UTC),
            decision.get("arguments"),
            decision.get("message"),
        )
        return _plain(approval_record(await self.store.approvals.decide(found, said)))

    @property
    def _operator(self) -> Principal:
        return replace(OPERATOR, tenant=self.principal.tenant)

    async def list(self, filters: Mapping[str, str], limit: int) -> AsyncIterator[Record]:
        given: dict[str, Any] = dict(filters)
        if "status" in given:
            given["status"] = RunStatus(given["status"])
        after = None
        while limit > 0:
            page = await self.store.runs.list(self.principal, **given, after=after, limit=min(limit, PAGE))
            for run in page.runs:
                yield _record(run)
            limit -= len(page.runs)
            if (after := page.next) is None:
                return

    async def show(self, run_id: str) -> Record:
        return _record(await self.store.runs.get(self.principal, run_id))

    async def cancel(self, run_id: str, *, now: bool) -> Record:
        return _record(await self.store.runs.cancel(self.principal, run_id, "now" if now else "after_turn"))

    async def follow(self, run_id: str) -> AsyncIterator[Record]:
        after = -1
        while True:
            run = await self.store.runs.get(self.principal, run_id)
            while page := await self.store.events.read(self.principal, run_id, after, PAGE):
                for position, event in wire_events(page):
                    yield {"id": position, **_plain(event)}
                after = page[-1].position
            if run.status.ended:
                return
            await asyncio.sleep(POLL)


def _record(run: Run) -> Record:
    return _plain(run_record(run, sessions_enabled=True))


def _plain(value: Any) -> Record:
    """As it would come over the wire."""
    record: Record = orjson.loads(dump(value))
    return record

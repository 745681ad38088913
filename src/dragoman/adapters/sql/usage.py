"""The ledger of model calls as rows: written with the events that tell of them, added up by the database.

An amount is text with always the same number of decimals, so that without its point it is an integer: every database
adds integers exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from dragoman.adapters.sql.engine import Engine, Params, Script
from dragoman.adapters.sql.rows import micros, now
from dragoman.domain.events import Recorded
from dragoman.domain.identity import Principal
from dragoman.domain.ledger import Entry, GroupBy, Period, Report, Sum, entries
from dragoman.domain.usage import Usage, money
from dragoman.ports.usage import MAX_GROUPS

SCALE = 12

# A retry after a lost acknowledgement may bring what is already there.
INSERT = """
INSERT INTO usage (run_id, path, ordinal, "try", tenant, owner, conversation_id, agent, model, endpoint, status, code,
  input_tokens, output_tokens, total_tokens, cached_input_tokens, reasoning_tokens, estimated, cost, currency, latency_ms,
  created_at)
VALUES (:run_id, :path, :ordinal, :try, :tenant, :owner, :conversation_id, :agent, :model, :endpoint, :status, :code,
  :input_tokens, :output_tokens, :total_tokens, :cached_input_tokens, :reasoning_tokens, :estimated, :cost, :currency,
  :latency_ms, :now)
ON CONFLICT (run_id, path, ordinal, "try") DO NOTHING
"""

SUMS = """
count(*), count(*) - count(CASE WHEN status = 'answered' THEN 1 END), sum(estimated), count(*) - count(cost),
  sum(input_tokens), sum(output_tokens), sum(total_tokens), sum(cached_input_tokens), sum(reasoning_tokens),
  sum(CAST(REPLACE(cost, '.', '') AS BIGINT))
"""
MINE = "FROM usage WHERE tenant = :tenant AND owner = :owner AND created_at >= :since AND created_at < :until"
DAY = 86_400_000_000
GROUPS: dict[GroupBy, tuple[str, str]] = {
    "day": (f"created_at / {DAY}", "1"),
    "agent": ("agent", "2 DESC, 1"),
    "model": ("model", "2 DESC, 1"),
    "conversation": ("conversation_id", "2 DESC, conversation_id IS NOT NULL, 1"),
}
TOTAL = f"SELECT {SUMS} {MINE}"
REPORTS: dict[GroupBy, str] = {
    by: f"SELECT {group}, {SUMS} {MINE} GROUP BY {group} ORDER BY {order} LIMIT :limit"
    for by, (group, order) in GROUPS.items()
}

CALL = """path, ordinal, "try", agent, model, endpoint, status, code, input_tokens, output_tokens, total_tokens,
  cached_input_tokens, reasoning_tokens, estimated, cost, currency, latency_ms"""
OF_RUN = f"""
SELECT {CALL}
FROM usage WHERE run_id = :run_id AND tenant = :tenant AND owner = :owner ORDER BY path, ordinal, "try"
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Payer:
    """Whose run it is, and where."""

    conversation_id: str | None
    tenant: str
    owner: str


@dataclass(frozen=True, slots=True)
class SqlUsage:
    """``UsageLedger``."""

    engine: Engine

    async def report(self, principal: Principal, period: Period, by: GroupBy) -> Report:
        return await self.engine.read(principal, _report, principal, period, by)

    async def of_run(self, principal: Principal, run_id: str) -> Sequence[Entry]:
        return await self.engine.read(principal, _of_run, principal, run_id)


def charge(told: Sequence[tuple[str, Payer, Sequence[Recorded]]]) -> Script[None]:
    """Enter the model calls that events of some runs tell of."""
    at = now()
    rows = [_row(run_id, payer, entry, at) for run_id, payer, events in told for entry in entries(events)]
    if rows:
        yield INSERT, rows


def _row(run_id: str, payer: Payer, entry: Entry, at: int) -> Params:
    usage = entry.usage
    return {
        "run_id": run_id,
        "path": entry.path,
        "ordinal": entry.ordinal,
        "try": entry.number,
        "tenant": payer.tenant,
        "owner": payer.owner,
        "conversation_id": payer.conversation_id,
        "agent": entry.agent,
        "model": entry.model,
        "endpoint": entry.endpoint,
        "status": entry.status,
        "code": entry.code,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "estimated": int(entry.estimated),
        "cost": None if usage.cost is None else f"{Decimal(usage.cost):.{SCALE}f}",
        "currency": usage.currency,
        "latency_ms": entry.latency_ms,
        "now": at,
    }


def _report(principal: Principal, period: Period, by: GroupBy) -> Script[Report]:
    where = {
        "tenant": principal.tenant,
        "owner": principal.user,
        "since": micros(period.since),
        "until": micros(period.until),
    }
    ((*total,),) = yield TOTAL, where
    rows = yield REPORTS[by], {**where, "limit": MAX_GROUPS}
    return Report(_sum(total), tuple((_name(by, name), _sum(sums)) for name, *sums in rows))


def _name(by: GroupBy, name: Any) -> str | None:
    if by == "day":
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=int(name))).date().isoformat()
    return None if name is None else str(name)


def _sum(row: Sequence[Any]) -> Sum:
    *counts, cost = row
    requests, failed, estimated, unpriced, given, said, total, cached, reasoning = (int(count or 0) for count in counts)
    exact = None if cost is None else money(Decimal(int(cost)).scaleb(-SCALE))
    return Sum(requests, failed, estimated, unpriced, given, said, total, cached, reasoning, exact)


def _of_run(principal: Principal, run_id: str) -> Script[Sequence[Entry]]:
    rows = yield OF_RUN, {"run_id": run_id, "tenant": principal.tenant, "owner": principal.user}
    return [call_from(row) for row in rows]


def call_from(row: Sequence[Any]) -> Entry:
    path, ordinal, number, agent, model, endpoint, status, code = row[:8]
    given, said, total, cached, reasoning, estimated, cost, currency, latency_ms = row[8:]
    exact = None if cost is None else money(Decimal(cost))
    usage = Usage(1, given, said, total, cached, reasoning, exact, currency, (model,))
    return Entry(path, ordinal, number, agent, model, endpoint, status, code, usage, bool(estimated), latency_ms)

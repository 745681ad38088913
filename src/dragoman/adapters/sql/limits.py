"""Counted requests as rows: one for each who is limited, about the last minute in which he asked."""

from dataclasses import dataclass

from dragoman.adapters.sql.engine import SERVER, Engine, Script
from dragoman.domain.limits import Subject

# Of two processes whose clocks differ, the later minute counts.
ADD = """
INSERT INTO request_counts (tenant, kind, name, minute, requests) VALUES (:tenant, :kind, :name, :minute, :wanted)
ON CONFLICT (tenant, kind, name) DO UPDATE SET
  requests = CASE WHEN request_counts.minute < excluded.minute THEN 0 ELSE request_counts.requests END + excluded.requests,
  minute = CASE WHEN request_counts.minute < excluded.minute THEN excluded.minute ELSE request_counts.minute END
WHERE request_counts.minute < excluded.minute OR request_counts.requests < :limit
RETURNING requests
"""

FORGET = """
DELETE FROM request_counts WHERE (tenant, kind, name) IN (
  SELECT tenant, kind, name FROM request_counts WHERE minute < :before LIMIT :limit)
RETURNING 1
"""


@dataclass(frozen=True, slots=True)
class SqlRequestCounts:
    """``RequestCounts``."""

    engine: Engine

    async def add(self, subject: Subject, minute: int, wanted: int, limit: int) -> int | None:
        return await self.engine.write(SERVER, _add, subject, minute, wanted, limit)

    async def forget(self, before: int, limit: int) -> int:
        return await self.engine.write(SERVER, _forget, before, limit)


def _add(subject: Subject, minute: int, wanted: int, limit: int) -> Script[int | None]:
    whose = {"tenant": subject.tenant, "kind": subject.kind, "name": subject.name}
    rows = yield ADD, {**whose, "minute": minute, "wanted": wanted, "limit": limit}
    return rows[0][0] if rows else None


def _forget(before: int, limit: int) -> Script[int]:
    rows = yield FORGET, {"before": before, "limit": limit}
    return len(rows)

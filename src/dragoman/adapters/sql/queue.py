"""Who plays what: the queue is the runs' own rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dragoman.adapters.sql.engine import SERVER, Dialect, Engine, Script
from dragoman.adapters.sql.entering import entering
from dragoman.adapters.sql.items import chain
from dragoman.adapters.sql.presence import SHOWN
from dragoman.adapters.sql.record import record
from dragoman.adapters.sql.rows import RUN, micros, now, run_from
from dragoman.domain.events import UNFINISHED, Recorded, resumed_behind, started
from dragoman.domain.runs import Asked, Run, RunStatus, shares
from dragoman.ports.runs import SILENCE, Claim

# Every tenant that has something queued, found one after the other in the index; and how many of its runs are in progress.
TENANTS = """
WITH RECURSIVE waiting (tenant) AS (
  SELECT min(tenant) FROM runs WHERE status = 'queued'
  UNION ALL
  SELECT (SELECT min(tenant) FROM runs WHERE status = 'queued' AND tenant > waiting.tenant)
  FROM waiting WHERE waiting.tenant IS NOT NULL
)
SELECT tenant, (
  SELECT count(*) FROM runs
  WHERE status IN ('in_progress', 'requires_action') AND status = 'in_progress' AND runs.tenant = waiting.tenant)
FROM waiting WHERE tenant IS NOT NULL
"""

# A tenant's oldest queued runs, one per conversation, none behind an unfinished one.
CLAIMABLE = f"""
SELECT {RUN} FROM runs AS candidate
WHERE status = 'queued' AND tenant = :tenant AND NOT EXISTS (
  SELECT 1 FROM runs AS other
  WHERE other.conversation_id = candidate.conversation_id
    AND other.status IN ('queued', 'in_progress', 'requires_action')
    AND (other.status <> 'queued' OR (other.created_at, other.id) < (candidate.created_at, candidate.id)))
ORDER BY created_at, id LIMIT :limit FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - constants

TAKE = """
UPDATE runs SET status = 'in_progress', player = :player, lease_until = :until, base_item = :base_item
WHERE id = :id AND status = 'queued'
"""

# Whether a player whose claim is not over yet has died: where there can be others, it no longer holds the lock it shows itself by.
GONE: Mapping[Dialect, str] = {
    "sqlite": "CAST(:alone AS INTEGER) = 1 AND player <> :player",
    "postgresql": f"lease_until < :doubtful AND NOT {SHOWN}",
}
OVER = {dialect: f"(lease_until < :now OR ({gone}))" for dialect, gone in GONE.items()}

# Who waits for a person has no player, so its run is not among these.
ABANDONED = {
    dialect: f"""
SELECT {RUN} FROM runs WHERE status IN ('in_progress', 'requires_action') AND {over} ORDER BY created_at, id
"""  # noqa: S608 - constants
    for dialect, over in OVER.items()
}

RENEW = """
UPDATE runs SET lease_until = :until WHERE id = :id AND player = :player AND status = 'in_progress' RETURNING id, cancel
"""

RELEASE = {
    dialect: f"""
UPDATE runs SET status = 'queued', attempt = attempt + 1, player = NULL, lease_until = NULL
WHERE id = :id AND attempt = :attempt AND status = 'in_progress' AND (player = :player OR {over})
"""  # noqa: S608 - constants
    for dialect, over in OVER.items()
}

FINISHED = f"""
SELECT position, kind FROM events WHERE run_id = :id AND kind NOT IN {UNFINISHED} ORDER BY position DESC LIMIT 1
"""  # noqa: S608 - constants

WAITING = "SELECT count(*) FROM runs WHERE status = 'queued'"


@dataclass(frozen=True, slots=True)
class SqlQueue:
    """``RunQueue``."""

    engine: Engine

    async def claim(self, claim: Claim, limit: int) -> Sequence[Run]:
        return await self.engine.write(SERVER, _claim, claim, limit)

    async def renew(self, claim: Claim, run_ids: Collection[str]) -> Mapping[str, Asked | None]:
        return await self.engine.write(SERVER, _renew, claim, run_ids) if run_ids else {}

    async def abandoned(self, claim: Claim) -> Sequence[Run]:
        return await self.engine.read(SERVER, _abandoned, ABANDONED[self.engine.dialect], self._seen_by(claim))

    async def release(self, claim: Claim, runs: Sequence[Run]) -> None:
        if runs:
            await self.engine.write(SERVER, _release, RELEASE[self.engine.dialect], self._seen_by(claim), runs)

    def _seen_by(self, claim: Claim) -> dict[str, Any]:
        doubtful = micros(claim.until - SILENCE)
        return {"player": claim.player, "alone": int(self.engine.alone), "doubtful": doubtful}

    async def waiting(self) -> int:
        return await self.engine.read(SERVER, _waiting)


def take(runs: Sequence[Run], claim: Claim) -> Script[list[Run]]:
    """Make queued runs the claimant's: their input enters the conversations and their logs begin, or their logs go on."""
    entered = [entering(run) for run in runs if run.conversation_id is not None and run.attempt == 0]
    heads = yield from chain(entered, now())
    taken = [
        replace(run, status=RunStatus.IN_PROGRESS, base_item=heads.get(run.conversation_id or "", run.base_item))
        for run in runs
    ]
    until = micros(claim.until)
    yield (
        TAKE,
        [{"id": run.id, "player": claim.player, "until": until, "base_item": run.base_item} for run in taken],
    )
    logs: dict[str, list[Recorded]] = {}
    for run in taken:
        logs[run.id] = [(yield from _resumed(run)) if run.attempt else started(run)]
    yield from record(logs)
    return taken


def _resumed(run: Run) -> Script[Recorded]:
    rows = yield FINISHED, {"id": run.id}
    return resumed_behind(run, (rows[0][0], rows[0][1]) if rows else None)


def _claim(claim: Claim, limit: int) -> Script[Sequence[Run]]:
    taken: list[Run] = []
    active: dict[str, int] = dict((yield TENANTS, {}))
    while active and len(taken) < limit:
        for tenant, share in shares(active, limit - len(taken)).items():
            rows = yield CLAIMABLE, {"tenant": tenant, "limit": share}
            if rows:
                taken += yield from take([run_from(row) for row in rows], claim)
            active[tenant] += len(rows)
            if len(rows) < share:
                del active[tenant]
    return taken


def _renew(claim: Claim, run_ids: Collection[str]) -> Script[Mapping[str, Asked | None]]:
    until = micros(claim.until)
    rows = yield RENEW, [{"id": id, "player": claim.player, "until": until} for id in sorted(run_ids)]
    return dict(rows)


def _abandoned(sql: str, seen: Mapping[str, Any]) -> Script[Sequence[Run]]:
    rows = yield sql, {**seen, "now": now()}
    return [run_from(row) for row in rows]


def _release(sql: str, seen: Mapping[str, Any], runs: Sequence[Run]) -> Script[None]:
    seen = {**seen, "now": now()}
    yield sql, [{**seen, "id": run.id, "attempt": run.attempt} for run in sorted(runs, key=lambda run: run.id)]


def _waiting() -> Script[int]:
    rows = yield WAITING, {}
    count: int = rows[0][0]
    return count

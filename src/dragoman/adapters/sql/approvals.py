"""Approvals as rows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from dragoman.adapters.sql.engine import SERVER, Engine, Params, Script
from dragoman.adapters.sql.rows import Row, dumps, dumps_or_null, micros, moment, now
from dragoman.adapters.sql.usage import Payer
from dragoman.domain.approvals import Approval, ApprovalStatus, Decision
from dragoman.domain.errors import AlreadyDecided, NotFound
from dragoman.domain.events import ApprovalDecided, ApprovalRequested, Recorded
from dragoman.domain.identity import Principal
from dragoman.ports.approvals import ApprovalPage

COLUMNS = """id, run_id, tenant, owner, agent, tool, call_id, arguments, requested_at, expires_at, scope, path, conversation_id,
  status, changed_arguments, message, decided_by, decided_at"""

# A retry after a lost acknowledgement may bring what is already there.
INSERT = """
INSERT INTO approvals (id, run_id, tenant, owner, agent, tool, call_id, arguments, requested_at, expires_at, scope, path,
  conversation_id, status, logged)
VALUES (:id, :run_id, :tenant, :owner, :agent, :tool, :call_id, :arguments, :requested_at, :expires_at, :scope, :path,
  :conversation_id, 'pending', 0)
ON CONFLICT (id) DO NOTHING
"""

LOGGED = "UPDATE approvals SET logged = 1 WHERE id = :id"

# Whoever may decide it, sees it.
SEEN = """
tenant = :tenant AND (owner = :owner OR :all = 1 OR :scopes LIKE '%|' || scope || '|%')
"""
GET = f"SELECT {COLUMNS} FROM approvals WHERE id = :id AND run_id = :run_id AND {SEEN}"  # noqa: S608 - constants
LIST = f"""
SELECT {COLUMNS} FROM approvals
WHERE {SEEN} AND id < :after AND (CAST(:status AS TEXT) IS NULL OR status = :status)
  AND (CAST(:run_id AS TEXT) IS NULL OR run_id = :run_id)
ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 - constants
OF_RUN = f"SELECT {COLUMNS} FROM approvals WHERE run_id = :run_id ORDER BY id"  # noqa: S608 - constants
LATE = """
SELECT id, run_id FROM approvals WHERE status = 'pending' AND expires_at <= :now ORDER BY expires_at LIMIT :limit
"""

# Every decision about a run takes turns under its row, and so does its end.
LOCK = "SELECT id FROM runs WHERE id = :run_id FOR UPDATE"
DECIDE = """
UPDATE approvals SET status = :status, changed_arguments = :arguments, message = :message, decided_by = :by, decided_at = :at
WHERE id = :id AND status = 'pending' AND (expires_at IS NULL OR expires_at > :at)
RETURNING id
"""
EXPIRE = "UPDATE approvals SET status = 'expired', decided_at = :now WHERE id = :id AND status = 'pending'"
WITHDRAW = "UPDATE approvals SET status = 'withdrawn', decided_at = :now WHERE run_id = :run_id AND status = 'pending'"
WAKE = "UPDATE runs SET status = 'queued', attempt = attempt + 1 WHERE id = :run_id AND status = 'requires_action'"

# It has just begun to wait, and something has come that it does not know of.
WAKE_AGAIN = """
UPDATE runs SET status = 'queued', attempt = attempt + 1
WHERE id = :run_id AND status = 'requires_action' AND (COALESCE(cancel, 'steer') <> 'steer' OR EXISTS (
  SELECT 1 FROM approvals WHERE run_id = :run_id AND logged = 0 AND status IN ('approved', 'rejected', 'expired')))
"""

AFTER_ALL = "zzzz"  # above every id, in every collation


@dataclass(frozen=True, slots=True)
class SqlApprovals:
    """``ApprovalStore``."""

    engine: Engine

    async def get(self, principal: Principal, run_id: str, approval_id: str) -> Approval:
        return await self.engine.read(principal, _get, principal, run_id, approval_id)

    async def list(
        self,
        principal: Principal,
        *,
        status: ApprovalStatus | None = None,
        run_id: str | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> ApprovalPage:
        where = {"status": status and status.value, "run_id": run_id, "after": after or AFTER_ALL}
        return await self.engine.read(principal, _list, {**_seen(principal), **where}, limit)

    async def decide(self, approval: Approval, decision: Decision) -> Approval:
        return await self.engine.write(Principal(approval.owner, approval.tenant), _decide, approval, decision)

    async def of_run(self, run_id: str) -> Sequence[Approval]:
        return await self.engine.read(SERVER, _of_run, run_id)

    async def expire(self, now: datetime, limit: int) -> Sequence[str]:
        return await self.engine.write(SERVER, _expire, now, limit)


def note(appended: Iterable[tuple[str, Payer, Sequence[Recorded]]]) -> Script[None]:
    """Keep what these events of some runs tell of approvals: that they are asked for, and that their runs know of them."""
    asked: list[Params] = []
    logged: list[Params] = []
    for run_id, whose, recorded in appended:
        for entry in recorded:
            if isinstance(entry.event, ApprovalRequested):
                asked.append(_row(run_id, whose, entry.event))
            elif isinstance(entry.event, ApprovalDecided):
                logged.append({"id": entry.event.approval_id})
    if asked:
        yield INSERT, asked
    if logged:
        yield LOGGED, logged


def withdraw(run_ids: Iterable[str]) -> Script[None]:
    """What ended runs still asked for, nobody needs to decide."""
    at = now()
    yield WITHDRAW, [{"run_id": run_id, "now": at} for run_id in run_ids]


def wake_again(run_ids: Iterable[str]) -> Script[None]:
    """Queue those of some runs that have just begun to wait for which something has come meanwhile."""
    yield WAKE_AGAIN, [{"run_id": run_id} for run_id in run_ids]


def _row(run_id: str, whose: Payer, asked: ApprovalRequested) -> Params:
    return {
        "id": asked.approval_id,
        "run_id": run_id,
        "tenant": whose.tenant,
        "owner": whose.owner,
        "agent": asked.agent,
        "tool": asked.tool,
        "call_id": asked.call_id,
        "arguments": dumps(asked.arguments),
        "requested_at": micros(datetime.fromisoformat(asked.at)),
        "expires_at": micros(datetime.fromisoformat(asked.expires_at)) if asked.expires_at else None,
        "scope": asked.scope,
        "path": asked.path,
        "conversation_id": whose.conversation_id,
    }


def _seen(principal: Principal) -> dict[str, Any]:
    return {
        "tenant": principal.tenant,
        "owner": principal.user,
        "all": int(principal.may("admin")),
        "scopes": f"|{'|'.join(sorted(principal.scopes))}|",
    }


def _get(principal: Principal, run_id: str, approval_id: str) -> Script[Approval]:
    rows = yield GET, {"id": approval_id, "run_id": run_id, **_seen(principal)}
    if not rows:
        raise NotFound("approval", approval_id)
    return approval_from(rows[0])


def _list(where: dict[str, Any], limit: int) -> Script[ApprovalPage]:
    rows = yield LIST, {**where, "limit": limit + 1}
    approvals = tuple(approval_from(row) for row in rows[:limit])
    return ApprovalPage(approvals, next=approvals[-1].id if len(rows) > limit else None)


def _of_run(run_id: str) -> Script[Sequence[Approval]]:
    rows = yield OF_RUN, {"run_id": run_id}
    return [approval_from(row) for row in rows]


def _decide(approval: Approval, decision: Decision) -> Script[Approval]:
    locked = yield LOCK, {"run_id": approval.run_id}
    if not locked:
        raise NotFound("approval", approval.id)
    changed = yield (
        DECIDE,
        {
            "id": approval.id,
            "status": decision.status.value,
            "arguments": dumps_or_null(decision.arguments),
            "message": decision.message,
            "by": decision.by,
            "at": micros(decision.at),
        },
    )
    if not changed:
        raise AlreadyDecided
    yield WAKE, {"run_id": approval.run_id}
    rows = yield OF_RUN, {"run_id": approval.run_id}
    return next(found for found in map(approval_from, rows) if found.id == approval.id)


def _expire(at: datetime, limit: int) -> Script[Sequence[str]]:
    rows = yield LATE, {"now": micros(at), "limit": limit}
    runs = sorted({run_id for _, run_id in rows})  # two transactions never lock in opposite orders
    if runs:
        yield LOCK, [{"run_id": run_id} for run_id in runs]
        yield EXPIRE, [{"id": id, "now": micros(at)} for id, _ in rows]
        yield WAKE_AGAIN, [{"run_id": run_id} for run_id in runs]
    return runs


def approval_from(row: Row) -> Approval:
    (
        id,
        run_id,
        tenant,
        owner,
        agent,
        tool,
        call_id,
        arguments,
        requested_at,
        expires_at,
        scope,
        path,
        conversation_id,
    ) = row[:13]
    status, changed, message, decided_by, decided_at = row[13:]
    return Approval(
        id=id,
        run_id=run_id,
        tenant=tenant,
        owner=owner,
        agent=agent,
        tool=tool,
        call_id=call_id,
        arguments=orjson.loads(arguments),
        requested_at=moment(requested_at),
        expires_at=None if expires_at is None else moment(expires_at),
        scope=scope,
        path=path,
        conversation_id=conversation_id,
        status=ApprovalStatus(status),
        changed_arguments=None if changed is None else orjson.loads(changed),
        message=message,
        decided_by=decided_by,
        decided_at=None if decided_at is None else moment(decided_at),
    )

"""Approvals in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dragoman.adapters.memory.state import State
from dragoman.domain.approvals import Approval, ApprovalStatus, Decision
from dragoman.domain.errors import AlreadyDecided, NotFound
from dragoman.domain.identity import Principal
from dragoman.ports.approvals import ApprovalPage


@dataclass(frozen=True, slots=True)
class MemoryApprovals:
    """``ApprovalStore``."""

    state: State

    async def get(self, principal: Principal, run_id: str, approval_id: str) -> Approval:
        approval = self.state.approvals.get(approval_id)
        if approval is None or approval.run_id != run_id or not approval.seen_by(principal):
            raise NotFound("approval", approval_id)
        return approval

    async def list(
        self,
        principal: Principal,
        *,
        status: ApprovalStatus | None = None,
        run_id: str | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> ApprovalPage:
        found = [
            approval
            for _, approval in sorted(self.state.approvals.items(), reverse=True)
            if approval.seen_by(principal)
            and status in (None, approval.status)
            and run_id in (None, approval.run_id)
            and (after is None or approval.id < after)
        ]
        page = tuple(found[:limit])
        return ApprovalPage(page, next=page[-1].id if len(found) > limit else None)

    async def decide(self, approval: Approval, decision: Decision) -> Approval:
        known = self.state.approvals.get(approval.id)
        if known is None:
            raise NotFound("approval", approval.id)
        if known.status is not ApprovalStatus.PENDING or (known.expires_at and known.expires_at <= decision.at):
            raise AlreadyDecided
        decided = replace(
            known,
            status=decision.status,
            changed_arguments=decision.arguments,
            message=decision.message,
            decided_by=decision.by,
            decided_at=decision.at,
        )
        self._settle(decided)
        return decided

    async def of_run(self, run_id: str) -> Sequence[Approval]:
        return [approval for _, approval in sorted(self.state.approvals.items()) if approval.run_id == run_id]

    async def expire(self, now: datetime, limit: int) -> Sequence[str]:
        late = [
            approval
            for approval in self.state.approvals.values()
            if approval.status is ApprovalStatus.PENDING and approval.expires_at and approval.expires_at <= now
        ]
        for approval in late[:limit]:
            self._settle(replace(approval, status=ApprovalStatus.EXPIRED, decided_at=datetime.now(UTC)))
        return sorted({approval.run_id for approval in late[:limit]})

    def _settle(self, approval: Approval) -> None:
        self.state.approvals[approval.id] = approval
        self.state.unlogged.add(approval.id)
        self.state.wake(approval.run_id)

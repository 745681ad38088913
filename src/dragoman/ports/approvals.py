"""Approvals as rows. They come into being with the event that asks for them, by ``EventLog.append``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dragoman.domain.approvals import Approval, ApprovalStatus, Decision
from dragoman.domain.identity import Principal


@dataclass(frozen=True, slots=True)
class ApprovalPage:
    approvals: tuple[Approval, ...]
    next: str | None


class ApprovalStore(Protocol):
    """Every method is one short transaction. A principal sees those of its own runs, those whose scope it has, and as an
    administrator those of its tenant."""

    async def get(self, principal: Principal, run_id: str, approval_id: str) -> Approval:
        """One that the principal sees, or ``NotFound``."""
        ...

    async def list(
        self,
        principal: Principal,
        *,
        status: ApprovalStatus | None = None,
        run_id: str | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> ApprovalPage:
        """Those that the principal sees, newest first; ``after`` is the ``next`` of an earlier page."""
        ...

    async def decide(self, approval: Approval, decision: Decision) -> Approval:
        """Decide a pending one; of any number of decisions the first counts, every other raises ``AlreadyDecided``, and so do
        all once it has expired. In the same transaction a run that waits is queued for its next attempt. One that is still
        being played is queued when it would begin to wait."""
        ...

    async def of_run(self, run_id: str) -> Sequence[Approval]:
        """All of a run, oldest first. For its player."""
        ...

    async def expire(self, now: datetime, limit: int) -> Sequence[str]:
        """Expire some whose time is over, and queue their runs, as a decision does. Returns the ids of these runs."""
        ...

"""Approvals: a call of a tool that waits for a person, and what that person says."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from dragoman.domain.identity import Principal, Scope


class ApprovalStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"  # nobody decided in time; for the run the same as rejected
    WITHDRAWN = "withdrawn"  # the run ended without it


@dataclass(frozen=True, slots=True)
class Approval:
    id: str
    run_id: str
    tenant: str
    owner: str
    agent: str
    tool: str
    call_id: str
    arguments: Mapping[str, Any]  # as the model gave them
    requested_at: datetime
    expires_at: datetime | None = None
    scope: Scope | None = None  # of those who decide; None: whoever the run belongs to
    path: str = ""  # of the agent that called
    conversation_id: str | None = None
    status: ApprovalStatus = ApprovalStatus.PENDING
    changed_arguments: Mapping[str, Any] | None = None  # what the person put in their place
    message: str | None = None  # for the model
    decided_by: str | None = None
    decided_at: datetime | None = None

    def seen_by(self, principal: Principal) -> bool:
        if self.tenant != principal.tenant:
            return False
        return self.owner == principal.user or self.decided_through_scope(principal)

    def decided_by_right(self, principal: Principal) -> bool:
        """Whether this principal, who sees it, may decide it."""
        return self.scope is None or self.decided_through_scope(principal)

    def decided_through_scope(self, principal: Principal) -> bool:
        return principal.may(self.scope or "admin")


@dataclass(frozen=True, slots=True)
class Decision:
    approved: bool
    by: str
    at: datetime
    arguments: Mapping[str, Any] | None = None  # in place of those that the model gave
    message: str | None = None

    @property
    def status(self) -> ApprovalStatus:
        return ApprovalStatus.APPROVED if self.approved else ApprovalStatus.REJECTED

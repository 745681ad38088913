"""The audit log: what administrators did, and what was done to keys. It holds names and ids, never a secret."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from dragoman.domain.identity import Principal
from dragoman.domain.ids import audit_id

AuditAction = Literal["key.created", "key.revoked", "keys.listed", "audit.read"]
ACTIONS: dict[AuditAction, str] = {
    "key.created": "an API key was made; `target` is its id",
    "key.revoked": "an API key was revoked",
    "keys.listed": "somebody looked at the keys of a tenant",
    "audit.read": "somebody read the audit log",
}


@dataclass(frozen=True, slots=True)
class AuditEntry:
    id: str
    at: datetime
    tenant: str
    actor: str
    key: str | None  # the API key by which the actor came
    action: AuditAction
    target: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


def audit_entry(
    principal: Principal,
    action: AuditAction,
    at: datetime,
    *,
    tenant: str | None = None,
    target: str | None = None,
    **detail: Any,
) -> AuditEntry:
    """What this principal does, in the log of ``tenant``, its own unless it says another."""
    where = principal.tenant if tenant is None else tenant
    return AuditEntry(audit_id(), at, where, principal.user, principal.key, action, target, detail)

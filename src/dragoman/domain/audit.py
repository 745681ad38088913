"""The audit log: what administrators did, and what was done to keys. It holds names and ids, never a secret."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from dragoman.domain.identity import Principal
from dragoman.domain.ids import audit_id

AuditAction = Literal[
    "key.created",
    "key.revoked",
    "keys.listed",
    "audit.read",
    "person.exported",
    "person.erased",
    "conversation.held",
    "conversation.released",
]
ACTIONS: dict[AuditAction, str] = {
    "key.created": "an API key was made; `target` is its id",
    "key.revoked": "an API key was revoked",
    "keys.listed": "somebody looked at the keys of a tenant",
    "audit.read": "somebody read the audit log",
    "person.exported": "everything of a user was exported; `target` is the user",
    "person.erased": "everything of a user was erased; `target` stands for the name from then on",
    "conversation.held": "a conversation must be kept; `target` is its id, `detail.user` its owner",
    "conversation.released": "it need not be kept any more",
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


def about(entry: AuditEntry, user: str) -> AuditEntry:
    """The same, saying whose thing it is about."""
    return replace(entry, detail={**entry.detail, "user": user})


def names(entry: AuditEntry, user: str) -> bool:
    """Whether an entry of the user's tenant tells of them, as who did it or to whom."""
    target = entry.target == user and entry.action.startswith("person.")
    return entry.actor == user or target or entry.detail.get("user") == user


def without_name(entry: AuditEntry, user: str, pseudonym: str) -> AuditEntry:
    """The same, when that user is to be forgotten: with another name, and without what a thing of theirs was called."""
    detail = entry.detail
    if detail.get("user") == user:
        detail = {name: value for name, value in detail.items() if name != "name"} | {"user": pseudonym}
    return replace(
        entry,
        actor=pseudonym if entry.actor == user else entry.actor,
        target=pseudonym if entry.target == user and entry.action.startswith("person.") else entry.target,
        detail=detail,
    )

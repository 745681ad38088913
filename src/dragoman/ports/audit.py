"""The audit log: entries are added and read, never changed."""

from dataclasses import dataclass
from typing import Protocol

from dragoman.domain.audit import AuditAction, AuditEntry


@dataclass(frozen=True, slots=True)
class AuditPage:
    entries: tuple[AuditEntry, ...]
    next: str | None


class AuditLog(Protocol):
    async def append(self, entry: AuditEntry) -> None:
        """Durable when this returns."""
        ...

    async def page(
        self,
        tenant: str | None,
        *,
        actor: str | None = None,
        action: AuditAction | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> AuditPage:
        """Newest first; ``after`` is the ``next`` of an earlier page. Without a tenant: of all, for the operator."""
        ...

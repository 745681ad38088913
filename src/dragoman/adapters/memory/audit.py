"""The audit log in memory."""

from dataclasses import dataclass

from dragoman.adapters.memory.state import State
from dragoman.domain.audit import AuditAction, AuditEntry
from dragoman.ports.audit import AuditPage


@dataclass(frozen=True, slots=True)
class MemoryAudit:
    """``AuditLog``."""

    state: State

    async def append(self, entry: AuditEntry) -> None:
        self.state.audit.append(entry)

    async def page(
        self,
        tenant: str | None,
        *,
        actor: str | None = None,
        action: AuditAction | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> AuditPage:
        found = [
            entry
            for entry in sorted(self.state.audit, key=lambda entry: entry.id, reverse=True)
            if tenant in (None, entry.tenant)
            and actor in (None, entry.actor)
            and action in (None, entry.action)
            and (after is None or entry.id < after)
        ]
        return AuditPage(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)

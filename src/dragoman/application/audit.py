"""The verbs of the audit log."""

from dataclasses import dataclass

from dragoman.domain.audit import AuditAction, audit_entry
from dragoman.domain.errors import Forbidden
from dragoman.domain.identity import Principal
from dragoman.ports.audit import AuditLog, AuditPage
from dragoman.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class Audit:
    log: AuditLog
    clock: Clock

    async def page(
        self,
        principal: Principal,
        *,
        tenant: str | None,
        actor: str | None = None,
        action: AuditAction | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> AuditPage:
        """What happened, newest first. That somebody looked is in the log as well, for the next one."""
        if not principal.may("admin"):
            raise Forbidden("admin")
        page = await self.log.page(tenant, actor=actor, action=action, after=after, limit=limit)
        await self.log.append(audit_entry(principal, "audit.read", self.clock.now(), tenant=tenant))
        return page

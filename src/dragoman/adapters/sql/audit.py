"""The audit log as rows. Nothing here changes or removes one."""

from dataclasses import dataclass

import orjson

from dragoman.adapters.sql.engine import Engine, Params, Script, administrator_of
from dragoman.adapters.sql.rows import Row, dumps, micros, moment
from dragoman.domain.audit import AuditAction, AuditEntry
from dragoman.ports.audit import AuditPage

COLUMNS = "id, at, tenant, actor, key, action, target, detail"

INSERT = """
INSERT INTO audit (id, at, tenant, actor, key, action, target, detail)
VALUES (:id, :at, :tenant, :actor, :key, :action, :target, :detail)
"""

LIST = f"""
SELECT {COLUMNS} FROM audit
WHERE (CAST(:tenant AS TEXT) IS NULL OR tenant = :tenant) AND (CAST(:actor AS TEXT) IS NULL OR actor = :actor)
  AND (CAST(:action AS TEXT) IS NULL OR action = :action) AND (CAST(:after AS TEXT) IS NULL OR id < :after)
ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class SqlAudit:
    """``AuditLog``."""

    engine: Engine

    async def append(self, entry: AuditEntry) -> None:
        await self.engine.write(administrator_of(entry.tenant), audited, entry)

    async def page(
        self,
        tenant: str | None,
        *,
        actor: str | None = None,
        action: AuditAction | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> AuditPage:
        where = {"tenant": tenant, "actor": actor, "action": action, "after": after}
        return await self.engine.read(administrator_of(tenant), _page, where, limit)


def audited(entry: AuditEntry) -> Script[None]:
    """Write an entry, perhaps within the transaction of what it tells."""
    yield (
        INSERT,
        {
            "id": entry.id,
            "at": micros(entry.at),
            "tenant": entry.tenant,
            "actor": entry.actor,
            "key": entry.key,
            "action": entry.action,
            "target": entry.target,
            "detail": dumps(entry.detail),
        },
    )


def _page(where: Params, limit: int) -> Script[AuditPage]:
    rows = yield LIST, {**where, "limit": limit + 1}
    entries = tuple(entry_from(row) for row in rows[:limit])
    return AuditPage(entries, entries[-1].id if len(rows) > limit else None)


def entry_from(row: Row) -> AuditEntry:
    id, at, tenant, actor, key, action, target, detail = row
    return AuditEntry(id, moment(at), tenant, actor, key, action, target, orjson.loads(detail))

"""API keys as rows."""

from dataclasses import dataclass, fields, replace
from datetime import datetime

import orjson

from dragoman.adapters.sql.audit import audited
from dragoman.adapters.sql.engine import SERVER, Engine, Params, Script, administrator_of
from dragoman.adapters.sql.rows import Row, dumps, micros, moment
from dragoman.domain.audit import AuditEntry
from dragoman.domain.errors import NotFound
from dragoman.domain.identity import known_scopes
from dragoman.domain.keys import ApiKey
from dragoman.ports.keys import KeyPage

_FIELDS = tuple(field.name for field in fields(ApiKey))  # each has a column of its name
_TIMES = ("created_at", "expires_at", "last_used_at", "revoked_at")
KEY = ", ".join(_FIELDS)

INSERT = f"INSERT INTO api_keys ({KEY}) VALUES ({', '.join(f':{name}' for name in _FIELDS)})"  # noqa: S608 - constants
FIND = f"SELECT {KEY} FROM api_keys WHERE id = :id"  # noqa: S608 - constants
LOCKED = f"{FIND} AND (CAST(:tenant AS TEXT) IS NULL OR tenant = :tenant) FOR UPDATE"
LIST = f"""
SELECT {KEY} FROM api_keys
WHERE (CAST(:tenant AS TEXT) IS NULL OR tenant = :tenant) AND (CAST(:owner AS TEXT) IS NULL OR owner = :owner)
  AND (CAST(:after AS TEXT) IS NULL OR id < :after)
ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 - constants
REVOKE = "UPDATE api_keys SET revoked_at = :at WHERE id = :id"
USED = "UPDATE api_keys SET last_used_at = :at WHERE id = :id"


@dataclass(frozen=True, slots=True)
class SqlKeys:
    """``KeyStore``."""

    engine: Engine

    async def create(self, key: ApiKey, entry: AuditEntry) -> None:
        await self.engine.write(administrator_of(key.tenant), _create, key, entry)

    async def find(self, key_id: str) -> ApiKey | None:
        return await self.engine.read(SERVER, _find, key_id)

    async def list(
        self, tenant: str | None, *, owner: str | None = None, after: str | None = None, limit: int = 20
    ) -> KeyPage:
        return await self.engine.read(
            administrator_of(tenant), _list, {"tenant": tenant, "owner": owner, "after": after}, limit
        )

    async def revoke(self, tenant: str | None, key_id: str, entry: AuditEntry) -> ApiKey:
        return await self.engine.write(administrator_of(tenant), _revoke, tenant, key_id, entry)

    async def used(self, key_id: str, at: datetime) -> None:
        await self.engine.write(SERVER, _used, key_id, at)


def _create(key: ApiKey, entry: AuditEntry) -> Script[None]:
    yield INSERT, _params(key)
    yield from audited(entry)


def _find(key_id: str) -> Script[ApiKey | None]:
    rows = yield FIND, {"id": key_id}
    return key_from(rows[0]) if rows else None


def _list(where: Params, limit: int) -> Script[KeyPage]:
    rows = yield LIST, {**where, "limit": limit + 1}
    keys = tuple(key_from(row) for row in rows[:limit])
    return KeyPage(keys, keys[-1].id if len(rows) > limit else None)


def _revoke(tenant: str | None, key_id: str, entry: AuditEntry) -> Script[ApiKey]:
    rows = yield LOCKED, {"id": key_id, "tenant": tenant}
    if not rows:
        raise NotFound("key", key_id)
    key = key_from(rows[0])
    if key.revoked_at is not None:
        return key
    yield REVOKE, {"id": key_id, "at": micros(entry.at)}
    yield from audited(replace(entry, tenant=key.tenant))
    return replace(key, revoked_at=entry.at)


def _used(key_id: str, at: datetime) -> Script[None]:
    yield USED, {"id": key_id, "at": micros(at)}


def _params(key: ApiKey) -> Params:
    values = {name: getattr(key, name) for name in _FIELDS}
    times = {name: None if values[name] is None else micros(values[name]) for name in _TIMES}
    return {**values, **times, "scopes": dumps(sorted(key.scopes))}


def key_from(row: Row) -> ApiKey:
    values = dict(zip(_FIELDS, row, strict=True))
    times = {name: None if values[name] is None else moment(values[name]) for name in _TIMES}
    return ApiKey(**{**values, **times, "scopes": known_scopes(orjson.loads(values["scopes"]))})

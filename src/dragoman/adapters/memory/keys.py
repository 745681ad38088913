"""API keys in memory."""

from dataclasses import dataclass, replace
from datetime import datetime

from dragoman.adapters.memory.state import State
from dragoman.domain.audit import AuditEntry
from dragoman.domain.errors import NotFound
from dragoman.domain.keys import ApiKey
from dragoman.ports.keys import KeyPage


@dataclass(frozen=True, slots=True)
class MemoryKeys:
    """``KeyStore``."""

    state: State

    async def create(self, key: ApiKey, entry: AuditEntry) -> None:
        self.state.api_keys[key.id] = key
        self.state.audit.append(entry)

    async def find(self, key_id: str) -> ApiKey | None:
        return self.state.api_keys.get(key_id)

    async def list(
        self, tenant: str | None, *, owner: str | None = None, after: str | None = None, limit: int = 20
    ) -> KeyPage:
        found = [
            key
            for key in sorted(self.state.api_keys.values(), key=lambda key: key.id, reverse=True)
            if tenant in (None, key.tenant) and owner in (None, key.owner) and (after is None or key.id < after)
        ]
        return KeyPage(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)

    async def revoke(self, tenant: str | None, key_id: str, entry: AuditEntry) -> ApiKey:
        key = self.state.api_keys.get(key_id)
        if key is None or tenant not in (None, key.tenant):
            raise NotFound("key", key_id)
        if key.revoked_at is None:
            key = self.state.api_keys[key_id] = replace(key, revoked_at=entry.at)
            self.state.audit.append(replace(entry, tenant=key.tenant))
        return key

    async def used(self, key_id: str, at: datetime) -> None:
        if (key := self.state.api_keys.get(key_id)) is not None:
            self.state.api_keys[key_id] = replace(key, last_used_at=at)

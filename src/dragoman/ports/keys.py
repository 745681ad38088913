"""API keys, as they are kept."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from dragoman.domain.audit import AuditEntry
from dragoman.domain.keys import ApiKey


@dataclass(frozen=True, slots=True)
class KeyPage:
    keys: tuple[ApiKey, ...]
    next: str | None


class KeyStore(Protocol):
    """Every method is one short transaction. An entry that comes along is written to the audit log in the same one. Where
    a tenant may be ``None``, that is any tenant: for the operator of the server alone."""

    async def create(self, key: ApiKey, entry: AuditEntry) -> None: ...

    async def find(self, key_id: str) -> ApiKey | None:
        """A key of any tenant, revoked and expired ones included: it is found before anybody knows whose it is."""
        ...

    async def list(
        self, tenant: str | None, *, owner: str | None = None, after: str | None = None, limit: int = 20
    ) -> KeyPage:
        """Newest first; ``after`` is the ``next`` of an earlier page."""
        ...

    async def revoke(self, tenant: str | None, key_id: str, entry: AuditEntry) -> ApiKey:
        """From the moment of the entry. One that is revoked already stays as it is, and nothing is written. ``NotFound`` if
        the tenant has none of that id. The entry's tenant becomes that of the key."""
        ...

    async def used(self, key_id: str, at: datetime) -> None:
        """Remember when a key was used last."""
        ...

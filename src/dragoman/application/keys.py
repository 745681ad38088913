"""The verbs of API keys, for administrators: create, list, revoke."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from dragoman.domain.audit import audit_entry
from dragoman.domain.errors import Forbidden, Invalid, NotFound
from dragoman.domain.identity import ORDINARY, SCOPES, Principal, Scope, is_name, known_scopes
from dragoman.domain.keys import PREFIX, ApiKey, digest_of, id_in, new_key
from dragoman.ports.audit import AuditLog
from dragoman.ports.clock import Clock
from dragoman.ports.keys import KeyPage, KeyStore

MAX_KEY_NAME = 200


@dataclass(frozen=True, slots=True)
class Keys:
    """An administrator reaches the keys of one tenant. The operator, at the command line, reaches any: ``tenant=None``."""

    store: KeyStore
    audit: AuditLog
    clock: Clock

    async def create(
        self,
        principal: Principal,
        user: str,
        *,
        tenant: str,
        scopes: Iterable[str] | None = None,
        name: str = "",
        lifetime: timedelta | None = None,
    ) -> tuple[ApiKey, str]:
        """A key for a user, and the key itself, which nobody can ever see again. Without scopes: the ordinary ones."""
        _check_administrator(principal)
        now = self.clock.now()
        id, shown = new_key()
        key = ApiKey(
            id=id,
            tenant=_checked(tenant, "tenant"),
            owner=_checked(user, "user"),
            name=_checked_label(name),
            scopes=ORDINARY if scopes is None else _checked_scopes(scopes),
            digest=digest_of(shown),
            created_at=now,
            created_by=principal.user,
            expires_at=None if lifetime is None else now + lifetime,
        )
        told = {"user": key.owner, "name": key.name, "scopes": sorted(key.scopes)}
        await self.store.create(
            key, audit_entry(principal, "key.created", now, tenant=key.tenant, target=key.id, **told)
        )
        return key, shown

    async def list(
        self,
        principal: Principal,
        *,
        tenant: str | None,
        user: str | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> KeyPage:
        _check_administrator(principal)
        page = await self.store.list(tenant, owner=user, after=after, limit=limit)
        await self.audit.append(audit_entry(principal, "keys.listed", self.clock.now(), tenant=tenant, user=user))
        return page

    async def revoke(self, principal: Principal, key_id: str, *, tenant: str | None) -> ApiKey:
        """From now on the key is good for nothing; servers that know it find out within seconds."""
        _check_administrator(principal)
        id = id_in(key_id) or key_id  # whoever finds a key lying about may know nothing else of it
        if id.startswith(PREFIX):  # nearly a key, which nobody shall read in an error
            raise NotFound("key", f"{PREFIX}…")
        entry = audit_entry(principal, "key.revoked", self.clock.now(), tenant=tenant, target=id)
        return await self.store.revoke(tenant, id, entry)


def _check_administrator(principal: Principal) -> None:
    if not principal.may("admin"):
        raise Forbidden("admin")


def _checked(value: str, field: str) -> str:
    if not is_name(value):
        raise Invalid(f"A {field} has 1 to 255 printable characters.", field=field)
    return value


def _checked_label(name: str) -> str:
    if len(name) > MAX_KEY_NAME or (name and not name.isprintable()):
        raise Invalid(f"A name has at most {MAX_KEY_NAME} printable characters.", field="name")
    return name


def _checked_scopes(scopes: Iterable[str]) -> frozenset[Scope]:
    given = set(scopes)
    if not given or given - set(SCOPES):
        raise Invalid(f"A scope is one of {', '.join(SCOPES)}.", field="scopes")
    return known_scopes(given)

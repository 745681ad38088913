"""``KeyStore`` and ``AuditLog``: what is kept of keys, and what happened to them."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dragoman.domain.audit import audit_entry
from dragoman.domain.errors import NotFound
from dragoman.domain.identity import OPERATOR, Principal
from dragoman.domain.keys import ApiKey, digest_of, new_key
from tests.contracts.talk import Store

NOW = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
BOSS = Principal("boss", "acme", frozenset({"admin"}), "key_of_boss")


def made(owner: str = "alice", tenant: str = "acme", **fields: object) -> ApiKey:
    id, shown = new_key()
    scopes = frozenset({"runs:write", "usage:read"})
    return ApiKey(id, tenant, owner, "a name", scopes, digest_of(shown), NOW, "boss", **fields)


async def create(store: Store, *keys: ApiKey) -> None:
    for key in keys:
        entry = audit_entry(BOSS, "key.created", NOW, tenant=key.tenant, target=key.id, user=key.owner)
        await store.keys.create(key, entry)


async def revoke(store: Store, key: ApiKey, tenant: str | None = "acme") -> ApiKey:
    entry = audit_entry(BOSS, "key.revoked", NOW, tenant=tenant, target=key.id)
    return await store.keys.revoke(tenant, key.id, entry)


async def actions(store: Store, tenant: str | None = "acme") -> list[tuple[str, str | None]]:
    """In no order: what happens within a millisecond has none."""
    page = await store.audit.page(tenant)
    return sorted((entry.action, entry.target) for entry in page.entries)


async def test_a_key_is_found_as_it_was_made(store: Store):
    key = made(expires_at=NOW + timedelta(days=90))
    await create(store, key)
    assert await store.keys.find(key.id) == key
    assert await store.keys.find("key_nothing") is None


async def test_what_is_kept_does_not_hold_the_key(store: Store):
    id, shown = new_key()
    key = replace(made(), id=id, digest=digest_of(shown))
    await create(store, key)
    found = await store.keys.find(id)
    assert found.fits(shown)
    assert shown.rpartition("_")[2] not in repr(found)
    assert found.digest not in repr(found)


async def test_keys_are_listed_newest_first_in_pages_by_tenant_and_owner(store: Store):
    alices, bob, elsewhere = [made() for _ in range(3)], made("bob"), made(tenant="other")
    await create(store, *alices, bob, elsewhere)
    ids = sorted((key.id for key in alices), reverse=True)
    page = await store.keys.list("acme", owner="alice", limit=2)
    assert [key.id for key in page.keys] == ids[:2]
    rest = await store.keys.list("acme", owner="alice", after=page.next, limit=2)
    assert ([key.id for key in rest.keys], rest.next) == (ids[2:], None)
    assert len((await store.keys.list("acme")).keys) == 4
    assert len((await store.keys.list(None)).keys) == 5
    assert (await store.keys.list("nobody")).keys == ()


async def test_a_revoked_key_stays_and_is_revoked_once(store: Store):
    key = made()
    await create(store, key)
    assert (await revoke(store, key)).revoked_at == NOW
    again = await store.keys.revoke("acme", key.id, audit_entry(BOSS, "key.revoked", NOW + timedelta(days=1)))
    assert again.revoked_at == NOW
    assert (await store.keys.find(key.id)).revoked_at == NOW
    assert await actions(store) == [("key.created", key.id), ("key.revoked", key.id)]


async def test_two_who_revoke_at_once_leave_one_entry(store: Store):
    key = made()
    await create(store, key)
    await asyncio.gather(*(revoke(store, key) for _ in range(5)))
    assert await actions(store) == [("key.created", key.id), ("key.revoked", key.id)]


async def test_another_tenants_key_looks_like_none_and_nothing_happens_to_it(store: Store):
    key = made(tenant="other")
    await create(store, key)
    with pytest.raises(NotFound):
        await revoke(store, key, "acme")
    assert (await store.keys.find(key.id)).revoked_at is None
    assert await actions(store, None) == [("key.created", key.id)]


async def test_the_operator_revokes_any_key_and_its_tenant_reads_of_it(store: Store):
    key = made(tenant="other")
    await create(store, key)
    await store.keys.revoke(None, key.id, audit_entry(OPERATOR, "key.revoked", NOW, target=key.id))
    assert await actions(store, "other") == [("key.created", key.id), ("key.revoked", key.id)]


async def test_the_last_use_of_a_key_is_remembered(store: Store):
    key = made()
    await create(store, key)
    await store.keys.used(key.id, NOW)
    await store.keys.used("key_nothing", NOW)
    assert (await store.keys.find(key.id)).last_used_at == NOW


async def test_entries_are_read_as_they_were_written_newest_first_in_pages(store: Store):
    entries = [audit_entry(BOSS, "keys.listed", NOW, user="ünï", n=n) for n in range(3)]
    for entry in entries:
        await store.audit.append(entry)
    await store.audit.append(audit_entry(Principal("boss", "other"), "keys.listed", NOW))
    newest = sorted(entries, key=lambda entry: entry.id, reverse=True)
    page = await store.audit.page("acme", limit=2)
    assert list(page.entries) == newest[:2]
    rest = await store.audit.page("acme", after=page.next, limit=2)
    assert (list(rest.entries), rest.next) == (newest[2:], None)
    assert newest[0].key == "key_of_boss"
    assert len((await store.audit.page(None)).entries) == 4


async def test_entries_are_found_by_who_and_by_what(store: Store):
    await store.audit.append(audit_entry(BOSS, "keys.listed", NOW))
    await store.audit.append(audit_entry(replace(BOSS, user="deputy"), "audit.read", NOW))
    assert [e.actor for e in (await store.audit.page("acme", actor="deputy")).entries] == ["deputy"]
    assert [e.actor for e in (await store.audit.page("acme", action="keys.listed")).entries] == ["boss"]

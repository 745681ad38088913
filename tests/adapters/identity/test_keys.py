"""API keys at the door: which are good, and how soon one that was revoked is not."""

from datetime import UTC, datetime, timedelta

import pytest

from dragoman.adapters.identity.keys import COARSE, MAX_KNOWN, ApiKeys
from dragoman.adapters.memory import MemoryStore
from dragoman.application.keys import Keys
from dragoman.domain.errors import InvalidToken, StorageUnavailable, TokenExpired
from dragoman.domain.identity import OPERATOR, Principal
from dragoman.domain.keys import new_key


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 11, 20, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class Counted:
    """A store of keys that counts how often it is asked, and may be down."""

    def __init__(self, keys) -> None:
        self._keys = keys
        self.found = self.written = 0
        self.down = False

    async def find(self, key_id):
        self.found += 1
        if self.down:
            raise StorageUnavailable
        return await self._keys.find(key_id)

    async def used(self, key_id, at):
        self.written += 1
        if self.down:
            raise StorageUnavailable
        await self._keys.used(key_id, at)


class Door:
    def __init__(self, fresh: float = 60.0) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.admin = Keys(self.store.keys, self.store.audit, self.clock)
        self.counted = Counted(self.store.keys)
        self.keys = ApiKeys(self.counted, self.clock, fresh=fresh)

    async def key(self, **more):
        return await self.admin.create(OPERATOR, "alice", tenant="acme", scopes=["runs:write"], **more)


async def test_whoever_shows_a_key_is_its_owner_as_far_as_its_scopes_go():
    door = Door()
    key, shown = await door.key()
    assert await door.keys.verify(shown) == Principal("alice", "acme", frozenset({"runs:write"}), key.id)


async def test_what_is_not_that_key_is_invalid():
    door = Door()
    _, shown = await door.key()
    _, unknown = new_key()
    other_secret = shown[:-43] + unknown[-43:]
    for token in (other_secret, unknown, shown[:-1], shown + "x", shown.upper(), "dgm_", "dgm_" + "x" * 70):
        with pytest.raises(InvalidToken):
            await door.keys.verify(token)


async def test_an_expired_key_is_told_so_if_it_was_one():
    door = Door()
    _, shown = await door.key(lifetime=timedelta(days=90))
    assert await door.keys.verify(shown)
    door.clock.at += timedelta(days=90)
    with pytest.raises(TokenExpired):
        await door.keys.verify(shown)
    with pytest.raises(InvalidToken):
        await door.keys.verify(shown[:-43] + new_key()[1][-43:])


async def test_a_revoked_key_is_good_until_it_is_looked_up_again_and_not_after():
    remembering, asking = Door(), Door(fresh=0.0)
    for door, good in ((remembering, True), (asking, False)):
        key, shown = await door.key()
        await door.keys.verify(shown)
        await door.admin.revoke(OPERATOR, key.id, tenant=None)
        if good:
            assert await door.keys.verify(shown)
        else:
            with pytest.raises(InvalidToken):
                await door.keys.verify(shown)


async def test_many_requests_ask_the_store_once_also_for_keys_that_are_not_there():
    door = Door()
    _, shown = await door.key()
    for _ in range(100):
        await door.keys.verify(shown)
    assert (door.counted.found, door.counted.written) == (1, 1)
    _, unknown = new_key()
    for _ in range(100):
        with pytest.raises(InvalidToken):
            await door.keys.verify(unknown)
    assert door.counted.found == 2


async def test_invented_keys_fill_no_memory():
    door = Door()
    for _ in range(MAX_KNOWN + 100):
        with pytest.raises(InvalidToken):
            await door.keys.verify(new_key()[1])
    assert len(door.keys._known) == MAX_KNOWN


async def test_the_last_use_is_written_now_and_then():
    door = Door(fresh=0.0)
    key, shown = await door.key()
    await door.keys.verify(shown)
    door.clock.at += COARSE / 2
    await door.keys.verify(shown)
    assert door.counted.written == 1
    door.clock.at += COARSE
    await door.keys.verify(shown)
    assert (await door.store.keys.find(key.id)).last_used_at == door.clock.at


async def test_a_known_key_opens_while_the_database_is_down_and_an_unknown_one_is_not_called_wrong():
    door = Door()
    _, shown = await door.key()
    _, second = await door.key()
    await door.keys.verify(shown)
    door.counted.down = True
    door.clock.at += COARSE
    assert await door.keys.verify(shown)
    with pytest.raises(StorageUnavailable):
        await door.keys.verify(second)

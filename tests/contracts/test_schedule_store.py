"""``ScheduleStore``: what is due is claimed once, and whoever lost it says nothing more about it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.contracts.talk import Store, Talk

MINUTE = timedelta(minutes=1)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


async def names(store: Store, talk: Talk, player: str = "player", **how: bool) -> list[str]:
    """What somebody gets who asks for everything."""
    claimed = await store.schedules.claim(talk.claim(player), ["one", "two", "three"], **how)
    return [schedule.name for schedule in claimed]


async def test_what_is_entered_is_due_at_its_time_and_never_later_than_before(store: Store):
    await store.schedules.enter({"two": now() + MINUTE, "one": now()})
    first = await store.schedules.all()
    await store.schedules.enter({"two": now() + 9 * MINUTE, "one": now() - MINUTE})
    one, two = await store.schedules.all()

    assert [schedule.name for schedule in first] == ["one", "two"]
    assert one.due_at < first[0].due_at
    assert two == first[1]
    assert (two.begun, two.player, two.ended_at, two.failures, two.result) == (0, None, None, 0, "")


async def test_only_what_is_due_is_claimed_and_only_what_was_asked_for(store: Store, talk: Talk):
    await store.schedules.enter({"one": now() - MINUTE, "two": now() + MINUTE, "other": now() - MINUTE})

    assert await names(store, talk) == ["one"]
    assert await names(store, talk) == []
    assert not await store.schedules.claim(talk.claim(), [])


async def test_by_hand_it_is_claimed_early_but_not_from_somebody_who_is_at_it(store: Store, talk: Talk):
    await store.schedules.enter({"one": now() - MINUTE, "two": now() + MINUTE})
    assert await names(store, talk) == ["one"]

    assert await names(store, talk, "hand", early=True) == ["two"]


async def test_of_many_claimants_one_gets_it(store: Store, talk: Talk):
    await store.schedules.enter(dict.fromkeys(["one", "two", "three"], now() - MINUTE))

    got = await asyncio.gather(*(names(store, talk, f"player {n}") for n in range(20)))

    assert sorted(name for names in got for name in names) == ["one", "three", "two"]


async def test_when_it_has_ended_it_is_due_again_and_says_how_it_went(store: Store, talk: Talk):
    await store.schedules.enter({"one": now() - MINUTE})
    for failed, failures in ((True, 1), (True, 2), (False, 0)):
        (claimed,) = await store.schedules.claim(talk.claim(), ["one"])
        assert await store.schedules.end(claimed, due_at=now() - MINUTE, result="So so", failed=failed)
        (ended,) = await store.schedules.all()
        assert (ended.failures, ended.result, ended.player, ended.lease_until) == (failures, "So so", None, None)
        assert ended.due_at <= now() - MINUTE
        assert ended.ended_at is not None
        assert ended.begun == claimed.begun


async def test_one_whose_claim_is_over_is_claimed_by_another_and_the_first_is_not_heard(store: Store, talk: Talk):
    await store.schedules.enter({"one": now() - MINUTE})
    (lost,) = await store.schedules.claim(talk.claim("frozen", seconds=-1), ["one"])
    (taken,) = await store.schedules.claim(talk.claim("awake"), ["one"])

    assert taken.begun == lost.begun + 1
    assert not await store.schedules.renew(talk.claim("frozen"), lost)
    assert not await store.schedules.end(lost, due_at=now(), result="Too late")
    await store.schedules.release(lost)
    assert await store.schedules.all() == [taken]
    assert await store.schedules.end(taken, due_at=now() + MINUTE, result="Well")


async def test_who_renews_keeps_it(store: Store, talk: Talk):
    await store.schedules.enter({"one": now() - MINUTE})
    (claimed,) = await store.schedules.claim(talk.claim(seconds=-1), ["one"])
    held = talk.claim()

    assert await store.schedules.renew(held, claimed)
    assert await names(store, talk, "another") == []
    assert await store.schedules.all() == [replace(claimed, lease_until=held.until)]


async def test_what_is_given_back_is_due_as_it_was(store: Store, talk: Talk):
    await store.schedules.enter({"one": now() - MINUTE})
    (before,) = await store.schedules.all()
    (claimed,) = await store.schedules.claim(talk.claim(), ["one"])

    await store.schedules.release(claimed)

    assert await store.schedules.all() == [replace(before, begun=1)]
    assert await names(store, talk) == ["one"]

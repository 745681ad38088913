"""``RequestCounts``: requests of a minute, counted for everybody together."""

import asyncio

from dragoman.domain.limits import Subject
from tests.contracts.talk import Store

SARAH = Subject("default", "user", "sarah")
TOM = Subject("default", "user", "tom")


async def test_requests_are_counted_up_to_the_limit_and_anew_in_the_next_minute(store: Store):
    counts = store.request_counts
    assert [await counts.add(SARAH, 7, 1, 2) for _ in range(3)] == [1, 2, None]
    assert await counts.add(SARAH, 8, 1, 2) == 1
    assert await counts.add(SARAH, 7, 1, 2) == 2, "by a clock that is late"


async def test_everybody_is_counted_for_himself(store: Store):
    counts = store.request_counts
    others = (TOM, Subject("default", "key", "sarah"), Subject("elsewhere", "user", "sarah"))
    assert await counts.add(SARAH, 7, 1, 1) == 1
    assert [await counts.add(other, 7, 1, 1) for other in others] == [1, 1, 1]


async def test_several_may_be_counted_at_once_and_the_last_draw_may_pass_the_limit(store: Store):
    counts = store.request_counts
    assert [await counts.add(SARAH, 7, 4, 10) for _ in range(4)] == [4, 8, 12, None]


async def test_of_many_who_count_at_once_no_two_get_the_same(store: Store):
    counted = await asyncio.gather(*(store.request_counts.add(SARAH, 7, 1, 20) for _ in range(40)))
    assert sorted(each for each in counted if each is not None) == list(range(1, 21))


async def test_what_was_counted_long_ago_is_forgotten(store: Store):
    counts = store.request_counts
    await counts.add(SARAH, 7, 1, 1)
    await counts.add(TOM, 9, 1, 1)
    assert await counts.forget(9, 10) == 1
    assert await counts.forget(9, 10) == 0
    assert await counts.add(SARAH, 7, 1, 1) == 1
    assert await counts.add(TOM, 9, 1, 1) is None

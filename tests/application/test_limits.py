"""Requests per minute, as one process after the other counts them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dragoman.adapters.memory import MemoryStore
from dragoman.application.limits import Limiter
from dragoman.domain.identity import Principal
from dragoman.domain.limits import LimitBook, Limits, Subject

SARAH = Principal("sarah")
TOM = Principal("tom")


@dataclass
class Moment:
    at: datetime = datetime(2026, 1, 1, 12, 0, 15, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


class Counting:
    """The counts of a store, and how often they were asked."""

    def __init__(self) -> None:
        self.asked = 0
        self._counts = MemoryStore().request_counts

    async def add(self, *args):
        self.asked += 1
        return await self._counts.add(*args)


def book(per_minute: int, **more: int) -> LimitBook:
    return LimitBook({"user": Limits(per_minute), **{kind: Limits(limit) for kind, limit in more.items()}})


async def admitted(limiter: Limiter, principal: Principal, times: int) -> int:
    standings = [await limiter.admit(principal) for _ in range(times)]
    return sum(not standing.refused for standing in standings)


async def test_requests_are_admitted_up_to_the_limit_and_again_in_the_next_minute():
    clock = Moment()
    limiter = Limiter(Counting(), book(3), clock)
    standings = [await limiter.admit(SARAH) for _ in range(4)]
    assert [(each.limit, each.remaining, each.reset, each.refused) for each in standings] == [
        (3, 2, 45, False),
        (3, 1, 45, False),
        (3, 0, 45, False),
        (3, 0, 45, True),
    ]
    assert await admitted(limiter, TOM, 5) == 3
    clock.at += timedelta(seconds=45)
    assert await admitted(limiter, SARAH, 5) == 3


async def test_processes_share_a_limit_and_ask_seldom_where_it_is_large():
    counts, clock = Counting(), Moment()
    one, two = Limiter(counts, book(1000), clock), Limiter(counts, book(1000), clock)
    first = await admitted(one, SARAH, 501)
    assert first + await admitted(two, SARAH, 1000) + await admitted(one, SARAH, 500) == 1000
    assert counts.asked == 1000 / 20 + 1, "twenty are drawn at a time"


async def test_whoever_is_refused_costs_the_store_nothing_more():
    counts = Counting()
    limiter = Limiter(counts, book(2), Moment())
    assert await admitted(limiter, SARAH, 100) == 2
    assert counts.asked == 2


async def test_the_nearest_limit_is_told_and_a_refused_user_costs_his_tenant_nothing():
    limiter = Limiter(Counting(), book(2, tenant=3), Moment())
    assert [(await limiter.admit(SARAH)).remaining for _ in range(2)] == [1, 0]
    assert await admitted(limiter, SARAH, 10) == 0
    assert (await limiter.admit(TOM)).remaining == 0, "of the tenant's three"
    standing = await limiter.admit(TOM)
    assert (standing.limit, standing.refused) == (3, True)


async def test_keys_are_counted_for_themselves_and_whoever_has_none_is_not_limited_by_it():
    limiter = Limiter(Counting(), LimitBook({"key": Limits(1)}), Moment())
    one, two = Principal("sarah", key="key_1"), Principal("sarah", key="key_2")
    assert [await admitted(limiter, each, 3) for each in (one, two)] == [1, 1]
    assert await limiter.admit(SARAH) is None


def test_a_tenant_may_have_limits_of_its_own_or_none():
    server = {"user": Limits(60, concurrent_runs=5)}
    found = LimitBook(server, {"acme": {"user": Limits(600)}, "free": {"user": Limits(0, 0)}})
    assert list(found.of(Principal("a", "other"))) == [(Subject("other", "user", "a"), Limits(60, 5))]
    assert list(found.of(Principal("a", "acme"))) == [(Subject("acme", "user", "a"), Limits(600, 5))]
    assert list(found.of(Principal("a", "free"))) == []
    assert not found.empty
    assert LimitBook({"user": Limits(0)}).empty

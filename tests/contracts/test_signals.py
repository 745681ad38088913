"""``Signals`` between several processes of one database; here each process is only its name."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from dragoman.adapters.memory.signals import MemorySignals
from dragoman.adapters.sql.signals import PostgresSignals
from dragoman.ports.signals import Alone, Hearer, Signal, Signals
from tests.postgres import PostgresServer

PATIENCE = 15.0


class Ear:
    """Remembers what it heard."""

    def __init__(self) -> None:
        self.heard: asyncio.Queue[Signal] = asyncio.Queue()

    def hear(self, signal: Signal) -> None:
        self.heard.put_nowait(signal)

    async def next(self) -> Signal:
        async with asyncio.timeout(PATIENCE):
            return await self.heard.get()


def memory(_: pytest.FixtureRequest) -> Callable[[str], Signals]:
    hearers: dict[str, Hearer] = {}
    return lambda name: MemorySignals(name, hearers)


def postgresql(request: pytest.FixtureRequest) -> Callable[[str], Signals]:
    url: str = request.getfixturevalue("postgres_url")
    return lambda name: PostgresSignals(url, name)


MAKERS = {"memory": memory, "postgresql": postgresql}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Callable[[str], Signals]:
    return MAKERS[request.param](request)


@contextlib.asynccontextmanager
async def listening(signals: Signals) -> AsyncIterator[Ear]:
    ear = Ear()
    await signals.start(ear)
    try:
        assert await ear.next() == Signal("missed"), "what was sent before may have been lost"
        assert await signals.check() is None
        yield ear
    finally:
        await signals.stop()


async def test_all_others_hear_what_is_sent_to_all(make: Callable[[str], Signals]) -> None:
    one, two, three = make("one"), make("two"), make("three")
    async with listening(one) as at_one, listening(two) as at_two, listening(three) as at_three:
        one.send("claimable")
        assert await at_two.next() == await at_three.next() == Signal("claimable", sender="one")
        two.send("asked", ["run_1"])
        assert await at_one.next() == Signal("asked", frozenset({"run_1"}), "two"), "nobody hears himself"


async def test_one_hears_what_is_sent_to_it_alone(make: Callable[[str], Signals]) -> None:
    one, two, three = make("one"), make("two"), make("three")
    async with listening(one), listening(two) as at_two, listening(three) as at_three:
        one.send("grown", ["run_1", "run_2"], to="two")
        one.send("claimable")
        assert {await at_two.next(), await at_two.next()} == {
            Signal("grown", frozenset({"run_1", "run_2"}), "one"),
            Signal("claimable", sender="one"),
        }
        assert await at_three.next() == Signal("claimable", sender="one")


async def test_many_runs_arrive_however_many_signals_they_take(make: Callable[[str], Signals]) -> None:
    one, two = make("one"), make("two")
    wanted = {f"run_{n:026}" for n in range(1000)}
    async with listening(one), listening(two) as ear:
        one.send("followed", wanted)
        heard: set[str] = set()
        while heard != wanted:
            heard |= (await ear.next()).run_ids


async def test_what_was_sent_is_heard_although_its_sender_has_gone(make: Callable[[str], Signals]) -> None:
    one, two = make("one"), make("two")
    async with listening(two) as ear:
        async with listening(one):
            one.send("claimable")
        assert await ear.next() == Signal("claimable", sender="one")


async def test_whoever_has_gone_is_not_told_and_nobody_minds(make: Callable[[str], Signals]) -> None:
    one, two = make("one"), make("two")
    async with listening(one):
        async with listening(two) as ear:
            pass
        one.send("grown", ["run_1"], to="two")
        one.send("claimable")
    assert ear.heard.empty()


async def test_a_process_that_is_alone_is_told_nothing() -> None:
    alone, ear = Alone(), Ear()
    await alone.start(ear)
    alone.send("claimable")
    assert await alone.check() is None
    await alone.stop()
    assert ear.heard.empty()


async def test_after_a_lost_connection_it_is_said_that_signals_may_be_missing(
    postgres: PostgresServer, postgres_url: str
) -> None:
    one, two = PostgresSignals(postgres_url, "one"), PostgresSignals(postgres_url, "two")
    async with listening(one), listening(two) as ear:
        assert postgres.hang_up(postgres_url) == 2
        assert await ear.next() == Signal("missed")
        async with asyncio.timeout(PATIENCE):
            while await one.check() is not None:
                await asyncio.sleep(0.01)
        one.send("claimable")
        assert await ear.next() == Signal("claimable", sender="one")


async def test_without_a_database_it_says_so_and_sending_fails_nobody() -> None:
    signals, ear = PostgresSignals("postgresql://nobody@127.0.0.1:1/nowhere", "one"), Ear()
    await signals.start(ear)
    signals.send("claimable")
    assert await signals.check() is not None
    await signals.stop()
    assert ear.heard.empty()

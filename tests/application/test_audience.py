"""Who waits for news of runs, here and elsewhere: two processes as two names, one store."""

import asyncio
from collections.abc import AsyncIterator, Collection

import pytest

from dragoman.adapters.memory import MemoryStore
from dragoman.adapters.memory.signals import MemorySignals
from dragoman.application.audience import KEPT, REPEAT, Audience
from dragoman.application.log import LiveLog
from dragoman.domain.events import Delta, RunCompleted
from dragoman.domain.events import started as run_started
from dragoman.domain.runs import RunStatus
from dragoman.domain.usage import Usage
from dragoman.ports.events import End
from dragoman.ports.signals import Hearer, SignalKind
from tests.contracts.talk import Talk

PATIENCE = 10.0
NEVER = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Sent(MemorySignals):
    """Keeps what was sent."""

    def __init__(self, name: str, hearers: dict[str, Hearer]) -> None:
        super().__init__(name, hearers)
        self.sent: list[tuple[SignalKind, list[str], str | None]] = []

    def send(self, kind: SignalKind, run_ids: Collection[str] = (), *, to: str | None = None) -> None:
        self.sent.append((kind, sorted(run_ids), to))
        super().send(kind, run_ids, to=to)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def signals() -> Sent:
    return Sent("here", {})


@pytest.fixture
def audience(signals: Sent, clock: Clock) -> Audience:
    return Audience(signals, time=clock)


async def test_without_interest_nothing_is_sent(audience: Audience, signals: Sent) -> None:
    audience.tell(["run_1"], resting=["run_1"])
    assert not audience.followed(["run_1"])
    assert signals.sent == []


async def test_every_interested_process_is_told_once_of_all_its_runs(audience: Audience, signals: Sent) -> None:
    audience.heard("followed", "there", ["run_1", "run_2", "run_3"])
    audience.heard("followed", "yonder", ["run_2"])
    audience.tell(["run_1", "run_2"])
    assert signals.sent == [("grown", ["run_1", "run_2"], "there"), ("grown", ["run_2"], "yonder")]


async def test_whoever_waits_for_the_end_hears_of_nothing_else(audience: Audience, signals: Sent) -> None:
    audience.heard("awaited", "there", ["run_1"])
    audience.tell(["run_1"])
    assert not audience.followed(["run_1"])
    assert signals.sent == []
    audience.tell(["run_1"], resting=["run_1"])
    assert signals.sent == [("grown", ["run_1"], "there")]


async def test_interest_that_is_not_repeated_is_over(audience: Audience, signals: Sent, clock: Clock) -> None:
    audience.heard("followed", "there", ["run_1"])
    clock.now += KEPT - 1
    assert audience.heard("followed", "there", ["run_1"]) == [], "it is known"
    clock.now += KEPT - 1
    assert audience.followed(["run_1"])
    clock.now += KEPT
    assert not audience.followed(["run_1"])
    audience.tell(["run_1"])
    assert signals.sent == []
    assert audience.heard("followed", "there", ["run_1"]) == ["run_1"]


async def test_a_wish_is_repeated_now_and_then_for_all_who_have_it(
    audience: Audience, signals: Sent, clock: Clock
) -> None:
    with audience.watch("run_1") as one, audience.watch("run_1") as two:
        for _ in range(3):
            await one.news("followed", 0)
            await two.news("followed", 0)
        assert signals.sent == [("followed", ["run_1"], None)]
        clock.now += REPEAT
        await one.news("followed", 0)
        audience.wake_all()
        await two.news("followed", 0)
    assert signals.sent == [("followed", ["run_1"], None)] * 3, "again after a while, and when it may have been lost"


async def test_news_between_two_looks_are_not_missed(audience: Audience) -> None:
    async with asyncio.timeout(PATIENCE):
        with audience.watch("run_1") as watch:
            watch.look()
            audience.wake(["run_1", "run_2"])
            await watch.news("followed", NEVER)


# with a log ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def talk() -> Talk:
    return Talk(MemoryStore())


@pytest.fixture
async def log(talk: Talk, audience: Audience) -> AsyncIterator[LiveLog]:
    log = LiveLog(talk.store.events, tick=NEVER, audience=audience)
    await log.start()
    async with asyncio.timeout(PATIENCE):
        yield log
        await log.stop()


async def test_what_is_shown_is_stored_soon_while_somebody_elsewhere_follows(
    log: LiveLog, talk: Talk, signals: Sent, audience: Audience
) -> None:
    run = await talk.playing()
    audience.heard("followed", "there", [run.id])
    channel = log.open(run.id, run.attempt)
    channel.begin_with(run_started(run))
    assert signals.sent.pop() == ("grown", [run.id], "there"), "it has begun"
    for n in range(1, 4):
        channel.show(Delta("text", "a"))
        while len(await talk.log(run)) < n + 1:  # and not when the tick is over
            await asyncio.sleep(0)
    while not signals.sent:
        await asyncio.sleep(0)
    assert set(map(str, signals.sent)) == {str(("grown", [run.id], "there"))}


async def test_what_waits_is_stored_when_somebody_elsewhere_begins_to_follow(log: LiveLog, talk: Talk) -> None:
    run = await talk.playing()
    channel = log.open(run.id, run.attempt)
    channel.begin_with(run_started(run))
    channel.show(Delta("text", "a"))
    await asyncio.sleep(0)
    log.hurry()
    while len(await talk.log(run)) < 2:
        await asyncio.sleep(0)


async def test_a_run_that_has_just_ended_is_remembered(log: LiveLog, talk: Talk, audience: Audience) -> None:
    run = await talk.playing()
    channel = log.open(run.id, run.attempt)
    channel.begin_with(run_started(run))
    assert not audience.has_rested(run.id)
    end = End(RunStatus.COMPLETED, Usage())
    await channel.record(RunCompleted(RunStatus.COMPLETED, None, Usage(), 1, "s"), end=end)
    assert audience.has_rested(run.id)

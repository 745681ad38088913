"""The live log over a real store: what readers see, when, and what happens when the store does not answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from dragoman.adapters.memory import MemoryStore
from dragoman.application.log import TAIL, Channel, LiveLog
from dragoman.domain.errors import LogFull, StorageUnavailable
from dragoman.domain.events import Delta, Event, ItemDone, Progress, Recorded, RunCompleted, RunFailed, Steered
from dragoman.domain.events import started as run_started
from dragoman.domain.identity import Principal
from dragoman.domain.items import NewItem, assistant_message, tool_output
from dragoman.domain.runs import POSITIONS_PER_ATTEMPT, Run, RunOptions, RunStatus
from dragoman.domain.usage import Usage
from dragoman.ports.events import Append, End, EventLog
from tests.contracts.talk import SARAH, Talk

PATIENCE = 10.0
MESSAGE = ItemDone("message_output_created", assistant_message("Hi"), "chat")
UNSTORABLE = ItemDone("tool_output", tool_output("c", object()), "chat")


class Valve:
    """An event log that can be closed, so that appends wait, or broken, so that they fail."""

    def __init__(self, events: EventLog) -> None:
        self.broken = False
        self.batches: list[int] = []  # how many appends each transaction held
        self.asked = asyncio.Event()
        self._events = events
        self._open = asyncio.Event()
        self._open.set()

    def close(self) -> None:
        self._open.clear()
        self.asked.clear()

    def open(self) -> None:
        self._open.set()

    async def append(self, batch: Sequence[Append]) -> frozenset[str]:
        self.asked.set()
        await self._open.wait()
        if self.broken:
            raise StorageUnavailable
        lost = await self._events.append(batch)
        self.batches.append(len(batch))
        return lost

    async def absorb(self, run_id: str, attempt: int, position: int) -> Steered | None:
        self.asked.set()
        await self._open.wait()
        if self.broken:
            raise StorageUnavailable
        return await self._events.absorb(run_id, attempt, position)

    async def read(self, principal: Principal, run_id: str, after: int, limit: int) -> Sequence[Recorded]:
        return await self._events.read(principal, run_id, after, limit)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def talk(store: MemoryStore) -> Talk:
    return Talk(store)


@pytest.fixture
def valve(store: MemoryStore) -> Valve:
    return Valve(store.events)


@pytest.fixture
async def log(valve: Valve) -> AsyncIterator[LiveLog]:
    log = LiveLog(valve, tick=0.005, retry=0.005)
    await log.start()
    async with asyncio.timeout(PATIENCE):
        yield log
        valve.open()
        valve.broken = False
        await log.stop()


async def opened(log: LiveLog, talk: Talk, session: str | None = "s") -> tuple[Run, Channel]:
    run = await talk.playing(session=session)
    channel = log.open(run.id, run.attempt)
    channel.begin_with(run_started(run))
    return run, channel


def seen(channel: Channel, after: int = 0) -> list[Event]:
    """What may be shown, behind the first event."""
    recorded = channel.since(after)
    assert recorded is not None
    return [entry.event for entry in recorded]


def said(channel: Channel) -> str:
    return "".join(event.text if isinstance(event, Delta) else "|" for event in seen(channel))


def text(words: str) -> Delta:
    return Delta("text", words)


async def stored(talk: Talk, run: Run) -> list[Event]:
    return [entry.event for entry in (await talk.log(run))[1:]]


# order and visibility ------------------------------------------------------------------------------------------------


async def test_deltas_are_seen_at_once_and_stored_a_moment_later(log: LiveLog, valve: Valve, talk: Talk):
    run, channel = await opened(log, talk)
    valve.close()

    channel.show(text("Hel"))
    channel.show(text("lo"))

    assert said(channel) == "Hello"
    assert await stored(talk, run) == []
    valve.open()
    await channel.record()  # nothing of its own: settles when everything before it has
    channel.show(text("!"))
    await channel.record(MESSAGE)
    assert await stored(talk, run) == [text("Hel"), text("lo"), text("!"), MESSAGE]


async def test_a_durable_event_is_seen_only_once_it_is_stored(log: LiveLog, valve: Valve, talk: Talk):
    run, channel = await opened(log, talk)
    valve.close()

    settled = asyncio.ensure_future(channel.record(MESSAGE))
    await valve.asked.wait()

    assert seen(channel) == []
    assert not settled.done()
    valve.open()
    await settled
    assert seen(channel) == await stored(talk, run) == [MESSAGE]


async def test_deltas_are_not_seen_before_an_earlier_durable_event(log: LiveLog, valve: Valve, talk: Talk):
    _, channel = await opened(log, talk)
    valve.close()

    channel.show(text("a"))
    settled = channel.record(MESSAGE)
    channel.show(text("b"))
    channel.show(Progress("tool", "working"))
    await valve.asked.wait()

    assert said(channel) == "a"
    valve.open()
    await settled
    assert said(channel) == "a|b|"


async def test_what_is_written_while_storing_is_seen_up_to_the_next_durable_event(
    log: LiveLog, valve: Valve, talk: Talk
):
    _, channel = await opened(log, talk)
    valve.close()
    first = channel.record(MESSAGE)
    await valve.asked.wait()
    channel.show(text("a"))
    valve.asked.clear()
    second = channel.record(MESSAGE)
    channel.show(text("b"))

    valve.open()
    await first
    assert said(channel) in {"|a", "|a|b"}
    await second
    assert said(channel) == "|a|b"


async def test_readers_see_every_event_once_in_order(log: LiveLog, talk: Talk):
    run, channel = await opened(log, talk)

    async def reader() -> list[Recorded]:
        read: list[Recorded] = []
        while not channel.closed or channel.since(read[-1].position if read else -1):
            after = read[-1].position if read else -1
            batch = channel.since(after)
            assert batch is not None
            read += batch
            await channel.changed(read[-1].position)
        return read

    readers = [asyncio.ensure_future(reader()) for _ in range(5)]
    for i in range(300):
        channel.show(text(f"{i} "))
        if i % 50 == 0:
            await channel.record(MESSAGE)
        if i % 7 == 0:
            await asyncio.sleep(0)
    completed = RunCompleted(RunStatus.COMPLETED, "x", Usage())
    await channel.record(completed, end=End(RunStatus.COMPLETED, Usage(), (NewItem(assistant_message("x")),)))
    channel.close()

    whole = await talk.log(run)
    assert [entry.position for entry in whole] == list(range(len(whole)))
    for read in await asyncio.gather(*readers):
        assert read == whole
    assert await talk.texts() == ["Hello", "x"]


async def test_many_runs_are_stored_in_one_transaction(log: LiveLog, valve: Valve, talk: Talk):
    channels = [(await opened(log, talk, session=None))[1] for _ in range(20)]

    await asyncio.gather(*(channel.record(MESSAGE) for channel in channels))

    assert max(valve.batches) >= 10
    assert log.health.events == 20


# the store fails -----------------------------------------------------------------------------------------------------


async def test_a_store_that_fails_and_recovers_loses_nothing(log: LiveLog, valve: Valve, talk: Talk):
    run, channel = await opened(log, talk)
    valve.broken = True

    channel.show(text("a"))
    settled = asyncio.ensure_future(channel.record(MESSAGE))
    while log.health.failures < 3:
        await asyncio.sleep(0)
    channel.show(text("b"))

    assert log.health.failing_since is not None
    assert not settled.done()
    assert said(channel) == "a"  # nothing durable is shown before it is
    valve.broken = False
    await settled
    channel.show(text("c"))
    await channel.record(MESSAGE)
    assert await stored(talk, run) == [text("a"), MESSAGE, text("b"), text("c"), MESSAGE]
    assert log.health.failing_since is None


async def test_stopping_stores_what_is_still_in_memory(valve: Valve, talk: Talk):
    log = LiveLog(valve, tick=60.0)
    await log.start()
    run, channel = await opened(log, talk)
    channel.show(text("last words"))

    await asyncio.wait_for(log.stop(), PATIENCE)

    assert await stored(talk, run) == [text("last words")]
    assert not log.alive


async def test_stopping_ends_although_the_store_fails(valve: Valve, talk: Talk):
    log = LiveLog(valve, tick=0.005, retry=0.005)
    await log.start()
    _, channel = await opened(log, talk)
    valve.broken = True
    channel.show(text("lost"))

    await asyncio.wait_for(log.stop(), PATIENCE)


async def test_an_event_that_cannot_be_stored_ends_its_own_run_only(log: LiveLog, valve: Valve, talk: Talk):
    good_run, good = await opened(log, talk, session="good")
    bad_run, bad = await opened(log, talk, session="bad")
    broken = asyncio.Event()
    bad.on_unstorable = broken.set
    valve.close()
    good.show(text("fine"))
    results = asyncio.gather(good.record(MESSAGE), bad.record(UNSTORABLE))
    valve.open()

    await results

    assert broken.is_set()
    assert await stored(talk, good_run) == [text("fine"), MESSAGE]
    assert not good.closed
    failed = RunFailed("internal_error", "Something went wrong on our side.")
    await bad.record(failed, end=End(RunStatus.FAILED, Usage()))  # what its player does now
    assert await stored(talk, bad_run) == [failed]
    assert (await talk.store.runs.get(SARAH, bad_run.id)).status is RunStatus.FAILED


async def test_an_unstorable_event_is_never_seen(log: LiveLog, talk: Talk):
    _, channel = await opened(log, talk)
    await channel.record(MESSAGE)
    await channel.record(UNSTORABLE)
    channel.show(text("after"))

    assert channel.since(0) is None  # its place is a gap: readers go to the store
    await channel.record(MESSAGE)
    assert all(entry.event != UNSTORABLE for entry in channel.since(2) or ())


# fences --------------------------------------------------------------------------------------------------------------


async def test_a_run_taken_away_is_closed_for_readers_and_stopped(log: LiveLog, talk: Talk):
    run, channel = await opened(log, talk)
    fenced = asyncio.Event()
    channel.on_fenced = fenced.set
    waiting = asyncio.ensure_future(channel.changed(0))
    await asyncio.sleep(0)
    await talk.finish(run)  # somebody else ended it

    await channel.record(MESSAGE)  # raises nothing

    assert fenced.is_set()
    assert channel.fenced
    assert channel.closed
    assert channel.done.is_set()
    await waiting
    assert seen(channel) == []  # what was not stored is not shown


async def test_nobody_waits_for_what_a_closed_channel_will_never_store(log: LiveLog, talk: Talk):
    run, channel = await opened(log, talk)
    channel.fence()

    channel.show(text("too late"))
    await channel.record(RunFailed("c", "m"), end=End(RunStatus.FAILED, Usage()))

    assert seen(channel) == await stored(talk, run) == []


async def test_recording_nothing_waits_for_nothing(log: LiveLog, talk: Talk):
    _, channel = await opened(log, talk)
    await channel.record()


async def test_a_fenced_run_does_not_trouble_the_others(log: LiveLog, valve: Valve, talk: Talk):
    run, lost = await opened(log, talk, session="lost")
    going_run, going = await opened(log, talk, session="going")
    await talk.finish(run)

    await asyncio.gather(lost.record(MESSAGE), going.record(MESSAGE))

    assert lost.fenced
    assert not going.fenced
    assert await stored(talk, going_run) == [MESSAGE]


async def test_a_dismissed_channel_has_a_last_word_and_stores_nothing_more(log: LiveLog, talk: Talk):
    run, channel = await opened(log, talk)
    await talk.store.sessions.delete(SARAH, "s")
    gone = RunFailed("conversation_deleted", "Gone.")
    channel.dismiss(gone)
    channel.show(text("anybody?"))

    assert channel.closed
    assert channel.last_word == gone
    await log.stop()
    assert await talk.log(run) == []


# bounds --------------------------------------------------------------------------------------------------------------


async def test_a_slow_reader_goes_to_the_store_and_memory_stays_bounded(log: LiveLog, talk: Talk):
    run, channel = await opened(log, talk)
    for i in range(10 * TAIL):
        channel.show(text(f"{i} "))
        if i % 500 == 0:
            await channel.record(MESSAGE)
    await channel.record(MESSAGE)
    last = (await talk.log(run))[-1].position

    assert channel.since(0) is None
    in_memory = [after for after in range(last) if channel.since(after) is not None]
    assert TAIL <= len(in_memory) <= 3 * TAIL
    tail = channel.since(in_memory[0])
    assert tail == await talk.store.events.read(SARAH, run.id, in_memory[0], 10 * TAIL)


async def test_a_log_that_is_full_says_so_and_keeps_a_place_for_the_end(log: LiveLog, talk: Talk):
    run, channel = await opened(log, talk)
    channel.begin_with(Recorded(POSITIONS_PER_ATTEMPT - 4, MESSAGE))  # almost at the limit
    channel.show(text("a"))
    channel.show(text("b"))

    with pytest.raises(LogFull):
        channel.show(text("c"))
    with pytest.raises(LogFull):
        channel.record(MESSAGE)
    await channel.record(RunFailed("log_full", "Full."), end=End(RunStatus.FAILED, Usage()))
    assert (await talk.log(run))[-1].position == POSITIONS_PER_ATTEMPT - 1


async def test_the_last_reader_to_leave_is_noticed(log: LiveLog, talk: Talk):
    _, channel = await opened(log, talk)
    abandoned = []
    channel.on_abandoned = lambda: abandoned.append(log.readers)

    with channel.reader():
        with channel.reader():
            assert log.readers == 2
        assert abandoned == []
    assert abandoned == [0]


async def test_whoever_waits_for_a_run_to_be_played_here_learns_of_it(log: LiveLog, talk: Talk):
    run = await talk.queued()
    with log.audience.watch(run.id) as watch:
        channel = log.open(run.id, 0)
        async with asyncio.timeout(PATIENCE):
            await watch.news("followed", timeout=60)
            watch.look()
            log.forget(channel)
            await watch.news("followed", timeout=60)
            watch.look()
            await watch.news("followed", timeout=0.001)
    assert log.channels == 0


async def test_readers_are_woken_when_the_server_goes_away_and_writing_goes_on(log: LiveLog, talk: Talk):
    run, channel = await opened(log, talk)
    waiting = asyncio.ensure_future(channel.changed(0))
    await asyncio.sleep(0)

    log.dismiss_readers()

    await waiting
    assert log.going_away
    await channel.record(MESSAGE)
    assert await stored(talk, run) == [MESSAGE]


# steering ------------------------------------------------------------------------------------------------------------


async def steering(talk: Talk, message: str = "Also this.") -> Run:
    return (await talk.begin(message, options=RunOptions(on_busy="steer"))).run


async def test_what_is_written_while_a_run_takes_messages_stands_behind_them(
    log: LiveLog, talk: Talk, valve: Valve, store: MemoryStore
):
    run, channel = await opened(log, talk)
    other = await steering(talk)
    valve.close()
    channel.show(text("before"))
    taking = channel.absorb()
    await valve.asked.wait()
    channel.show(text("after"))
    recorded = channel.record(MESSAGE)
    assert said(channel) == "before"

    valve.open()
    steered = await taking
    await recorded

    assert steered == Steered([other.id], list(other.input))
    assert await stored(talk, run) == seen(channel) == [text("before"), steered, text("after"), MESSAGE]


async def test_a_run_whose_messages_cannot_be_asked_for_asks_again(log: LiveLog, talk: Talk, valve: Valve):
    run, channel = await opened(log, talk)
    await steering(talk)
    valve.broken = True
    taking = channel.absorb()
    await valve.asked.wait()
    assert not taking.done()

    valve.broken = False

    assert (await taking).items
    assert await stored(talk, run) == [await taking]


async def test_a_run_that_was_lost_takes_nothing_and_is_told(log: LiveLog, talk: Talk, store: MemoryStore):
    run, channel = await opened(log, talk)
    await steering(talk)
    await store.queue.release(talk.claim(), [run])

    assert await channel.absorb() == Steered()
    assert channel.fenced
    assert await channel.absorb() == Steered()


async def test_the_end_of_a_run_waits_for_the_messages_it_takes(
    log: LiveLog, talk: Talk, valve: Valve, store: MemoryStore
):
    run, channel = await opened(log, talk)
    valve.close()
    taking = channel.absorb()
    ended = channel.record(RunCompleted(RunStatus.CANCELLED, None, Usage()), end=End(RunStatus.CANCELLED, Usage()))
    await valve.asked.wait()
    assert not taking.done()
    valve.open()
    await ended

    assert [type(event) for event in await stored(talk, run)] == [Steered, RunCompleted]
    assert (await store.runs.get(SARAH, run.id)).status is RunStatus.CANCELLED


async def test_whoever_waits_for_a_message_that_was_taken_is_woken(log: LiveLog, talk: Talk):
    _, channel = await opened(log, talk)
    other = await steering(talk)
    with log.audience.watch(other.id) as watch:
        watch.look()
        await channel.absorb()
        await watch.news("awaited", PATIENCE)
    assert log.audience.has_rested(other.id)

"""The scheduler: jobs are done when they are due, once over all processes, and again when they failed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from random import Random

import pytest

from dragoman.adapters.memory.schedules import MemorySchedules
from dragoman.adapters.system import SystemClock
from dragoman.application.scheduler import SECOND_TRY, Done, Job, Scheduler
from dragoman.domain.errors import StorageUnavailable
from dragoman.ports.clock import Clock
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.store import SimulatedClock

HOUR = timedelta(hours=1)
SOON = timedelta(milliseconds=1)


def scheduler(store: MemorySchedules, *jobs: Job, name: str = "here", clock: Clock | None = None) -> Scheduler:
    return Scheduler(store, clock or SystemClock(), jobs, name=name)


def job(work: Callable[[], Awaitable[str]], every: timedelta = HOUR, name: str = "job") -> Job:
    return Job(name, every, work)


@contextlib.asynccontextmanager
async def started(*schedulers: Scheduler) -> AsyncIterator[None]:
    for one in schedulers:
        await one.start()
    try:
        async with asyncio.timeout(10):
            yield
    finally:
        for one in schedulers:
            await one.stop()


async def test_a_job_is_done_again_and_again_and_says_what_it_did():
    store, again = MemorySchedules(), asyncio.Semaphore(0)

    async def work() -> str:
        again.release()
        return "swept"

    at_work = scheduler(store, job(work, every=SOON))
    async with started(at_work):
        for _ in range(3):
            await again.acquire()
        assert at_work.alive
    (schedule,) = await store.all()
    assert schedule.result == "swept"
    assert at_work.outcomes["job", False] >= 2
    assert not at_work.alive


async def test_before_its_time_nothing_is_done_except_by_hand():
    done = []

    async def work() -> str:
        done.append(1)
        return "swept"

    at_work = scheduler(MemorySchedules(), job(work))
    async with started(at_work):
        assert await at_work.do_all() == [Done("job", "swept")]
    assert done == [1]


async def test_of_two_processes_one_does_it():
    store, begun, go_on = MemorySchedules(), asyncio.Semaphore(0), asyncio.Event()

    async def work() -> str:
        begun.release()
        await go_on.wait()
        return "swept"

    one, other = (scheduler(store, job(work, every=SOON), name=name) for name in ("one", "other"))
    async with started(one):
        await begun.acquire()
        assert await other.do_all() == [Done("job", "somebody is at it", failed=True)]
        go_on.set()


async def test_one_that_failed_says_so_without_details_and_is_tried_again_sooner():
    store = MemorySchedules()

    async def work() -> str:
        raise OSError("secret")

    at_work = scheduler(store, job(work))
    now = SystemClock().now()
    (done,) = await at_work.do_all()
    (schedule,) = await store.all()

    assert done.failed
    assert "OSError" in done.result
    assert "secret" not in done.result
    assert (schedule.failures, schedule.result) == (1, done.result)
    assert now + SECOND_TRY <= schedule.due_at < now + HOUR
    await at_work.do_all()
    (schedule,) = await store.all()
    assert schedule.due_at >= now + 2 * SECOND_TRY


async def test_a_store_that_does_not_answer_is_asked_again():
    class Failing(MemorySchedules):
        failures = 2

        async def enter(self, due):
            if Failing.failures:
                Failing.failures -= 1
                raise StorageUnavailable
            await super().enter(due)

    done = asyncio.Event()

    async def work() -> str:
        done.set()
        return "swept"

    async with started(scheduler(Failing(), job(work, every=SOON))):
        await done.wait()
    assert Failing.failures == 0


async def test_what_is_broken_off_by_a_stop_is_given_back():
    store, begun = MemorySchedules(), asyncio.Event()
    broken_off = []

    async def work() -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            broken_off.append(1)
            raise
        return "never"

    async with started(scheduler(store, job(work, every=SOON))):
        await begun.wait()
    (schedule,) = await store.all()

    assert broken_off == [1]
    assert (schedule.player, schedule.ended_at) == (None, None)


def test_a_long_job_is_held_and_one_that_was_lost_to_another_is_broken_off():
    """In simulated time, as it takes longer than a lease."""
    loop = SimulatedLoop(Random(1))
    clock = SimulatedClock(loop)
    store = MemorySchedules(clock.now)
    told: list[str] = []

    def working(who: str, seconds: float) -> Job:
        async def work() -> str:
            told.append(f"{who} begins")
            await asyncio.sleep(seconds)
            told.append(f"{who} ends")
            return who

        return job(work, every=timedelta(seconds=1))

    slow = scheduler(store, working("slow", 100), name="slow", clock=clock)
    quick = scheduler(store, working("quick", 1), name="quick", clock=clock)

    async def world() -> None:
        frozen = Process("frozen")
        doing = frozen.spawn(loop, slow.do_all(), "slow")
        await asyncio.sleep(90)
        (held,) = await store.all()
        assert held.player == "slow"
        loop.freeze(frozen)
        await asyncio.sleep(40)
        await quick.do_all()
        loop.thaw(frozen)
        assert (await doing)[0].failed

    loop.run_until_complete(world())
    assert told == ["slow begins", "quick begins", "quick ends"]


@pytest.mark.parametrize("interval", [timedelta(seconds=1), timedelta(days=1)])
async def test_a_shorter_interval_counts_from_now_on(interval: timedelta):
    store = MemorySchedules()

    async def work() -> str:
        return "swept"

    await scheduler(store, job(work)).do_all()
    await scheduler(store, job(work, every=interval))._enter()
    (schedule,) = await store.all()
    assert schedule.due_at <= SystemClock().now() + min(interval, HOUR)

"""Does what is due, once over all processes of a database: each turn of a job is claimed, held and ended as a run is."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta

from dragoman.domain.errors import StorageUnavailable
from dragoman.domain.schedules import Schedule
from dragoman.ports.clock import Clock
from dragoman.ports.runs import Claim
from dragoman.ports.schedules import ScheduleStore

logger = logging.getLogger(__name__)

POLL = 10.0
"""Seconds after which the schedules are looked at again, at the latest."""
RETRY = 1.0
"""Seconds before a store that did not answer is asked again."""
LEASE = timedelta(seconds=30)
BEAT = 5.0
"""Seconds between two words that a job is still being done."""
SECOND_TRY = timedelta(seconds=30)
"""When a job that failed is tried again; the next time after twice as long, and so on up to its interval."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do every so often. It may break off anywhere and be begun again, perhaps by another process, so it is
    written in steps of which each is worth something by itself. What it returns tells the operator what was done."""

    name: str
    interval: timedelta
    work: Callable[[], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Done:
    """How a turn of a job went."""

    name: str
    result: str
    failed: bool = False


class Scheduler:
    def __init__(self, store: ScheduleStore, clock: Clock, jobs: Iterable[Job], *, name: str) -> None:
        self.jobs = {job.name: job for job in jobs}
        self.outcomes: dict[tuple[str, bool], int] = {}  # how often which job was done here, or failed, for metrics
        self._store = store
        self._clock = clock
        self._name = name  # of this process, unique per boot
        self._at_work: dict[str, asyncio.Task[Done]] = {}
        self._look = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self.jobs:
            self._loop = asyncio.get_running_loop().create_task(self._forever(), name="scheduler")

    async def stop(self) -> None:
        """Break off what is being done, and give it back."""
        tasks = [task for task in (self._loop, *self._at_work.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._loop = None

    @property
    def alive(self) -> bool:
        return not self.jobs or (self._loop is not None and not self._loop.done())

    async def schedules(self) -> list[Schedule]:
        """Those of the jobs that are known here."""
        return [schedule for schedule in await self._store.all() if schedule.name in self.jobs]

    async def do_all(self) -> list[Done]:
        """Do every job now, one after the other, due or not; but none that somebody is at."""
        await self._enter()
        done = []
        for name in self.jobs:
            taken = await self._store.claim(self._claim(), [name], early=True)
            done.append(await self._do(taken[0]) if taken else Done(name, "somebody is at it", failed=True))
        return done

    # when --------------------------------------------------------------------------------------------------------

    async def _forever(self) -> None:
        entered = False
        while True:
            try:
                if not entered:
                    await self._enter()
                    entered = True
                pause = await self._begin_what_is_due()
            except StorageUnavailable:
                pause = RETRY
            except Exception:
                logger.exception("looking for what is due failed")
                pause = RETRY
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._look.wait()
            self._look.clear()

    async def _enter(self) -> None:
        now = self._clock.now()
        await self._store.enter({job.name: now + job.interval for job in self.jobs.values()})

    async def _begin_what_is_due(self) -> float:
        """Returns how many seconds there is nothing to do."""
        now = self._clock.now()
        waiting = [schedule for schedule in await self.schedules() if schedule.name not in self._at_work]
        if due := [schedule.name for schedule in waiting if schedule.due(now)]:
            for schedule in await self._store.claim(self._claim(), due):
                self._begin(schedule)
        return min([POLL, *((schedule.due_at - now).total_seconds() for schedule in waiting if schedule.due_at > now)])

    def _begin(self, schedule: Schedule) -> None:
        task = asyncio.get_running_loop().create_task(self._do(schedule), name=f"job {schedule.name}")
        self._at_work[schedule.name] = task
        task.add_done_callback(lambda _: self._done(schedule.name))

    def _done(self, name: str) -> None:
        self._at_work.pop(name, None)
        self._look.set()

    def _claim(self) -> Claim:
        return Claim(self._name, self._clock.now() + LEASE)

    # what --------------------------------------------------------------------------------------------------------

    async def _do(self, schedule: Schedule) -> Done:
        job = self.jobs[schedule.name]
        working = asyncio.get_running_loop().create_task(_outcome(job), name=f"work of {job.name}")
        try:
            while not (await asyncio.wait([working], timeout=BEAT))[0]:
                renewed = await self._renewed(schedule)
                if renewed is None:
                    return Done(job.name, "somebody else has begun it", failed=True)
                schedule = renewed
        except asyncio.CancelledError:
            with contextlib.suppress(StorageUnavailable):
                await self._store.release(schedule)
            raise
        finally:
            await _cancelled(working)
        done = working.result()
        await self._end(schedule, job, done)
        return done

    async def _renewed(self, schedule: Schedule) -> Schedule | None:
        """As it is held from now on, if it still is ours."""
        claim = self._claim()
        try:
            ours = await self._store.renew(claim, schedule)
        except StorageUnavailable:
            return schedule if schedule.held(self._clock.now()) else None
        return replace(schedule, lease_until=claim.until) if ours else None

    async def _end(self, schedule: Schedule, job: Job, done: Done) -> None:
        self.outcomes[job.name, done.failed] = self.outcomes.get((job.name, done.failed), 0) + 1
        pause = min(job.interval, SECOND_TRY * 2 ** min(schedule.failures, 20)) if done.failed else job.interval
        due_at = self._clock.now() + pause
        try:
            await self._store.end(schedule, due_at=due_at, result=done.result, failed=done.failed)
        except StorageUnavailable:
            logger.warning("a job is done again, because it could not be said that it is done", extra={"job": job.name})


async def _outcome(job: Job) -> Done:
    try:
        return Done(job.name, await job.work())
    except StorageUnavailable:
        return Done(job.name, "the database did not answer", failed=True)
    except Exception as error:
        logger.exception("a job failed", extra={"job": job.name})
        return Done(job.name, f"failed ({type(error).__name__}); the log says more", failed=True)


async def _cancelled(task: "asyncio.Task[Done]") -> None:
    task.cancel()
    await asyncio.wait([task])

"""Keeps this process busy: claims queued runs while there is room, and plays each in a task of its own."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from datetime import timedelta

from dragoman.application.turn import Performance, Player, interrupted
from dragoman.domain.errors import Interrupted, StorageUnavailable
from dragoman.domain.events import Recorded
from dragoman.domain.identity import Principal
from dragoman.domain.runs import Run, RunError
from dragoman.ports.clock import Clock
from dragoman.ports.events import Append, EventLog
from dragoman.ports.runs import Claim, RunQueue

logger = logging.getLogger(__name__)

INTERRUPTED = RunError(Interrupted.code, Interrupted.message, Interrupted.retryable)
LEASE = timedelta(seconds=15)


class Dispatcher:
    def __init__(
        self,
        queue: RunQueue,
        events: EventLog,
        player: Player,
        clock: Clock,
        *,
        name: str,
        capacity: int,
        poll: float = 5.0,
    ) -> None:
        self.name = name  # unique per boot
        self.capacity = capacity
        self.accepting = False
        self._queue = queue
        self._events = events
        self._player = player
        self._clock = clock
        self._poll = poll
        self._playing: set[asyncio.Task[None]] = set()
        self._reserved = 0
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        for run in await self._queue.abandoned(self.name):
            await self._end_abandoned(run)
        self.accepting = True
        self._wake.set()
        self._loop = asyncio.get_running_loop().create_task(self._claim_forever(), name="dispatcher")

    async def stop(self, grace: float) -> None:
        """Take no more runs; give those in progress ``grace`` seconds, then end them as interrupted."""
        self.accepting = False
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
        if self._playing:
            await asyncio.wait(self._playing, timeout=grace)
        for performance in list(self._player.performances.values()):
            performance.abort(INTERRUPTED)
        if self._playing:
            await asyncio.wait(self._playing, timeout=10)

    @property
    def alive(self) -> bool:
        return self._loop is not None and not self._loop.done()

    def performance(self, run_id: str) -> Performance | None:
        return self._player.performances.get(run_id)

    @property
    def active(self) -> int:
        return len(self._playing)

    # taking runs -------------------------------------------------------------------------------------------------

    def claim(self) -> Claim:
        return Claim(self.name, self._clock.now() + LEASE)

    @contextlib.contextmanager
    def room(self) -> Iterator[Claim | None]:
        """Reserve a place for a run that is about to begin; yields a claim if there is one."""
        if not self.accepting or len(self._playing) + self._reserved >= self.capacity:
            yield None
            return
        self._reserved += 1
        try:
            yield self.claim()
        finally:
            self._reserved -= 1

    def play(self, run: Run) -> None:
        """Play a claimed run."""
        performance = self._player.open(run)
        task = asyncio.get_running_loop().create_task(self._player.play(performance), name=f"run {run.id}")
        self._playing.add(task)
        task.add_done_callback(self._played)

    def notify(self) -> None:
        """There may be something to claim."""
        self._wake.set()

    def _played(self, task: "asyncio.Task[None]") -> None:
        self._playing.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("a player broke off", exc_info=error)
        self._wake.set()

    async def _claim_forever(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._poll)
            self._wake.clear()
            try:
                await self._claim_some()
            except StorageUnavailable:
                await asyncio.sleep(0.5)
            except Exception:
                logger.exception("claiming runs failed")
                await asyncio.sleep(0.5)

    async def _claim_some(self) -> None:
        while (free := self.capacity - len(self._playing) - self._reserved) > 0:
            runs = await self._queue.claim(self.claim(), free)
            for run in runs:
                self.play(run)
            if len(runs) < free:
                return

    async def _end_abandoned(self, run: Run) -> None:
        """Its player died. What it had finished is in its log, and goes into the history; the rest is lost."""
        owner = Principal(run.owner, run.tenant)
        recorded: list[Recorded] = []
        after = -1
        while page := await self._events.read(owner, run.id, after, 1000):
            recorded.extend(page)
            after = page[-1].position
        last, end = interrupted(recorded, run, INTERRUPTED)
        await self._events.append([Append(run.id, run.attempt, (last,), end)])
        logger.warning("run was interrupted", extra={"run": run.id})

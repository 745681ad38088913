"""Keeps this process busy: claims queued runs while there is room, plays each in a task of its own, and renews its claims."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from datetime import timedelta

from dragoman.application.turn import Performance, Player
from dragoman.domain.errors import Interrupted, StorageUnavailable
from dragoman.domain.runs import Run, RunError
from dragoman.ports.clock import Clock
from dragoman.ports.runs import Claim, RunQueue

logger = logging.getLogger(__name__)

INTERRUPTED = RunError(Interrupted.code, Interrupted.message, Interrupted.retryable)
ATTEMPTS = 50
"""A run that takes its process down with it, again and again, is given up after so many attempts."""
LEASE = timedelta(seconds=15)
BEAT = timedelta(seconds=3)
"""How often claims are renewed: a few times may fail before somebody else thinks that this process is gone."""


class Dispatcher:
    def __init__(
        self,
        queue: RunQueue,
        player: Player,
        clock: Clock,
        *,
        name: str,
        capacity: int,
        poll: float = 5.0,
        beat: timedelta = BEAT,
    ) -> None:
        self.name = name  # unique per boot
        self.capacity = capacity
        self.accepting = False
        self._queue = queue
        self._player = player
        self._clock = clock
        self._poll = poll
        self._beat = beat
        self._playing: set[asyncio.Task[None]] = set()
        self._reserved = 0
        self._wake = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._take_over_abandoned()
        self.accepting = True
        self._wake.set()
        loop = asyncio.get_running_loop()
        self._loop = loop.create_task(self._claim_forever(), name="dispatcher")
        self._keeper = loop.create_task(self._keep_forever(), name="claim keeper")

    async def stop(self, grace: float) -> None:
        """Take no more runs; give those in progress ``grace`` seconds, then hand them over."""
        self.accepting = False
        await _cancelled(self._loop)
        if self._playing:
            await asyncio.wait(self._playing, timeout=grace)
        left = list(self._player.performances.values())
        for performance in left:
            performance.hand_over()
        if self._playing:
            await asyncio.wait(self._playing, timeout=10)
        await self._queue.release([performance.run for performance in left])
        await _cancelled(self._keeper)  # last: a run that still plays is still ours

    @property
    def alive(self) -> bool:
        return all(task is not None and not task.done() for task in (self._loop, self._keeper))

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
                async with asyncio.timeout(self._poll):  # before Python 3.12, wait_for may swallow a cancellation
                    await self._wake.wait()
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

    # keeping them ------------------------------------------------------------------------------------------------

    async def _keep_forever(self) -> None:
        steady = timedelta()  # how long the store has been answering
        while True:
            await asyncio.sleep(self._beat.total_seconds())
            try:
                await self._renew()
                if steady > LEASE:  # after an outage everybody else first gets the time to renew
                    await self._take_over_abandoned()
                steady += self._beat
            except StorageUnavailable:
                steady = timedelta()
            except Exception:
                logger.exception("renewing claims failed")
                steady = timedelta()

    async def _renew(self) -> None:
        asked = await self._queue.renew(self.claim(), list(self._player.performances))
        for run_id, mode in asked.items():
            if performance := self.performance(run_id):
                performance.cancel(mode)

    async def _take_over_abandoned(self) -> None:
        """Their player died. Whoever has room plays them on, from what their logs know."""
        gone = [run for run in await self._queue.abandoned(self.name) if run.id not in self._player.performances]
        for run in gone:
            logger.warning(
                "run was interrupted and is taken up again", extra={"run": run.id, "attempt": run.attempt + 1}
            )
            if run.attempt + 1 >= ATTEMPTS:
                await self._player.give_up(run, INTERRUPTED)
        await self._queue.release([run for run in gone if run.attempt + 1 < ATTEMPTS])
        self.notify()


async def _cancelled(task: "asyncio.Task[None] | None") -> None:
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

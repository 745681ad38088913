"""Keeps this process busy: claims queued runs while there is room, plays each in a task of its own, and renews its claims."""

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta

from dragoman.application.turn import Performance, Player
from dragoman.domain.errors import Interrupted, StorageUnavailable
from dragoman.domain.runs import Run, RunError
from dragoman.ports.clock import Clock
from dragoman.ports.runs import LEASE, Claim, RunQueue
from dragoman.ports.signals import Alone, Signals

logger = logging.getLogger(__name__)

INTERRUPTED = RunError(Interrupted.code, Interrupted.message, Interrupted.retryable)
ATTEMPTS = 50
"""A run that takes its process down with it, again and again, is given up after so many attempts."""
PATIENCE = 10.0
"""How many seconds a store that does not answer may delay a stop."""
BEAT = timedelta(seconds=1.5)
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
        signals: Signals | None = None,
    ) -> None:
        self.name = name  # unique per boot
        self.capacity = capacity  # 0: it plays nothing, and leaves what it accepts to others
        self.accepting = False
        self._queue = queue
        self._player = player
        self._clock = clock
        self._poll = poll
        self._beat = beat
        self._signals = signals or Alone()
        self._playing: set[asyncio.Task[None]] = set()
        self._reserved = 0
        self._nothing_reserved = asyncio.Event()
        self._nothing_reserved.set()
        self._wake = asyncio.Event()
        self._asked: set[str] = set()  # runs of ours of which somebody asked something
        self._look = asyncio.Event()
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
        await self._taken()
        if self._playing:
            await asyncio.wait(self._playing, timeout=grace)
        left = list(self._player.performances.values())
        for performance in left:
            performance.hand_over()
        if self._playing:
            await asyncio.wait(self._playing, timeout=PATIENCE)
        try:
            await self._queue.release(self.claim(), [performance.run for performance in left])
        except StorageUnavailable:
            logger.warning("runs could not be handed over; they are taken up when their claims are over")
        if left:
            self._signals.send("claimable")
        await _cancelled(self._keeper)  # last: a run that still plays is still ours

    async def _taken(self) -> None:
        """Wait for the runs that are being taken at this moment: what the store has given us is ours to hand over."""
        self._wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._nothing_reserved.wait()
                if self._loop is not None:
                    await asyncio.wait([self._loop])
        await _cancelled(self._loop)

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
        if not self.accepting or self._free <= 0:
            yield None
            return
        self._reserved += 1
        self._nothing_reserved.clear()
        try:
            yield self.claim()
        finally:
            self._reserved -= 1
            if not self._reserved:
                self._nothing_reserved.set()

    def play(self, run: Run, claim: Claim) -> None:
        """Play a claimed run."""
        performance = self._player.open(run)
        performance.hold(claim)
        task = asyncio.get_running_loop().create_task(self._player.play(performance), name=f"run {run.id}")
        self._playing.add(task)
        task.add_done_callback(self._played)

    def notify(self) -> None:
        """There is something to claim. If there is no room for it here, there may be elsewhere."""
        self.wake()
        if not self.accepting or self._free <= 0:
            self._signals.send("claimable")

    def wake(self) -> None:
        """There may be something to claim."""
        self._wake.set()

    @property
    def _free(self) -> int:
        return self.capacity - len(self._playing) - self._reserved

    def _played(self, task: "asyncio.Task[None]") -> None:
        self._playing.discard(task)
        if not task.cancelled() and (error := task.exception()):
            logger.error("a player broke off", exc_info=error)
        self.notify()  # its conversation is free

    async def _claim_forever(self) -> None:
        while self.accepting:
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
        taken = False
        while self.accepting and (free := self._free) > 0:
            claim = self.claim()
            runs = await self._queue.claim(claim, free)
            for run in runs:
                self.play(run, claim)
            self.look_at(run.id for run in runs if run.attempt)  # what was asked of an earlier attempt
            if len(runs) < free:
                return
            taken = True
        if taken:  # there may be more of it
            self._signals.send("claimable")

    # keeping them ------------------------------------------------------------------------------------------------

    async def _keep_forever(self) -> None:
        loop = asyncio.get_running_loop()
        steady = LEASE  # how long the store has been answering; before we came nobody knows of an outage
        while True:
            next_beat = loop.time() + self._beat.total_seconds()
            try:
                while asked := await self._asked_before(next_beat):
                    await self._renew(asked)
                await self._renew(list(self._player.performances))
                if steady >= LEASE:  # after an outage everybody else first gets the time to renew
                    await self._take_over_abandoned()
                steady += self._beat
            except StorageUnavailable:
                steady = timedelta()
            except Exception:
                logger.exception("renewing claims failed")
                steady = timedelta()

    async def _asked_before(self, deadline: float) -> set[str]:
        """Runs of ours of which somebody asked something; none if nobody does before ``deadline``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._look.wait()
        self._look.clear()
        asked, self._asked = self._asked, set()
        return asked

    async def _renew(self, run_ids: Collection[str]) -> None:
        claim = self.claim()
        held = await self._queue.renew(claim, run_ids)
        for run_id in run_ids:
            performance = self.performance(run_id)
            if performance is None or performance.ending:
                continue
            if run_id not in held:
                performance.channel.fence()
                continue
            performance.hold(claim)
            if asked := held[run_id]:
                performance.ask(asked)

    def tell(self, run_id: str) -> None:
        """Something is asked of this run, or it was taken from its player: whoever that is should look."""
        if run_id in self._player.performances:
            self.look_at([run_id])
        else:
            self._signals.send("asked", [run_id])

    def look_at(self, run_ids: Iterable[str]) -> None:
        """Something is asked of these runs. Perhaps some are ours."""
        if ours := self._player.performances.keys() & set(run_ids):
            self._asked |= ours
            self._look.set()

    async def _take_over_abandoned(self) -> None:
        """Their player died. Whoever has room plays them on, from what their logs know."""
        gone = [run for run in await self._queue.abandoned(self.claim()) if run.id not in self._player.performances]
        going_on = []
        for run in gone:
            logger.warning(
                "run was interrupted and is taken up again", extra={"run": run.id, "attempt": run.attempt + 1}
            )
            if run.attempt + 1 >= ATTEMPTS and await self._player.crashes(run) + 1 >= ATTEMPTS:
                await self._player.give_up(run, INTERRUPTED)
            else:
                going_on.append(run)
        await self._queue.release(self.claim(), going_on)
        if gone:
            self.notify()


async def _cancelled(task: "asyncio.Task[None] | None") -> None:
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

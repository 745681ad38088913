"""The live side of the logs: what the runs of this process have written, shown at once, stored by group commit.

A ``Channel`` is one attempt of one run. Its player writes; any number of readers follow, each holding nothing but a
position. The ``LiveLog`` stores what all channels have written: one transaction per tick for the whole process, and at
once when somebody waits for it. Readers see an event when everything before it may be seen, and a durable event only
once it is stored.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from dragoman.application.audience import Audience
from dragoman.domain.errors import LogFull, StorageUnavailable
from dragoman.domain.events import SHOWN_AT_ONCE, Event, Recorded, Steered
from dragoman.domain.runs import POSITIONS_PER_ATTEMPT, Run, first_position
from dragoman.ports.events import Append, End, EventLog
from dragoman.ports.signals import Alone

logger = logging.getLogger(__name__)

T = TypeVar("T")

AWAY = 5.0
"""Seconds after which an answer of the store is old news."""
TAIL = 2048
"""How many stored events a channel keeps in memory. A reader further behind reads from the store."""
AFAR = 0.025
"""Seconds between two transactions while somebody follows from another process, who sees what is stored."""


class Channel:
    """One attempt of one run. Only its player writes to it."""

    def __init__(
        self, run_id: str, attempt: int, wake_writer: Callable[["Channel", bool], None], *, tail: int = TAIL
    ) -> None:
        self.run_id = run_id
        self.attempt = attempt
        self.readers = 0
        self.closed = False  # nothing more will be shown here
        self.fenced = False  # the run was taken away from this process
        self.on_fenced: Callable[[], None] = lambda: None
        self.on_unstorable: Callable[[], None] = lambda: None
        self.on_abandoned: Callable[[], None] = lambda: None
        self._wake_writer = wake_writer
        self._tail = tail
        first = first_position(attempt)
        self._next = first
        self._limit = first + POSITIONS_PER_ATTEMPT
        self._entries: list[Recorded] = []
        self._base = first  # position of _entries[0]
        self._stored = first  # everything below this position is durable
        self._visible = first  # everything below this position may be shown
        self._waiters: set[asyncio.Future[None]] = set()
        self._settling: list[tuple[int, asyncio.Future[None]]] = []
        self._opening: tuple[int, asyncio.Future[Steered]] | None = None  # a place that the store is to fill
        self.done = asyncio.Event()  # set when it closes
        self.end: End | None = None
        self.result: Run | None = None  # the run as it ended, for those who wait for it here
        self.last_word: Event | None = None  # shown to readers at the end, in no log

    # writing -----------------------------------------------------------------------------------------------------

    def begin_with(self, recorded: Recorded) -> None:
        """The store has already written this event (``RunStarted``, in the transaction of the claim)."""
        self._entries.append(recorded)
        self._base = recorded.position
        self._next = self._stored = self._visible = recorded.position + 1
        self.wake_readers()

    def begin_behind_first(self) -> None:
        """The store has already written the first event (``RunResumed``); who wants it reads it there."""
        self._base = self._next = self._stored = self._visible = first_position(self.attempt) + 1

    def show(self, event: Event) -> None:
        if self.closed:
            return
        self._add(event)
        if self._visible == self._next - 1:  # nothing before it is waiting to be stored
            self._visible = self._next
            self.wake_readers()
        self._wake_writer(self, False)

    def record(self, *events: Event, end: End | None = None) -> Awaitable[None]:
        settled = asyncio.get_running_loop().create_future()
        if self.closed:  # nobody stores it any more, so nobody must wait for it
            _settle(settled, None)
            return settled
        for event in events:
            self._add(event, reserve=0 if end else 1)
        if end is not None:
            self.end = end
        if self._stored == self._next:
            _settle(settled, None)
            return settled
        self._settling.append((self._next, settled))
        self._wake_writer(self, True)
        return settled

    def absorb(self) -> "asyncio.Future[Steered]":
        """Keep a place for the messages that steer the run. The store knows them; what is written meanwhile stands behind."""
        absorbed: asyncio.Future[Steered] = asyncio.get_running_loop().create_future()
        if self.closed:
            absorbed.set_result(Steered())
            return absorbed
        self._add(Steered())
        self._opening = (self._next - 1, absorbed)
        self._wake_writer(self, True)
        return absorbed

    def _add(self, event: Event, reserve: int = 1) -> None:
        if self._next + reserve >= self._limit:
            raise LogFull
        self._entries.append(Recorded(self._next, event))
        self._next += 1

    # storing -----------------------------------------------------------------------------------------------------

    @property
    def behind(self) -> bool:
        """Whether there is anything that is not durable yet."""
        return self._stored < self._next and not self.fenced

    def unsaved(self) -> Append | None:
        """What can be stored now: all of it, or what is before the place that the store is to fill."""
        upto = self._opening[0] - self._base if self._opening else None
        events = tuple(self._entries[self._stored - self._base : upto])
        if not events:
            return None
        return Append(self.run_id, self.attempt, events, None if self._opening else self.end)

    @property
    def opening(self) -> int | None:
        """The place that the store is to fill, once all before it is durable."""
        return self._opening[0] if self._opening and self._opening[0] == self._stored else None

    def filled(self, steered: Steered) -> None:
        assert self._opening is not None
        position, absorbed = self._opening
        self._entries[position - self._base] = Recorded(position, steered)
        self._opening = None
        _settle(absorbed, steered)
        self._durable(position + 1)
        if self.behind:
            self._wake_writer(self, True)

    def saved(self, append: Append) -> None:
        self._durable(append.events[-1].position + 1)

    def _durable(self, stored: int) -> None:
        self._stored = stored
        visible = max(self._visible, self._stored)
        while visible < self._next and isinstance(self._entries[visible - self._base].event, SHOWN_AT_ONCE):
            visible += 1
        self._visible = visible
        while self._settling and self._settling[0][0] <= self._stored:
            _settle(self._settling.pop(0)[1], None)
        self.wake_readers()
        self._trim()

    def fence(self) -> None:
        """The run is no longer ours. Nothing that was not stored is shown."""
        self.fenced = True
        self.close()
        self.on_fenced()

    def discard(self) -> None:
        """What is not stored yet cannot be stored at all: drop it, and let the player end the run."""
        self._entries.clear()
        self._base = self._stored = self._visible = self._next
        self.end = None
        self._settle_all()
        self.on_unstorable()

    def _trim(self) -> None:
        excess = self._stored - self._base - self._tail
        if excess >= self._tail:
            del self._entries[:excess]
            self._base += excess

    # reading -----------------------------------------------------------------------------------------------------

    def since(self, after: int) -> list[Recorded] | None:
        """What may be shown above ``after``; ``None`` if some of it is no longer in memory."""
        if after + 1 < self._base:
            return None
        return self._entries[after + 1 - self._base : self._visible - self._base]

    async def changed(self, after: int) -> None:
        """Wait until there is something above ``after``, or the channel closes."""
        if self.closed or self._visible > after + 1:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    @contextlib.contextmanager
    def reader(self) -> Iterator[None]:
        """Counts somebody who is watching; when the last one leaves, the player may want to know."""
        self.readers += 1
        try:
            yield
        finally:
            self.readers -= 1
            if not self.readers and not self.closed:
                self.on_abandoned()

    def dismiss(self, last_word: Event) -> None:
        """Tell the readers why there is no more, and let the player stop."""
        self.last_word = last_word
        self.fence()

    def close(self) -> None:
        """Nothing more will be shown. Readers that want to know why ask the store."""
        self.closed = True
        self.done.set()
        self._settle_all()
        self.wake_readers()

    def _settle_all(self) -> None:
        for _, settled in self._settling:
            _settle(settled, None)
        self._settling.clear()
        if self._opening:
            _settle(self._opening[1], Steered())
            self._opening = None

    def wake_readers(self) -> None:
        if self._waiters:
            for waiter in self._waiters:
                _settle(waiter, None)
            self._waiters.clear()


async def promptly(ask: Callable[[], Awaitable[T]]) -> T:
    """What the store says now. Whoever was frozen while it answered may have lost its runs since, and what it was told would
    let it do again what somebody else has done: it asks once more."""
    loop = asyncio.get_running_loop()
    while True:
        asked = loop.time()
        answer = await ask()
        if loop.time() - asked < AWAY:
            return answer


def _settle(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():
        future.set_result(result)


@dataclass(slots=True)
class LogHealth:
    """How storing goes, for readiness and metrics."""

    failing_since: float | None = None
    commits: int = 0
    failures: int = 0
    events: int = 0


class LiveLog:
    """All channels of this process and the one writer that stores them."""

    def __init__(
        self,
        events: EventLog,
        *,
        tick: float = 0.05,
        retry: float = 0.5,
        tail: int = TAIL,
        audience: Audience | None = None,
    ) -> None:
        self.audience = audience or Audience(Alone())
        self.health = LogHealth()
        self.going_away = False
        self._events = events
        self._tick = tick
        self._retry = retry
        self._tail = tail
        self._channels: dict[str, Channel] = {}
        self._dirty: dict[str, Channel] = {}
        self._work = asyncio.Event()
        self._urgent = asyncio.Event()
        self._stopping = False
        self._committed = 0.0  # when the last transaction began
        self._writer: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.going_away = self._stopping = False
        self._writer = asyncio.get_running_loop().create_task(self._write(), name="log writer")

    async def stop(self) -> None:
        """Store what there is, then end. What cannot be stored now is never shown, and nobody waits for it."""
        self._stopping = True
        self._work.set()
        self._urgent.set()
        if self._writer is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
        await self._save(list(self._dirty.values()))  # if the writer itself was cancelled before it was done
        for channel in list(self._channels.values()):
            channel.fence()

    @property
    def alive(self) -> bool:
        return self._writer is not None and not self._writer.done()

    @property
    def channels(self) -> int:
        return len(self._channels)

    @property
    def readers(self) -> int:
        return sum(channel.readers for channel in self._channels.values())

    # channels ----------------------------------------------------------------------------------------------------

    def open(self, run_id: str, attempt: int) -> Channel:
        channel = Channel(run_id, attempt, self._wake, tail=self._tail)
        self._channels[run_id] = channel
        self.audience.wake([run_id])
        self.audience.tell([run_id])
        return channel

    def get(self, run_id: str) -> Channel | None:
        return self._channels.get(run_id)

    def live(self, run_id: str) -> Channel | None:
        """The channel of a run that is being played here, as far as we know."""
        channel = self._channels.get(run_id)
        return None if channel is None or channel.closed else channel

    def forget(self, channel: Channel) -> None:
        if self._channels.get(channel.run_id) is channel:
            del self._channels[channel.run_id]
        self.audience.wake([channel.run_id])

    def hurry(self) -> None:
        """Somebody has just begun to follow from afar: store now what waits to be stored."""
        if self._dirty:
            self._urgent.set()

    def dismiss_readers(self) -> None:
        """End every stream without a terminal event: the server is going away. Writing goes on."""
        self.going_away = True
        for channel in self._channels.values():
            channel.wake_readers()
        self.audience.wake_all()

    # storing -----------------------------------------------------------------------------------------------------

    def _wake(self, channel: Channel, urgent: bool) -> None:
        self._dirty[channel.run_id] = channel
        self._work.set()
        if urgent:
            self._urgent.set()

    async def _write(self) -> None:
        while True:
            await self._work.wait()
            if not self._urgent.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause()):
                        await self._urgent.wait()
            self._work.clear()
            self._urgent.clear()
            dirty, self._dirty = self._dirty, {}
            stored = await self._save(list(dirty.values()))
            if self._stopping and (not self._dirty or not stored):
                return
            if not stored:
                await asyncio.sleep(self._retry)
                self._work.set()
                self._urgent.set()

    def _pause(self) -> float:
        """How long deltas may wait for others to be stored with. Whoever follows from afar gets the first at once."""
        if not self.audience.followed(self._channels):
            return self._tick
        return max(0.0, min(self._tick, self._committed + AFAR - asyncio.get_running_loop().time()))

    async def _save(self, channels: list[Channel]) -> bool:
        """Store what these channels hold. False: the store does not answer, and all of it waits for the next try."""
        behind = [channel for channel in channels if channel.behind]
        if not behind:  # what could not be stored is not to be stored any more
            self.health.failing_since = None
            return True
        try:
            await self._store([(channel, append) for channel in behind if (append := channel.unsaved()) is not None])
            for channel in behind:
                await self._fill(channel)
        except StorageUnavailable as error:
            self._failed(error)
            for channel in behind:
                self._dirty.setdefault(channel.run_id, channel)
            return False
        except Exception as error:
            if len(behind) > 1:  # one bad event must not fail the other runs
                return all([await self._save([channel]) for channel in behind])
            logger.exception("run %s wrote something that cannot be stored", behind[0].run_id, exc_info=error)
            behind[0].discard()
        return True

    async def _store(self, pending: list[tuple[Channel, Append]]) -> None:
        if not pending:
            return
        self._committed = asyncio.get_running_loop().time()
        lost = await promptly(lambda: self._events.append([append for _, append in pending]))
        self.health.commits += 1
        self.health.failing_since = None
        for channel, append in pending:
            if channel.run_id in lost:
                channel.fence()
            else:
                self.health.events += len(append.events)
                channel.saved(append)
        stored = [append for _, append in pending if append.run_id not in lost]
        self.audience.tell(
            [append.run_id for append in stored], resting=[append.run_id for append in stored if append.end]
        )

    async def _fill(self, channel: Channel) -> None:
        """Let a run take the messages that steer it, if it asks for them. Who waits for these messages' runs is told."""
        position = channel.opening
        if position is None:
            return
        steered = await promptly(lambda: self._events.absorb(channel.run_id, channel.attempt, position))
        if channel.opening != position:  # it was closed in the meantime
            return
        if steered is None:
            channel.fence()
            return
        self.health.failing_since = None
        channel.filled(steered)
        self.audience.wake(steered.runs)
        self.audience.tell([channel.run_id, *steered.runs], resting=steered.runs)

    def _failed(self, error: StorageUnavailable) -> None:
        self.health.failures += 1
        if self.health.failing_since is None:
            self.health.failing_since = asyncio.get_running_loop().time()
            logger.error("storing events fails; runs go on, new ones are refused until it works again", exc_info=error)

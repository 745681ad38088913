"""One shared store, and the unreliable connection that each replica has to it."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from dragoman.adapters.memory.approvals import MemoryApprovals
from dragoman.adapters.memory.events import MemoryEvents
from dragoman.adapters.memory.queue import MemoryQueue
from dragoman.adapters.memory.runs import MemoryRuns
from dragoman.adapters.memory.sessions import MemorySessions
from dragoman.adapters.memory.state import State
from dragoman.domain.errors import StorageUnavailable
from dragoman.domain.identity import Principal
from tests.simulation.loop import OUTSIDE, Process, SimulatedLoop

USER = Principal("sarah", "default")
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SimulatedClock:
    """``Clock``: the time of the loop, as one machine sees it."""

    loop: SimulatedLoop
    skew: float = 0.0

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.loop.time() + self.skew)


@dataclass(frozen=True, slots=True)
class Ports:
    """What a replica is built on."""

    runs: Any
    queue: Any
    events: Any
    sessions: Any
    approvals: Any


Gone = Callable[[str], bool]
"""Whether a process of this name can be seen to have died. One that has lost its connection looks like it."""


def memory_ports(state: State, clock: SimulatedClock, gone: Gone) -> Ports:
    queue = MemoryQueue(state, alone=False, now=clock.now, gone=gone)
    return Ports(MemoryRuns(state), queue, MemoryEvents(state), MemorySessions(state), MemoryApprovals(state))


@dataclass(slots=True)
class Trouble:
    """How unreliable a connection is."""

    refused: float = 0.0  # how often the store says no before it has done anything
    lost: float = 0.0  # how often it does what it is asked, and the answer never comes


@dataclass(slots=True)
class Connection:
    """The way of a replica to the store. What was sent arrives even if its sender is dead by then."""

    process: Process
    loop: SimulatedLoop
    dice: Random
    trouble: Trouble
    cut: bool = False
    slow: float = 0.0  # seconds a request may take
    watch: Callable[[str, tuple[Any, ...], Any], None] = field(default=lambda *_: None)

    async def send(self, name: str, work: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **named: Any) -> Any:
        answer = self.loop.create_future()
        self.loop.call_later(self._latency(), self._arrive, answer, name, work, args, named, context=OUTSIDE.context)
        return await answer

    def _arrive(
        self, answer: "asyncio.Future[Any]", name: str, work: Callable[..., Any], args: Any, named: Any
    ) -> None:
        if self.cut or self.dice.random() < self.trouble.refused:
            self._reply(answer, error=StorageUnavailable())
            return
        try:
            result = at_once(work(*args, **named))
        except Exception as error:
            self._reply(answer, error=error)
            return
        self.watch(name, args, result)
        if self.dice.random() < self.trouble.lost:
            self._reply(answer, error=StorageUnavailable())
        else:
            self._reply(answer, result=result)

    def _reply(self, answer: "asyncio.Future[Any]", *, result: Any = None, error: Exception | None = None) -> None:
        self.loop.call_later(self._latency(), self._receive, answer, result, error, context=self.process.context)

    def _receive(self, answer: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
        if self.cut and error is None:
            error = StorageUnavailable()
        settle(answer, result, error)

    def _latency(self) -> float:
        return self.dice.uniform(0.0002, 0.003 + self.slow)


class Remote:
    """A port on the other end of a connection."""

    def __init__(self, name: str, port: Any, connection: Connection) -> None:
        self._name = name
        self._port = port
        self._connection = connection

    def __getattr__(self, method: str) -> Any:
        work = getattr(self._port, method)
        name = f"{self._name}.{method}"

        async def call(*args: Any, **named: Any) -> Any:
            return await self._connection.send(name, work, *args, **named)

        setattr(self, method, call)
        return call


def remote(ports: Ports, connection: Connection) -> Ports:
    names = Ports.__slots__
    return Ports(**{name: Remote(name, getattr(ports, name), connection) for name in names})


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of what never waits: a move of the memory stores is a transaction."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a transaction waited")


def settle(answer: "asyncio.Future[Any]", result: Any = None, error: Exception | None = None) -> None:
    """Unless nobody waits for it any more."""
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(result)

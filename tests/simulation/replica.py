"""A replica: the parts of one server process, put together as ``bootstrap`` does, on a connection that may fail."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from random import Random
from typing import Any, TypeVar

from dragoman.application.catalog import Catalog
from dragoman.application.conversations import Conversations
from dragoman.application.dispatch import Dispatcher
from dragoman.application.log import LiveLog
from dragoman.application.runs import Runs
from dragoman.application.turn import Player
from dragoman.domain.errors import DragomanError
from dragoman.domain.events import Recorded
from dragoman.ports.runtime import Provider
from dragoman.ports.signals import Alone
from tests.simulation.loop import OUTSIDE, Process, SimulatedLoop
from tests.simulation.store import USER, Connection, Ports, SimulatedClock, settle

T = TypeVar("T")
Batch = Sequence[Recorded]


class Unreachable(Exception):
    """No answer came. Whether the request took effect is unknown."""


class Replica:
    def __init__(
        self,
        process: Process,
        loop: SimulatedLoop,
        dice: Random,
        ports: Ports,
        connection: Connection,
        clock: SimulatedClock,
        provider: Provider,
        *,
        capacity: int,
        log: type[LiveLog] = LiveLog,
    ) -> None:
        self.process = process
        self.connection = connection
        self.up = False
        self.crashed: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._dice = dice
        self._requests: dict[asyncio.Task[Any], None] = {}
        providers = {provider.name: provider}
        self.log = log(ports.events, tail=16)
        self.player = Player(self.log, ports.events, ports.sessions, providers, clock, ports.approvals)
        self.dispatcher = Dispatcher(ports.queue, self.player, clock, name=process.name, capacity=capacity)
        catalog = Catalog(providers, lambda _: provider.name)
        self.runs = Runs(ports.runs, ports.events, self.log, self.dispatcher, catalog, clock)
        self.conversations = Conversations(ports.sessions, self.log, Alone(), clock)

    # its life ----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await self._live(self.log.start())
        await self._live(self.dispatcher.start())
        self.up = True

    async def stop(self, grace: float) -> None:
        self.up = False
        await self._live(self._stop(grace))

    async def _stop(self, grace: float) -> None:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.log.stop)
            stack.push_async_callback(self._finish_requests)
            self.log.dismiss_readers()
            await self.dispatcher.stop(grace)

    async def _finish_requests(self) -> None:
        if self._requests:
            _, slow = await asyncio.wait(self._requests, timeout=5)
            for request in slow:
                request.cancel()

    async def _live(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this in its own process, and wait for it as long as there is one."""
        task = self.process.spawn(self._loop, work, "life")
        await asyncio.wait([task, self.crashed], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()

    def crash(self) -> None:
        """Everything stops between two steps, for good."""
        self.up = False
        self.freeze()
        if not self.crashed.done():
            self.crashed.set_result(None)

    def freeze(self) -> None:
        self._loop.freeze(self.process)

    def thaw(self) -> None:
        if not self.crashed.done():
            self._loop.thaw(self.process)

    def bury(self) -> None:
        """When nobody looks any more: let what a crash has left behind come to an end."""
        self.connection.cut = True
        for task in self.process.tasks:
            task.cancel()
        self._loop.thaw(self.process)

    # its clients -------------------------------------------------------------------------------------------------

    async def ask(self, verb: Callable[["Replica"], Awaitable[T]], patience: float = 8.0) -> T:
        """A request and its answer. The request goes on when the client no longer waits for it."""
        answer = self._loop.create_future()
        back = Wire(self._loop, self._dice)

        async def serve() -> None:
            await asyncio.sleep(self._dice.uniform(0.0005, 0.01))
            try:
                result = await verb(self)
            except DragomanError as error:
                back.send(settle, answer, None, error)
            else:
                back.send(settle, answer, result)

        self._check_up()
        self._serve(serve())
        await asyncio.wait([answer, self.crashed], timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            answer.cancel()
            raise Unreachable
        received: T = answer.result()
        return received

    @contextlib.asynccontextmanager
    async def stream(self, run_id: str, after: int, slowness: float) -> AsyncIterator[AsyncIterator[Batch]]:
        """The events of a run as they come over a wire. Leaving early ends the request, some time later."""
        inbox: asyncio.Queue[Batch | DragomanError] = asyncio.Queue()
        back = Wire(self._loop, self._dice)

        async def serve() -> None:
            try:
                run = await self.runs.get(USER, run_id)
                async with contextlib.aclosing(self.runs.follow(USER, run, after)) as batches:
                    async for batch in batches:
                        back.send(inbox.put_nowait, batch)
                        if slowness:
                            await asyncio.sleep(slowness)
            except DragomanError as error:
                back.send(inbox.put_nowait, error)
            else:
                back.send(inbox.put_nowait, ())

        self._check_up()
        request = self._serve(serve())
        try:
            async with contextlib.aclosing(self._receive(inbox)) as batches:
                yield batches
        finally:
            self._loop.call_later(self._dice.uniform(0, 0.05), request.cancel, context=self.process.context)

    async def _receive(self, inbox: "asyncio.Queue[Batch | DragomanError]") -> AsyncGenerator[Batch, None]:
        while True:
            getting = asyncio.get_running_loop().create_task(inbox.get())
            try:
                await asyncio.wait([getting, self.crashed], timeout=20, return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():  # cut off, or silent for so long that the client gives up
                    raise Unreachable
                received = getting.result()
            finally:
                getting.cancel()
            if isinstance(received, DragomanError):
                raise received
            if not received:
                return
            yield received

    def _check_up(self) -> None:
        if not self.up:
            raise Unreachable

    def _serve(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        request = self.process.spawn(self._loop, work, "request")
        self._requests[request] = None
        request.add_done_callback(self._requests.pop, context=self.process.context)
        return request


class Wire:
    """From a replica to a client: it takes a while, and keeps the order."""

    def __init__(self, loop: SimulatedLoop, dice: Random) -> None:
        self._loop = loop
        self._dice = dice
        self._sent: deque[Callable[[], None]] = deque()

    def send(self, receive: Callable[..., Any], *what: Any) -> None:
        self._sent.append(lambda: receive(*what))
        self._loop.call_later(self._dice.uniform(0.0005, 0.02), self._arrive, context=OUTSIDE.context)

    def _arrive(self) -> None:
        self._sent.popleft()()

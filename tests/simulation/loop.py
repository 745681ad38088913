"""An event loop without time, threads or sockets: the same seed plays the same story, in no time at all.

It runs ordinary asyncio code unchanged. The clock jumps to the next timer whenever nobody has anything to do. What is
ready belongs to simulated processes; a process can be frozen, and one that never thaws has crashed. Among what is ready
the dice choose, so wake-ups come in another order than they were caused, as they do between threads and machines.
"""

import asyncio
import contextvars
import heapq
import sys
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

STEP = 1e-5
"""How long a callback takes, in simulated seconds. No two of them happen at the same moment."""


class Process:
    """What shares one fate: a replica, or everything that never fails."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.frozen = False
        self.held: list[asyncio.Handle] = []  # what would have been done meanwhile
        self.tasks: dict[asyncio.Task[Any], None] = {}  # unfinished ones
        self.context = contextvars.copy_context()
        self.context.run(CURRENT.set, self)

    def spawn(self, loop: "SimulatedLoop", work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        return loop.create_task(work, name=name, context=self.context.copy())


CURRENT: contextvars.ContextVar[Process] = contextvars.ContextVar("process")
OUTSIDE = Process("outside")


class Stuck(AssertionError):
    """Nothing can happen any more, or too much has."""


class _Future(asyncio.Future[Any]):
    """Sets of futures are ordered by their hashes: by age, not by addresses in memory."""

    def __init__(self, loop: "SimulatedLoop") -> None:
        self._age = loop.age()
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._age


class _Task(asyncio.Task[Any]):
    def __init__(self, work: Coroutine[Any, Any, Any], loop: "SimulatedLoop", **options: Any) -> None:
        self._age = loop.age()
        super().__init__(work, loop=loop, **options)

    def __hash__(self) -> int:
        return self._age


class SimulatedLoop(asyncio.AbstractEventLoop):
    def __init__(self, dice: Random, *, disorder: float = 0.0, max_steps: int = 100_000) -> None:
        self.steps = 0
        self._dice = dice
        self._disorder = disorder  # how often somebody else comes first
        self._max_steps = max_steps
        self._now = 0.0
        self._born = 0
        self._processes: dict[Process, None] = {OUTSIDE: None}
        self._ready: list[tuple[Process, asyncio.Handle]] = []
        self._timers: list[tuple[float, int, Process, asyncio.TimerHandle]] = []
        self.failures: list[dict[str, Any]] = []  # exceptions that nobody caught

    def age(self) -> int:
        self._born += 1
        return self._born

    # what asyncio asks for ---------------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> "asyncio.Future[Any]":
        return _Future(self)

    def create_task(  # type: ignore[override]
        self,
        work: Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
    ) -> "asyncio.Task[Any]":
        context = context or contextvars.copy_context()
        process = context.get(CURRENT, OUTSIDE)
        self._processes[process] = None
        task = _Task(work, self, name=name, context=context)
        process.tasks[task] = None
        task.add_done_callback(process.tasks.pop, context=context)
        return task

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        context = context or contextvars.copy_context()
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append((context.get(CURRENT, OUTSIDE), handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        context = context or contextvars.copy_context()
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, self.age(), context.get(CURRENT, OUTSIDE), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is left out when its time comes."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failures.append(context)

    # playing -----------------------------------------------------------------------------------------------------

    def run_until_complete(self, work: Coroutine[Any, Any, Any]) -> Any:  # type: ignore[override]
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=lambda _: None, finalizer=self._finish)
        asyncio._set_running_loop(self)
        try:
            task = OUTSIDE.spawn(self, work, "main")
            while not task.done():
                self._step()
        finally:
            self._end_all()
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
        return task.result()

    def _end_all(self) -> None:
        """Leave no task to the garbage collector."""
        self._max_steps += self.steps
        while tasks := [task for process in self._processes for task in process.tasks]:
            for task in tasks:
                task.cancel()
            for process in self._processes:
                self.thaw(process)
            self._step()

    def freeze(self, process: Process) -> None:
        process.frozen = True

    def thaw(self, process: Process) -> None:
        process.frozen = False
        self._ready.extend((process, handle) for handle in process.held)
        process.held.clear()

    def _step(self) -> None:
        self.steps += 1
        if self.steps > self._max_steps:
            raise Stuck(f"Still at work after {self._max_steps} steps, at {self._now:.1f} s.\n{self._waiting()}")
        self._now += STEP
        self._take_due()
        ready = self._ready
        while not ready:
            if not self._timers:
                raise Stuck(f"Nothing will ever happen again after {self._now:.1f} s.\n{self._waiting()}")
            self._now = max(self._now, self._timers[0][0])
            self._take_due()
        chosen = self._dice.randrange(len(ready)) if self._disorder and self._dice.random() < self._disorder else 0
        process, handle = ready.pop(chosen)
        if process.frozen:
            process.held.append(handle)
        elif not handle.cancelled():
            handle._run()

    def _take_due(self) -> None:
        while self._timers and self._timers[0][0] <= self._now:
            _, _, process, handle = heapq.heappop(self._timers)
            if not handle.cancelled():
                self._ready.append((process, handle))

    def _finish(self, generator: Any) -> None:
        self.create_task(generator.aclose())

    def _waiting(self) -> str:
        tasks = [(process, task) for process in self._processes for task in process.tasks]
        return "\n".join(f"  {process.name}: {task.get_name()} waits in {place_of(task)}" for process, task in tasks)


def place_of(task: "asyncio.Task[Any]") -> str:
    """Where a task stands, from the outside in."""
    places: list[str] = []
    frame: Any = task.get_coro()
    while frame is not None and (code := getattr(frame, "cr_code", None) or getattr(frame, "ag_code", None)):
        inner = getattr(frame, "cr_frame", None) or getattr(frame, "ag_frame", None)
        places.append(
            f"{code.co_qualname if hasattr(code, 'co_qualname') else code.co_name}:{inner and inner.f_lineno}"
        )
        frame = getattr(frame, "cr_await", None) or getattr(frame, "ag_await", None)
    return " > ".join(places)

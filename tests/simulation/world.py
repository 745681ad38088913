"""One simulated world: replicas on one store, clients, and weather. A seed decides everything."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

from dragoman.adapters.memory.state import State
from dragoman.application.log import LiveLog
from dragoman.domain.conversations import Conversation
from dragoman.domain.errors import Unavailable
from dragoman.domain.events import Recorded
from dragoman.domain.identity import Principal
from dragoman.domain.items import Item
from dragoman.domain.runs import Run
from dragoman.ports.events import Append
from dragoman.ports.runs import Begun, Claim, IdempotencyKey
from dragoman.ports.runtime import Provider
from tests.simulation.agents import simulated_provider
from tests.simulation.clients import Client
from tests.simulation.loop import Process, SimulatedLoop, Stuck, place_of
from tests.simulation.replica import Replica
from tests.simulation.store import Connection, Gone, Ports, SimulatedClock, Trouble, memory_ports, remote
from tests.simulation.witness import Witness

PATIENCE = 400.0
"""So many seconds after the last fault everything must have ended."""
HARMLESS = ("storing events fails",)
"""Errors in the log of a server that tell of the weather, not of a fault of ours."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a world is built from. A test that wants to see a bug found passes a broken one."""

    ports: Callable[[State, SimulatedClock, Gone], Ports] = memory_ports
    near: Callable[[Ports], Ports] = lambda ports: ports  # on the replica's side of the connection
    log: type[LiveLog] = LiveLog
    provider: Callable[[Provider], Provider] = lambda provider: provider
    weather: tuple[str, ...] = ()  # the only faults there are, where the dice shall not choose


@dataclass(slots=True)
class Story:
    """How a seed went."""

    seed: int
    broken: list[str] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    runs: int = 0
    attempts: int = 0
    effects: int = 0  # what tools did
    trace: list[str] = field(default_factory=list)


class World:
    def __init__(self, seed: int, parts: Parts, trace: bool) -> None:
        self.story = Story(seed)
        self.dice = Random(f"world {seed}")
        disorder = self.dice.choice((0.0, 0.1, 0.5))
        self.loop = SimulatedLoop(Random(f"order {seed}"), disorder=disorder)
        self.state = State()
        self.witness = Witness(self.state, self._looks_dead)
        self.trouble = Trouble(self.dice.choice((0.0, 0.0, 0.01, 0.05)), self.dice.choice((0.0, 0.0, 0.01, 0.05)))
        faults = (self.crash, self.freeze, self.restart, self.cut, self.slow_down)
        some = self.dice.sample(faults, self.dice.randint(1, 5))
        self.faults = [fault for fault in faults if fault.__name__ in parts.weather] or some
        self.replicas: list[Replica] = []  # the dead ones too
        self._parts = parts
        self._trace = trace
        self._capacity = self.dice.choice((1, 2, 8))
        self._provider = parts.provider(simulated_provider(self.witness, self.dice, self.dice.choice((0.0, 0.02, 0.1))))

    # the story ---------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        for _ in range(self.dice.choice((1, 2, 2, 3))):
            await self.boot()
        clients = self._clients()
        await self.weather()
        self.trouble.refused = self.trouble.lost = 0.0
        self.note("weather", "all is well from here on")
        await asyncio.sleep(10)  # what was sent long ago arrives
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*clients)
                while self.state.unfinished:
                    await asyncio.sleep(1)
        except TimeoutError:
            self.witness.broken.append(f"it does not end\n{self._unfinished(clients)}")
        for replica in self.up():
            await self._stop(replica)
        self.witness.look_back()
        await self._bury()

    def _clients(self) -> list["asyncio.Task[None]"]:
        sessions = self.dice.choice((1, 2, 3))
        return [
            self.loop.create_task(
                Client(f"client{n}", Random(f"client {n} of {self.story.seed}"), self.witness, self.up).live(
                    self.dice.choice((1, 2, 3)), sessions
                ),
                name=f"client{n}",
            )
            for n in range(self.dice.choice((2, 3, 4)))
        ]

    async def weather(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self.dice.choice((0, 1, 2, 3, 5))):
                await asyncio.sleep(self.dice.uniform(0.0, 7.0))
                fault = self.dice.choice(self.faults)
                if up := self.up():
                    group.create_task(fault(self.dice.choice(up)), name=fault.__name__)
        if not self.up():
            await self.boot()

    def up(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.up]

    async def boot(self) -> Replica:
        """A new replica, under a new name. One that cannot start is started again."""
        while True:
            replica = self._replica(f"replica{len(self.replicas) + 1}")
            self.replicas.append(replica)
            self.note(replica.process.name, "starts")
            try:
                await replica.start()
            except Unavailable:
                replica.crash()
                await asyncio.sleep(1)
            else:
                return replica

    def _replica(self, name: str) -> Replica:
        process = Process(name)
        clock = SimulatedClock(self.loop, skew=self.dice.choice((0.0, 0.0, -2.0, 2.0)))
        connection = Connection(process, self.loop, self.dice, self.trouble, watch=self._watch(name))
        ports = self._parts.near(remote(self._parts.ports(self.state, clock, self._looks_dead), connection))
        return Replica(
            process,
            self.loop,
            self.dice,
            ports,
            connection,
            clock,
            self._provider,
            capacity=self._capacity,
            log=self._parts.log,
        )

    def _looks_dead(self, name: str) -> bool:
        replicas = (replica for replica in self.replicas if replica.process.name == name)
        return all(replica.crashed.done() or replica.connection.cut for replica in replicas)

    async def _stop(self, replica: Replica, grace: float = 5.0) -> None:
        try:
            await replica.stop(grace)
        except Exception as error:
            self.witness.broken.append(f"{replica.process.name} could not stop: {error!r}")
        if replica.crashed.done():
            return
        await asyncio.sleep(1)
        for task in replica.process.tasks:
            self.witness.broken.append(
                f"{replica.process.name} has left a task behind: {task.get_name()} {place_of(task)}"
            )
        replica.crash()

    async def _bury(self) -> None:
        async with asyncio.timeout(60):
            while left := [replica for replica in self.replicas if replica.process.tasks]:
                for replica in left:
                    replica.bury()
                await asyncio.sleep(0.1)

    # the weather -------------------------------------------------------------------------------------------------

    async def crash(self, replica: Replica) -> None:
        self.note(replica.process.name, "crashes")
        replica.crash()
        await asyncio.sleep(self.dice.uniform(0.1, 10.0))
        await self.boot()

    async def restart(self, replica: Replica) -> None:
        grace = self.dice.choice((0.0, 1.0, 5.0))
        self.note(replica.process.name, f"stops, with {grace} s of grace")
        await self._stop(replica, grace)
        await self.boot()

    async def freeze(self, replica: Replica) -> None:
        self.note(replica.process.name, "freezes")
        replica.freeze()
        await asyncio.sleep(self.dice.choice((self.dice.uniform(0.5, 8.0), self.dice.uniform(14.0, 45.0))))
        self.note(replica.process.name, "thaws")
        replica.thaw()

    async def cut(self, replica: Replica) -> None:
        self.note(replica.process.name, "loses its connection")
        replica.connection.cut = True
        await asyncio.sleep(self.dice.choice((self.dice.uniform(0.1, 5.0), self.dice.uniform(14.0, 30.0))))
        self.note(replica.process.name, "is connected again")
        replica.connection.cut = False

    async def slow_down(self, replica: Replica) -> None:
        replica.connection.slow = self.dice.choice((0.1, 0.5, 2.0))
        self.note(replica.process.name, f"has a slow disk, {replica.connection.slow} s")
        await asyncio.sleep(self.dice.choice((self.dice.uniform(1.0, 10.0), self.dice.uniform(15.0, 40.0))))
        self.note(replica.process.name, "has a fast disk")
        replica.connection.slow = 0.0

    # telling -----------------------------------------------------------------------------------------------------

    def note(self, who: str, what: str) -> None:
        if self._trace:
            self.story.trace.append(f"{self.loop.time():9.4f}  {who:10}  {what}")

    def _watch(self, name: str) -> Callable[[str, tuple[Any, ...], Any], None]:
        def saw(operation: str, args: tuple[Any, ...], result: Any) -> None:
            if self._trace:
                self.note(name, f"{operation} {brief(args)} -> {brief(result)}")
            self.witness.saw(self.loop.time(), name, operation, args, result)

        return saw

    def _unfinished(self, clients: list["asyncio.Task[None]"]) -> str:
        runs = [f"  {run_id} is {self.state.runs[run_id].status}" for run_id in sorted(self.state.unfinished)]
        processes = [*(replica.process for replica in self.up())]
        tasks = [(process.name, task) for process in processes for task in process.tasks]
        tasks += [("outside", task) for task in clients if not task.done()]
        return "\n".join([*runs, *(f"  {who}: {task.get_name()} waits in {place_of(task)}" for who, task in tasks)])


def brief(what: Any) -> str:
    """What matters of an argument or a result, on one line."""
    match what:
        case Run():
            return f"{what.id}/{what.attempt} {what.status}"
        case Append():
            end = f" {what.end.status}" if what.end else ""
            return f"{what.run_id}/{what.attempt} {brief(what.events)}{end}"
        case Recorded():
            return f"{what.position}:{type(what.event).__name__}"
        case Begun():
            return brief(what.run) + ("" if what.fresh else ", again")
        case Item() | Conversation():
            return what.id
        case Claim():
            return f"until {what.until:%M:%S}"
        case Principal() | IdempotencyKey():
            return "…"
        case str() | int() | None:
            return str(what)
        case _ if isinstance(what, Iterable):
            return f"[{', '.join(brief(each) for each in what)}]"
        case _:
            return type(what).__name__


def simulate(seed: int, parts: Parts = Parts(), *, trace: bool = False) -> Story:
    """Play the world of a seed, to its end."""
    world = World(seed, parts, trace)
    story, witness = world.story, world.witness
    with _errors(witness.broken):
        try:
            world.loop.run_until_complete(world.play())
        except Stuck as stuck:
            witness.broken.append(str(stuck))
    for failure in world.loop.failures:
        witness.broken.append(f"nobody caught {failure.get('exception')!r}: {failure['message']}")
    story.broken = list(dict.fromkeys(witness.broken))
    story.steps, story.seconds = world.loop.steps, world.loop.time()
    story.runs, story.attempts = len(witness.accepted), len(witness.players)
    story.effects = sum(len(did) for did in witness.effects.values())
    return story


@contextmanager
def _errors(told: list[str]) -> Iterator[None]:
    """What the servers log as errors is broken too."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not record.getMessage().startswith(HARMLESS):
                told.append(f"logged: {record.getMessage()} {record.exc_info and record.exc_info[1]!r}")

    logger, listener = logging.getLogger("dragoman"), Listener(logging.ERROR)
    level, propagates = logger.level, logger.propagate
    logger.addHandler(listener)
    logger.propagate = False
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
        logger.propagate = propagates

"""A tool starts only while nobody else can be playing its run, whatever this process has slept through."""

import asyncio
from random import Random

from dragoman.adapters.memory.state import State
from dragoman.application.catalog import Catalog
from dragoman.application.dispatch import Dispatcher
from dragoman.application.log import LiveLog
from dragoman.application.runs import Runs, StartRun
from dragoman.application.turn import Player
from dragoman.domain.agents import AgentSpec
from dragoman.domain.identity import Principal
from dragoman.domain.runs import RunStatus
from dragoman.domain.tools import Tool
from dragoman.providers.scripted import build_scripted_provider
from dragoman.providers.scripted.script import call, say
from tests.simulation.loop import Process, SimulatedLoop
from tests.simulation.store import Connection, SimulatedClock, Trouble, memory_ports, remote

SARAH = Principal("sarah")


class Tools:
    """One tool, which notes who called it and when."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.calls: list[tuple[str, float]] = []
        self._loop = loop

    def at(self, process: str) -> "Toolbox":
        return Toolbox(self, process)


class Toolbox:
    def __init__(self, tools: Tools, process: str) -> None:
        self._tools = tools
        self._process = process

    def get(self, name: str) -> Tool:
        return Tool(name, "Pays.", {"type": "object"}, self._pay)

    def visible_to(self, _: Principal) -> list[Tool]:
        return []

    async def _pay(self) -> str:
        self._tools.calls.append((self._process, self._tools._loop.time()))
        return "paid"


def test_who_slept_through_its_claim_starts_no_tool():
    loop = SimulatedLoop(Random(1))
    clock, state, tools = SimulatedClock(loop), State(), Tools(loop)

    def replica(name: str) -> tuple[Process, Runs]:
        process = Process(name)
        connection = Connection(process, loop, Random(2), Trouble())
        ports = remote(memory_ports(state, clock, lambda _: False), connection)
        spec = AgentSpec("chat", "Chat", "Be kind.", "A test agent.")
        provider = build_scripted_provider([spec], scripts={"chat": [call("pay"), say("Done.")]}, tools=tools.at(name))
        providers = {provider.name: provider}
        log = LiveLog(ports.events)
        player = Player(log, ports.events, ports.sessions, providers, clock, ports.approvals)
        dispatcher = Dispatcher(ports.queue, player, clock, name=name, capacity=2)
        catalog = Catalog(providers, lambda _: provider.name)
        return process, Runs(ports.runs, ports.events, log, dispatcher, catalog, clock)

    async def world() -> None:
        (frozen, runs), (awake, others) = replica("frozen"), replica("awake")
        for process, at in ((frozen, runs), (awake, others)):
            await process.spawn(loop, at.log.start(), "log")
            await process.spawn(loop, at.dispatcher.start(), "dispatcher")
        run = await frozen.spawn(loop, runs.start(SARAH, StartRun("chat", "Pay!")), "start")
        while len(state.logs[run.id]) < 2:  # its answer, which calls the tool, is stored; nobody has heard of it yet
            await asyncio.sleep(0.0001)
        assert not tools.calls
        loop.freeze(frozen)
        await asyncio.sleep(60)
        assert state.runs[run.id].status is RunStatus.COMPLETED
        loop.thaw(frozen)
        await asyncio.sleep(5)
        for process, at in ((frozen, runs), (awake, others)):
            await process.spawn(loop, at.dispatcher.stop(1.0), "stop")
            await process.spawn(loop, at.log.stop(), "stop")

    loop.run_until_complete(world())
    assert [process for process, _ in tools.calls] == ["awake"]

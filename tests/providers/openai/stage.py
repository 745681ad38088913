"""A stage for the provider: plays a run and keeps what was recorded, in order."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dragoman.adapters.memory.notes import MemoryNotes
from dragoman.adapters.system import SystemClock
from dragoman.domain.events import AgentUpdated, Delta, ItemDone, ModelAnswered, Progress
from dragoman.domain.identity import LOCAL
from dragoman.domain.items import message
from dragoman.domain.runs import Run, RunOptions
from dragoman.ports.runtime import StopSignal, Turn
from dragoman.providers.openai import DemoSettings, build_openai_provider
from dragoman.tools import BuiltinTools
from dragoman.tools.coaching import coaching_tools

WAIT = 10.0
TOOLS = BuiltinTools().plus(coaching_tools(MemoryNotes(), SystemClock()))


class MemoryRecorder:
    """A log in a list. It notices when something is durable: at the next turn of the event loop, as any store would."""

    def __init__(self):
        self.events = []
        self.durable = 0  # how many of the events are

    def show(self, event):
        self.events.append(event)

    def record(self, *events):
        self.events.extend(events)
        settled = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(self._settle, settled, len(self.events))
        return settled

    def _settle(self, settled, count):
        self.durable = max(self.durable, count)
        if not settled.done():
            settled.set_result(None)


@dataclass
class Played:
    """How a run went."""

    events: list
    outcome: object = None
    error: Exception | None = None

    def of(self, *kinds):
        return [event for event in self.events if isinstance(event, kinds)]

    @property
    def text(self):
        return "".join(e.text for e in self.of(Delta) if e.kind == "text" and not e.path)

    @property
    def items(self):
        return self.of(ItemDone)

    @property
    def answers(self):
        return self.of(ModelAnswered)

    def outputs(self, name="tool_output"):
        return {e.item["call_id"]: e.item["output"] for e in self.items if e.name == name}

    @property
    def story(self):
        """The run in short: everything but the deltas."""
        return [_short(event) for event in self.events if not isinstance(event, Delta)]


def _short(event):
    match event:
        case ItemDone():
            where = f"{event.path}: " if event.path else ""
            what = (
                event.item.get("name") or event.item.get("output") or "".join(p["text"] for p in event.item["content"])
            )
            return f"{where}{event.name} {what}"
        case ModelAnswered():
            return f"{event.path}: answered" if event.path else "answered"
        case Progress():
            return f"{event.source} {event.message}"
        case AgentUpdated():
            return f"{event.previous} -> {event.agent}"
    return event


@dataclass
class Stage:
    provider: object
    recorder: MemoryRecorder = field(default_factory=MemoryRecorder)

    def turn(self, agent, given, **named):
        options = named.pop("options", RunOptions())
        given = (message("user", given),) if isinstance(given, str) else tuple(given)
        run = Run(
            id="run_1",
            tenant="default",
            owner="local",
            agent=agent,
            provider="openai",
            conversation_id=None,
            session_id=None,
            input=given,
            created_at=named.pop("created_at", None) or datetime.now(UTC),
            options=options,
            context=named.pop("context", {}),
            trace=named.pop("trace", None),
        )
        return Turn(run, LOCAL, named.pop("history", []), run.input, stop=named.pop("stop", StopSignal()), **named)

    def begin(self, agent, given, **named):
        """The run as a task, for tests that meddle with it. Look at ``recorder`` meanwhile."""
        self.recorder = MemoryRecorder()
        turn = self.turn(agent, given, **named)
        return asyncio.create_task(self.provider.runtime.play(turn, self.recorder))

    async def play(self, agent, given, **named):
        task = self.begin(agent, given, **named)
        await asyncio.wait([task], timeout=WAIT)
        assert task.done(), f"still playing: {self.recorder.events}"
        played = Played(self.recorder.events)
        if error := task.exception():
            played.error = error
        else:
            played.outcome = task.result()
        return played

    async def seen(self, wanted):
        """Wait until an event that satisfies ``wanted`` has been written."""
        async with asyncio.timeout(WAIT):
            while not any(wanted(event) for event in self.recorder.events):
                await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def stage(*agents, demo=True, **named):
    """A started provider with these agents; the demo model answers for those that bring none. No task outlives it."""
    from dragoman.providers.openai.agents.registry import by_key

    if demo and "endpoint" not in named:
        named["demo"] = DemoSettings(tokens_per_second=0)
    provider = build_openai_provider(agents=by_key(agents), tools=TOOLS, **named)
    before = asyncio.all_tasks()
    await provider.start()
    try:
        yield Stage(provider)
    finally:
        await provider.stop()
        left = asyncio.all_tasks() - before
        assert not left, f"left behind: {left}"

"""The run that is being played here and now, found by whatever the SDK calls back.

The SDK creates tasks of its own and calls models, tools and nested runs out of them. Each inherits the context of the task
that created it, so two context variables say everywhere which run it is and inside which tool calls.
"""

import asyncio
import contextlib
import contextvars
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from agents import Agent, Model, RunConfig, RunHooks

from dragoman.domain.errors import ReplayDiverged
from dragoman.domain.events import AgentUpdated, ItemDone, ItemName
from dragoman.domain.ids import new_id
from dragoman.domain.items import Content
from dragoman.domain.journal import Answer as JournalledAnswer
from dragoman.ports.runtime import Recorder, Turn
from dragoman.providers.openai.agents import translate
from dragoman.providers.openai.agents.steering import Steering

TRIES_PER_ATTEMPT = 2**10
"""Of one model call: far more than anybody waits for."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call or a hand-off that has no output yet."""

    output: ItemName
    agent: str
    path: str


@dataclass(slots=True)
class Play:
    """What one run's models, tools and hooks share."""

    turn: Turn
    recorder: Recorder
    hooks: RunHooks[Any]
    config: RunConfig
    stand_in: Callable[[Agent[Any]], Agent[Any]]  # the prepared clone of an agent
    model_for: Callable[[str | Model | None], Model]  # the recording one, for a name or before another
    key_of: Callable[[Agent[Any]], str]
    speaking: str  # the agent whose turn it is
    call_ids: set[str]  # every one of the conversation so far
    output_limit: int  # characters of a tool's result that are kept
    waiting: set[str] = field(default_factory=set)  # ids of calls that wait for a person
    unreadable: set[str] = field(default_factory=set)  # ids of calls whose arguments are no JSON object
    calls: dict[str, Call] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)  # ids of calls whose output reports a failure
    working: set[asyncio.Task[Any]] = field(default_factory=set)  # tool invocations in flight
    handed_back: bool = False  # a call waits for the caller, so this is the last turn
    said: str = ""  # in that turn
    steering: Steering = field(default_factory=lambda: Steering({}))  # what has been said to it while it was played
    spoken: set[str] = field(default_factory=set)  # the endpoints that have answered in it
    over: bool = False  # nothing more is written: what is still at work has been cancelled
    diverged: bool = False  # the journal does not fit these agents
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _ordinals: dict[str, int] = field(default_factory=dict)
    _tries: dict[tuple[str, int], int] = field(default_factory=dict)  # by path and ordinal
    _updates: int = 0

    def journalled(self, path: str) -> JournalledAnswer | None:
        """The next answer on this path, if an earlier attempt has it."""
        return self.turn.journal.answer(path, self._ordinals.get(path, 0))

    def diverge(self) -> NoReturn:
        """Stop before anything has an effect, even where a tool's failure policy would swallow what is raised here."""
        self.diverged = self.over = True
        raise ReplayDiverged

    async def record_handoff(self, to: Agent[Any], path: str) -> None:
        """Another agent takes over. A handoff may hide its own output from the next model, so it is recorded here; and that
        of any other the model asked for at once."""
        asked = [id for id, call in self.calls.items() if (call.output, call.path) == ("handoff_occurred", path)]
        for call_id, said in zip(asked, translate.handoff_outputs(to.name), strict=False):
            await self.record_output({"type": "function_call_output", "call_id": call_id, "output": said})
        if not path:
            await self._record_update(to)

    async def _record_update(self, to: Agent[Any]) -> None:
        """A change of agent, unless an earlier attempt has shown it."""
        agent, previous = self.key_of(to), self.speaking
        if agent == previous:
            return
        self.speaking = agent
        self._updates += 1
        if self._updates > self.turn.journal.agent_updates:
            await self.recorder.record(AgentUpdated(to.name, agent, previous))

    @property
    def answered(self) -> bool:
        """Whether any model has."""
        return bool(self._ordinals)

    def first_on(self, path: str) -> bool:
        """Whether no model has answered on this path."""
        return path not in self._ordinals

    def next_ordinal(self, path: str) -> int:
        ordinal = self._ordinals.get(path, 0)
        self._ordinals[path] = ordinal + 1
        return ordinal

    async def steer(self, told: list[Any], *, remembered: bool) -> list[Any]:
        """What the model of the run's own agent is told next, with what was said to the run until now."""
        ordinal = self._ordinals.get("", 0)
        if not self.journalled(""):
            self.steering.hear(ordinal, await self.turn.steered())
        return self.steering.into(told, ordinal, remembered=remembered) if self.steering.heard else told

    def number_tries(self, path: str, count: int) -> tuple[int, int]:
        """The ordinal that the next answer will have, and the number of the first of these tries to get it.

        A later attempt begins above all that an earlier one can have counted.
        """
        ordinal = self._ordinals.get(path, 0)
        first = self._tries.get((path, ordinal), self.turn.run.attempt * TRIES_PER_ATTEMPT)
        self._tries[path, ordinal] = first + count
        return ordinal, first

    def claim_call_id(self, given: str) -> str:
        """The same id, or a fresh one: history is told apart by call ids, and some models start at ``call_0`` every time. A part of
        a run does not know what the others have."""
        known = given in self.call_ids or self.turn.path
        claimed = given if given and not known else new_id("call")
        self.call_ids.add(claimed)
        return claimed

    def is_handed_back(self, name: str, path: str) -> bool:
        """Whether a call of this tool is the caller's to answer."""
        return not path and name in self.turn.run.options.handed_back

    def expect_output(self, done: ItemDone) -> None:
        """A call that has no output yet."""
        if self.is_handed_back(done.item.get("name", ""), done.path):
            self.handed_back = True
            return
        output: ItemName = "handoff_occurred" if done.name == "handoff_requested" else "tool_output"
        self.calls[done.item["call_id"]] = Call(output, done.agent, done.path)

    async def record_output(self, output: Any) -> None:
        """A tool's or a hand-off's output, recorded for the first who brings it and durable when this returns."""
        content = translate.item(output)
        call = self.calls.pop(content.get("call_id", ""), None)
        if call is not None and not self.over:
            failed = content["call_id"] in self.failed
            await self.recorder.record(ItemDone(call.output, content, call.agent, call.path, failed))

    async def record_outputs(self, contents: Iterable[Any]) -> None:
        """Those among a model's input that nothing else has shown us: unknown tools, refused calls, nested hand-offs."""
        if self.calls:
            for content in contents:
                if isinstance(content, dict) and "output" in content:
                    await self.record_output(content)


_playing: contextvars.ContextVar[Play | None] = contextvars.ContextVar("play", default=None)
_path: contextvars.ContextVar[str] = contextvars.ContextVar("path", default="")


def current_play() -> Play | None:
    """The run this code is part of. A tool that runs an event loop of its own, in a thread, is not: a log has one loop."""
    play = _playing.get()
    if play is None:
        return None
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return play if play.loop is running else None


def current_path() -> str:
    """The ids of the tool calls around this code, outermost first, joined by slashes."""
    return _path.get()


@contextlib.contextmanager
def playing(play: Play) -> Iterator[None]:
    token = _playing.set(play)
    try:
        yield
    finally:
        _playing.reset(token)


@contextlib.contextmanager
def inside_call(play: Play, call_id: str) -> Iterator[None]:
    """A tool at work: what it runs is recorded under its path, and it is not left behind when the run is cancelled."""
    outer = _path.get()
    token = _path.set(f"{outer}/{call_id}" if outer else call_id)
    task = asyncio.current_task()
    assert task is not None
    play.working.add(task)
    try:
        yield
    finally:
        play.working.discard(task)
        _path.reset(token)


def known_call_ids(contents: Iterable[Content]) -> set[str]:
    return {content["call_id"] for content in contents if content.get("call_id")}

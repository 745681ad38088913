"""Plays a script: the same events, in the same order, as a real agent would write."""

import asyncio
import json
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from dragoman.application.remembering import with_summary
from dragoman.application.tools import Asking, Result, Workbench, refusal
from dragoman.application.tools import Call as ToolCall
from dragoman.domain.agents import AgentCard, AgentSpec
from dragoman.domain.conversations import beginning
from dragoman.domain.errors import MaxTurnsExceeded, NotFound, ReplayDiverged
from dragoman.domain.events import AgentUpdated, Delta, ItemDone, ItemName, ModelAnswered, Progress
from dragoman.domain.ids import new_id
from dragoman.domain.items import Content, assistant_message, is_output, text_of, tool_call, tool_output
from dragoman.domain.memory import SUMMARY_PATH
from dragoman.domain.prices import Prices
from dragoman.domain.runs import RunStatus
from dragoman.domain.tools import Tool
from dragoman.domain.usage import Usage
from dragoman.ports.runtime import Outcome, Recorder, Turn
from dragoman.ports.tools import NoServers, ToolRegistry, ToolServers
from dragoman.providers.scripted.answers import read_answer
from dragoman.providers.scripted.script import Call, Calls, Fail, HandOff, Say, Script, Stall, Step, commands

MODEL = "scripted"
MAX_TURNS = 10
SUMMARY = 200
"""Characters of what is summarised that a summary repeats."""


@dataclass(frozen=True, slots=True)
class ScriptedRuntime:
    agents: Mapping[str, AgentCard]
    scripts: Mapping[str, Script]
    tools: ToolRegistry | None
    bench: Workbench
    seconds_per_piece: float = 0.0
    specs: dict[str, AgentSpec] = field(default_factory=dict)
    prices: Prices = field(default_factory=Prices)
    servers: ToolServers = field(default_factory=NoServers)

    async def play(self, turn: Turn, recorder: Recorder) -> Outcome:
        turn = await with_summary(turn, recorder, partial(self._summarize, turn, recorder))
        performance = _Performance(self, turn, recorder)
        steps = deque(self._steps(turn))
        while steps:
            said = await performance.steered()
            if (
                said and self.scripts.get(turn.run.agent) is None
            ):  # who only does what it is told does what it is told last
                steps = deque(commands(_last_words(said[-1])))
            await performance.step(steps.popleft())
            if performance.waits:
                return Outcome(status=RunStatus.REQUIRES_ACTION, turns=performance.turns)
            if performance.handed_back:
                break
            if turn.stop.requested:
                return Outcome(performance.last_said, RunStatus.CANCELLED, turns=performance.turns)
        if turn.journal.answer("", performance.turns):  # it ended before its log does
            raise ReplayDiverged
        final_output = performance.last_said if performance.handed_back else performance.answer()
        return Outcome(final_output, response_id=f"resp_{turn.run.id}", turns=performance.turns)

    async def _summarize(self, turn: Turn, recorder: Recorder, text: str) -> str:
        """The beginning of what was said, in a call that is recorded as a model's would be."""
        if earlier := turn.journal.answer(SUMMARY_PATH, 0):
            return "".join(text_of(done.item) for done in earlier.items)
        await turn.held()
        said = f"{len(text.splitlines())} lines: {beginning(text, SUMMARY)}"
        reservation = ""
        usage = _usage(_words(text), _words(said))
        if turn.spending is not None:
            reservation = new_id("resv")
            price = self.prices.find(MODEL)
            await turn.spending.reserve(reservation, turn.run.agent, None if price is None else price.of(usage))
        agent, item = turn.run.agent, assistant_message(said)
        answered = ModelAnswered(
            agent=agent,
            model=MODEL,
            ordinal=0,
            items=1,
            usage=replace(usage, cost=self.prices.cost(usage, MODEL)),
            path=SUMMARY_PATH,
            reservation=reservation,
        )
        await recorder.record(ItemDone("message_output_created", item, agent, SUMMARY_PATH), answered)
        return said

    def _steps(self, turn: Turn) -> list[Step]:
        script = self.scripts.get(turn.run.agent)
        if script is None:
            return commands(_last_words([*turn.history, *turn.input][-1]))
        return list(script(turn) if callable(script) else script)


class _Performance:
    """One run of one script."""

    def __init__(self, runtime: ScriptedRuntime, turn: Turn, recorder: Recorder) -> None:
        self.turns = 0
        self.handed_back = False  # a call waits for the caller
        self.waits = False  # a call waits for a person
        self.last_said: str | None = None
        self._runtime = runtime
        self._turn = turn
        self._recorder = recorder
        self._agent = turn.run.agent
        self._calls = 0
        self._reservation = ""
        self._heard_at: set[int] = set()  # before which answers it has been told what the journal knows
        self._heard = sum(_words(text_of(item)) for item in (*turn.history, *turn.input))

    def answer(self) -> Any:
        """What was said last, in the form that the speaking agent's answers have."""
        spec = self._runtime.specs.get(self._agent)
        if spec is None or spec.output is None or self.last_said is None:
            return self.last_said
        return read_answer(spec.output, self.last_said)

    async def steered(self) -> Sequence[Content]:
        """What is said to the run before its next answer."""
        said = [*self._turn.journal.steered.get(self.turns, ())] if self.turns not in self._heard_at else []
        self._heard_at.add(self.turns)
        if not self._turn.journal.answer("", self.turns):
            said += await self._turn.steered()
        self._heard += sum(_words(text_of(item)) for item in said)
        return said

    async def step(self, step: Step) -> None:
        if not self._turn.journal.answer("", self.turns):
            await self._turn.held()
        match step:
            case Say():
                await self._say(step)
            case Calls():
                await self._call(step)
            case HandOff():
                await self._hand_off(step)
            case Fail():
                raise step.error
            case Stall() if not self._turn.journal.answer("", self.turns):  # what comes next was not waited for already
                await asyncio.sleep(step.seconds)

    async def _say(self, step: Say) -> None:
        self._next_turn()
        if self._replayed():
            self.last_said = step.text
            return
        await self._pay(_words(step.text) + (2 if step.reasoning else 1))
        self.last_said = step.text
        if step.reasoning:
            await self._stream("reasoning", step.reasoning, ())
        await self._stream("text", step.text, step.pieces)
        items: list[tuple[ItemName, Content]] = []
        if step.reasoning:
            summary = [{"type": "summary_text", "text": step.reasoning}]
            items.append(("reasoning_item_created", {"type": "reasoning", "summary": summary}))
        items.append(("message_output_created", assistant_message(step.text)))
        await self._answer(items, said=step.text)

    async def _call(self, step: Calls) -> None:
        self._next_turn()
        await self._pay(len(step.calls))
        calls = [(self._next_call_id(), one) for one in step.calls]
        items: list[tuple[ItemName, Content]] = []
        for output, (call_id, one) in enumerate(calls):
            arguments = json.dumps(one.arguments)
            if not self._replayed():
                self._recorder.show(Delta("arguments", arguments, output=output, call_id=call_id, tool=one.tool))
            items.append(("tool_called", tool_call(call_id, one.tool, arguments)))
        await self._answer(items)
        ours = [
            (call_id, self._as_decided(call_id, one))
            for call_id, one in calls
            if one.tool not in self._turn.run.options.handed_back
        ]
        self.handed_back = len(ours) < len(calls)
        async with asyncio.TaskGroup() as group:
            for call_id, one in ours:
                group.create_task(self._run_tool(call_id, one))

    async def _run_tool(self, call_id: str, one: Call) -> None:
        if self._turn.journal.output(call_id):
            return
        if await self._runtime.bench.must_wait(await self._asking(call_id, one)):
            self.waits = True
            return
        decided = self._turn.journal.decisions.get(call_id)
        result = refusal(decided) if decided else None
        if result is None:
            self._recorder.show(Progress(one.tool, "started"))
            result = await self._result(call_id, one)
        done = ItemDone("tool_output", tool_output(call_id, result.output), self._agent, failed=result.failed)
        await self._recorder.record(done)

    def _as_decided(self, call_id: str, one: Call) -> Call:
        """The call with the arguments that a person has put in the place of the script's, if one has."""
        decided = self._turn.journal.decisions.get(call_id)
        if decided is None or decided.arguments is None:
            return one
        return replace(one, arguments=decided.arguments)

    async def _asking(self, call_id: str, one: Call) -> Asking:
        return Asking(
            call_id,
            one.tool,
            one.arguments,
            self._agent,
            self._turn,
            self._recorder,
            tool=await self._tool(one.tool),
            wanted=one.needs_approval,
        )

    async def _result(self, call_id: str, one: Call) -> Result:
        if one.raises is not None:
            return Result(one.raises, failed=True)
        if one.returns is not None:
            return Result(one.returns if isinstance(one.returns, str) else json.dumps(one.returns))
        tool = await self._tool(one.tool)
        if tool is None:
            return Result(f"There is no tool {one.tool!r}.", failed=True)
        arguments = json.dumps(one.arguments)
        call = ToolCall(call_id, tool, arguments, self._agent, self._turn, self._recorder)
        await self._turn.held()
        return await self._runtime.bench.use(call)

    async def _tool(self, name: str) -> Tool | None:
        try:
            tool = self._runtime.tools.get(name) if self._runtime.tools else None
        except NotFound:
            return await self._served(name)
        return tool if tool and tool.visible_to(self._turn.principal) else None

    async def _served(self, name: str) -> Tool | None:
        """The tool of that name among those that servers bring."""
        spec = self._runtime.specs.get(self._agent)
        tools = await self._runtime.servers.tools(self._agent, spec.mcp if spec else (), self._turn.principal)
        return next((tool for tool in tools if tool.name == name), None)

    async def _hand_off(self, step: HandOff) -> None:
        self._next_turn()
        await self._pay(1)
        call_id, name = self._next_call_id(), f"transfer_to_{step.agent}"
        await self._answer([("handoff_requested", tool_call(call_id, name, "{}"))])
        output = tool_output(call_id, json.dumps({"assistant": step.agent}))
        card = self._runtime.agents.get(step.agent)
        previous, self._agent = self._agent, step.agent
        if self._turn.journal.output(call_id):
            return
        await self._recorder.record(
            ItemDone("handoff_occurred", output, previous),
            AgentUpdated(card.name if card else step.agent, step.agent, previous),
        )

    async def _stream(self, kind: Any, text: str, pieces: tuple[str, ...]) -> None:
        for piece in pieces or re.findall(r"\s*\S+\s*$|\s*\S+", text):
            self._recorder.show(Delta(kind, piece))
            await asyncio.sleep(self._runtime.seconds_per_piece)

    async def _answer(self, items: list[tuple[ItemName, Content]], said: str = "") -> None:
        """Record an answer; durable when this returns. One that the journal has is recorded already."""
        if self._replayed():
            return
        answered = ModelAnswered(
            agent=self._agent,
            model=MODEL,
            ordinal=self.turns - 1,
            items=len(items),
            usage=self._priced(_usage(self._heard, _words(said) + len(items))),
            reservation=self._reservation,
        )
        await self._recorder.record(*(ItemDone(name, item, self._agent) for name, item in items), answered)

    async def _pay(self, words: int) -> None:
        """Reserve what an answer of so many words costs, unless the journal has it."""
        spending = self._turn.spending
        if spending is None or self._replayed():
            return
        self._reservation = new_id("resv")
        price = self._runtime.prices.find(MODEL)
        cost = None if price is None else price.of(_usage(self._heard, words))
        await spending.reserve(self._reservation, self._agent, cost)

    def _priced(self, usage: Usage) -> Usage:
        return replace(usage, cost=self._runtime.prices.cost(usage, MODEL))

    def _replayed(self) -> bool:
        """Whether the answer of this turn is in the journal, where it must be this agent's."""
        answer = self._turn.journal.answer("", self.turns - 1)
        if answer is not None and answer.closed.agent != self._agent:
            raise ReplayDiverged
        return answer is not None

    def _next_turn(self) -> None:
        spec = self._runtime.specs.get(self._turn.run.agent)
        limit = self._turn.max_turns or (spec.max_turns if spec else MAX_TURNS)
        if self.turns >= limit:
            raise MaxTurnsExceeded
        self.turns += 1

    def _next_call_id(self) -> str:
        self._calls += 1
        run, part = self._turn.run.id.removeprefix("run_"), self._turn.path.replace("/", "_")
        return "_".join(filter(None, ("call", run, part, str(self._calls))))


def _last_words(item: Content) -> str:
    return f"It is {item['output']}" if is_output(item) else text_of(item)


def _words(text: str) -> int:
    return len(text.split())


def _usage(heard: int, said: int) -> Usage:
    return Usage(requests=1, input_tokens=heard, output_tokens=said, total_tokens=heard + said, models=(MODEL,))

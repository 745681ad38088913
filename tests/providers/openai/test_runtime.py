"""Runs through the SDK's real Runner: what is recorded, in which order, and how they end."""

import asyncio
import contextlib
import copy
import dataclasses
import json
import logging
import threading

import mcp.types
import pytest
from agents import (
    Agent,
    GuardrailFunctionOutput,
    InputGuardrail,
    ModelSettings,
    OutputGuardrail,
    RunConfig,
    RunContextWrapper,
    RunHooks,
    Runner,
    function_tool,
    handoff,
)
from agents.mcp import MCPServer
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
from openai.types.responses import Response, ResponseIncompleteEvent, ResponseOutputMessage, ResponseOutputRefusal
from openai.types.responses.response import IncompleteDetails
from pydantic import BaseModel

from dragoman.domain.agents import AgentSpec
from dragoman.domain.errors import (
    GuardrailBlocked,
    MaxTurnsExceeded,
    ModelBroken,
    ModelRateLimited,
    ModelUnavailable,
    ToolFailed,
)
from dragoman.domain.events import AgentUpdated, ApprovalRequested, Delta, ItemDone, ModelAnswered, Progress
from dragoman.domain.items import assistant_message as said
from dragoman.domain.items import message, tool_call, tool_output
from dragoman.domain.runs import RunStatus
from dragoman.domain.tools import ToolError
from dragoman.ports.runtime import StopSignal
from tests.providers.openai.stage import WAIT, stage


@function_tool
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


def scripted(name="Ann", steps=(), **named):
    return Agent(name=name, model=ScriptedModel(steps), **named)


async def test_an_answer_is_shown_as_it_comes_and_recorded_as_a_whole():
    async with stage(scripted(steps=[[assistant_message("Hello there")]])) as theatre:
        played = await theatre.play("ann", "Hi")
    assert played.outcome.final_output == "Hello there"
    assert played.outcome.status is RunStatus.COMPLETED
    assert played.text == "Hello there"
    assert played.story == ["message_output_created Hello there", "answered"]
    assert played.answers[0].items == 1
    assert played.answers[0].ordinal == 0
    assert played.answers[0].agent == "ann"


async def test_the_model_sees_the_history_without_reasoning_and_ids_then_the_input():
    ann = scripted(steps=[[assistant_message("ok")]])
    history = [
        message("user", "Hi"),
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {**tool_call("c1", "add", "{oops"), "id": "fc_1"},
        tool_output("c1", "3"),
        {**said("Hello"), "id": "msg_1"},
    ]
    async with stage(ann) as theatre:
        await theatre.play("ann", "And?", history=history)
    sent = ann.model.calls[0].input
    assert [item.get("type") for item in sent] == [None, "function_call", "function_call_output", None, None]
    assert not any("id" in item for item in sent)
    assert sent[1]["arguments"] == "{}"
    assert sent[-1] == {"role": "user", "content": "And?"}


async def test_an_answer_with_calls_is_durable_before_any_tool_starts():
    durable = []

    @function_tool
    async def look() -> str:
        answered = next(i for i, e in enumerate(theatre.recorder.events) if isinstance(e, ModelAnswered))
        durable.append(theatre.recorder.durable > answered)
        return "seen"

    ann = scripted(steps=[[function_call("look", {}, call_id="c1")], [assistant_message("done")]], tools=[look])
    async with stage(ann) as theatre:
        await theatre.play("ann", "look")
    assert durable == [True]


async def test_a_tools_output_is_durable_before_the_model_sees_it():
    durable = []

    def respond(call):
        outputs = [i for i, e in enumerate(theatre.recorder.events) if getattr(e, "name", "") == "tool_output"]
        durable.append(theatre.recorder.durable > max(outputs))
        return [assistant_message("3")]

    steps = [[function_call("add", {"a": 1, "b": 2}, call_id="c1")], ModelStep.respond(respond)]
    async with stage(scripted(steps=steps, tools=[add])) as theatre:
        played = await theatre.play("ann", "1+2?")
    assert durable == [True]
    assert played.story == [
        "tool_called add",
        "answered",
        "add started",
        "tool_output 3",
        "message_output_created 3",
        "answered",
    ]


async def test_the_output_of_a_fast_tool_is_recorded_while_a_slow_one_works():
    release = asyncio.Event()

    @function_tool
    async def slow() -> str:
        await release.wait()
        return "slow"

    steps = [
        [function_call("slow", {}, call_id="c1"), function_call("add", {"a": 1, "b": 1}, call_id="c2")],
        [assistant_message("done")],
    ]
    async with stage(scripted(steps=steps, tools=[slow, add])) as theatre:
        task = theatre.begin("ann", "both")
        await theatre.seen(lambda e: getattr(e, "name", "") == "tool_output")
        assert [e.item["call_id"] for e in theatre.recorder.events if getattr(e, "name", "") == "tool_output"] == ["c2"]
        release.set()
        await asyncio.wait_for(task, WAIT)


async def test_arguments_are_streamed_under_the_calls_id():
    steps = [[function_call("add", {"a": 1, "b": 2}, call_id="c1")], [assistant_message("3")]]
    async with stage(scripted(steps=steps, tools=[add])) as theatre:
        played = await theatre.play("ann", "1+2?")
    pieces = [e for e in played.of(Delta) if e.kind == "arguments"]
    assert {(piece.call_id, piece.tool) for piece in pieces} == {("c1", "add")}
    assert json.loads("".join(piece.text for piece in pieces)) == {"a": 1, "b": 2}


# Tools that fail -----------------------------------------------------------------------------------------------------


@function_tool
def broken() -> str:
    """Has a bug."""
    raise RuntimeError("secret")


@function_tool
def picky() -> str:
    """Speaks to the model."""
    raise ToolError("Only on Sundays.")


@function_tool(failure_error_function=None)
def fatal() -> str:
    """Ends the run."""
    raise RuntimeError("secret")


@function_tool(failure_error_function=lambda _, error: f"custom: {type(error).__name__}")
def excused() -> str:
    """Has words of its own for its failures."""
    raise RuntimeError("secret")


@function_tool(timeout=0.01)
async def sleepy() -> str:
    """Never ends."""
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (function_call("broken", {}, call_id="c"), "An error occurred while running the tool. Please try again."),
        (function_call("picky", {}, call_id="c"), "Only on Sundays."),
        (function_call("excused", {}, call_id="c"), "custom: RuntimeError"),
        (function_call("sleepy", {}, call_id="c"), "Tool 'sleepy' timed out after 0.01 seconds."),
        (function_call("nowhere", {}, call_id="c"), "Tool 'nowhere' not found."),
        (
            function_call("add", "{oops", call_id="c"),
            "The arguments do not fit the tool's schema. Correct them and call it again.",
        ),
        (
            function_call("add", {"a": "x"}, call_id="c"),
            "The arguments do not fit the tool's schema. Correct them and call it again.",
        ),
    ],
)
async def test_a_failure_is_told_to_the_model_marked_and_survived(call, told):
    ann = scripted(steps=[[call], [assistant_message("done")]], tools=[add, broken, picky, excused, sleepy])
    async with stage(ann) as theatre:
        played = await theatre.play("ann", "go")
    assert played.outcome.final_output == "done"
    assert played.outputs() == {"c": told}
    assert [item.failed for item in played.items] == [False, True, False]


async def test_a_bug_in_a_tool_is_logged_with_its_traceback(caplog):
    ann = scripted(steps=[[function_call("broken", {}, call_id="c")], [assistant_message("done")]], tools=[broken])
    async with stage(ann) as theatre:
        with caplog.at_level(logging.ERROR, "dragoman"):
            await theatre.play("ann", "go")
    (record,) = caplog.records
    assert record.getMessage() == "the tool broken failed"
    assert "RuntimeError: secret" in caplog.text


async def test_a_tool_that_may_not_fail_ends_the_run_and_its_siblings_outputs_stay():
    steps = [[function_call("add", {"a": 1, "b": 1}, call_id="c1"), function_call("fatal", {}, call_id="c2")]]
    async with stage(scripted(steps=steps, tools=[add, fatal])) as theatre:
        played = await theatre.play("ann", "go")
    assert isinstance(played.error, ToolFailed)
    assert "secret" not in played.error.detail
    assert played.outputs() == {"c1": "2"}


async def test_a_synchronous_tool_works_in_a_thread():
    threads = []

    @function_tool
    def where() -> str:
        threads.append(threading.current_thread())
        return "there"

    ann = scripted(steps=[[function_call("where", {}, call_id="c")], [assistant_message("ok")]], tools=[where])
    async with stage(ann) as theatre:
        await theatre.play("ann", "go")
    assert threads[0] is not threading.main_thread()


class Library(MCPServer):
    """An MCP server in this process, with a tool that works and one that does not."""

    name = "library"

    async def connect(self): ...

    async def cleanup(self): ...

    async def list_prompts(self): ...

    async def get_prompt(self, name, arguments=None): ...

    async def list_tools(self, run_context=None, agent=None):
        schema = {"type": "object", "properties": {}}
        return [mcp.types.Tool(name=name, inputSchema=schema) for name in ("find", "lose")]

    async def call_tool(self, tool_name, arguments, meta=None):
        if tool_name == "lose":
            raise RuntimeError("secret")
        return mcp.types.CallToolResult(content=[mcp.types.TextContent(type="text", text="found")])


async def test_tools_of_mcp_servers_are_recorded_like_any_other(caplog):
    calls = [function_call("find", {}, call_id="c1"), function_call("lose", {}, call_id="c2")]
    ann = scripted(steps=[calls, [assistant_message("done")]], mcp_servers=[Library()])
    async with stage(ann) as theatre:
        played = await theatre.play("ann", "go")
    assert "found" in str(played.outputs()["c1"])
    assert "secret" not in str(played.outputs())
    assert {item.item["call_id"]: item.failed for item in played.items if item.name == "tool_output"} == {
        "c1": False,
        "c2": True,
    }
    assert "the tool lose failed" in caplog.text


async def test_there_are_threads_for_many_synchronous_tools_at_once():
    everybody = threading.Barrier(40)

    @function_tool
    def meet() -> str:
        everybody.wait(timeout=WAIT)
        return "met"

    calls = [function_call("meet", {}, call_id=f"c{i}") for i in range(40)]
    async with stage(scripted(steps=[calls, [assistant_message("done")]], tools=[meet])) as theatre:
        played = await theatre.play("ann", "go")
    assert set(played.outputs().values()) == {"met"}


# Hand-offs -----------------------------------------------------------------------------------------------------------


async def test_a_hand_off_is_recorded_with_its_output_then_the_new_agent_speaks():
    ben = scripted("Ben", [[assistant_message("Ben here")]])
    ann = scripted(steps=[[function_call("transfer_to_ben", {}, call_id="h")]], handoffs=[ben])
    async with stage(ann, ben) as theatre:
        played = await theatre.play("ann", "Ben, please")
    assert played.story == [
        "handoff_requested transfer_to_ben",
        "answered",
        'handoff_occurred {"assistant": "Ben"}',
        "ann -> ben",
        "message_output_created Ben here",
        "answered",
    ]
    assert played.of(AgentUpdated) == [AgentUpdated("Ben", "ben", "ann")]
    assert [answer.agent for answer in played.answers] == ["ann", "ben"]


async def test_hand_offs_may_lead_in_circles_and_through_objects_of_their_own():
    ann = scripted(steps=[[function_call("transfer_to_ben", {}, call_id="h1")], [assistant_message("back")]])
    ben = scripted("Ben", [[function_call("go_home", {}, call_id="h2")]], handoffs=[handoff(ann, "go_home")])
    ann.handoffs = [ben]
    async with stage(ann) as theatre:  # Ben is not registered, only reachable
        played = await theatre.play("ann", "go")
        assert list(theatre.provider.agents) == ["ann"]
    assert played.outcome.final_output == "back"
    assert [(e.previous, e.agent) for e in played.of(AgentUpdated)] == [("ann", "ben"), ("ben", "ann")]
    assert len(played.outputs("handoff_occurred")) == 2


async def test_of_several_hand_offs_the_first_counts_and_every_call_has_an_output():
    ben, cid = scripted("Ben", [[assistant_message("Ben here")]]), scripted("Cid")
    calls = [function_call("transfer_to_ben", {}, call_id="h1"), function_call("transfer_to_cid", {}, call_id="h2")]
    async with stage(scripted(steps=[calls], handoffs=[ben, cid])) as theatre:
        played = await theatre.play("ann", "go")
    assert played.outcome.final_output == "Ben here"
    assert set(played.outputs("handoff_occurred")) == {"h1", "h2"}


async def test_a_hand_off_that_hides_itself_from_the_next_agent_has_an_output_in_the_log():
    ben = scripted("Ben", [[assistant_message("Ben here")]])
    hidden = handoff(ben, input_filter=lambda data: dataclasses.replace(data, pre_handoff_items=(), new_items=()))
    ann = scripted(steps=[[function_call("transfer_to_ben", {}, call_id="h")]], handoffs=[hidden])
    async with stage(ann, ben) as theatre:
        played = await theatre.play("ann", "Ben, please")
    assert played.outputs("handoff_occurred") == {"h": '{"assistant": "Ben"}'}


# Agents inside tools -------------------------------------------------------------------------------------------------


async def test_an_agent_inside_a_tool_is_recorded_under_the_calls_path():
    inner = scripted(
        "Inner", [[function_call("add", {"a": 2, "b": 2}, call_id="in")], [assistant_message("four")]], tools=[add]
    )
    outer = scripted(
        steps=[[function_call("ask", {"input": "2+2?"}, call_id="out")], [assistant_message("It is four.")]],
        tools=[inner.as_tool("ask", "Ask.")],
    )
    async with stage(outer) as theatre:
        played = await theatre.play("ann", "2+2?")
    assert played.story == [
        "tool_called ask",
        "answered",
        "ask started",
        "out: tool_called add",
        "out: answered",
        "add started",
        "out: tool_output 4",
        "out: message_output_created four",
        "out: answered",
        "tool_output four",
        "message_output_created It is four.",
        "answered",
    ]
    assert played.text == "It is four."
    assert [e.text for e in played.of(Delta) if e.path == "out" and e.kind == "text"] == ["four"]
    assert [e.path for e in played.of(Progress)] == ["", "out"]
    assert [(a.path, a.ordinal) for a in played.answers] == [("", 0), ("out", 0), ("out", 1), ("", 1)]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_that_a_tool_starts_itself_is_recorded_too(streamed):
    inner = scripted("Inner", [[assistant_message("inside")]])

    @function_tool
    async def run_it(context: RunContextWrapper) -> str:
        if not streamed:
            return (await Runner.run(inner, "go", context=context.context)).final_output
        result = Runner.run_streamed(inner, "go", context=context.context)
        async for _ in result.stream_events():
            pass
        return result.final_output

    steps = [[function_call("run_it", {}, call_id="c")], [assistant_message("done")]]
    async with stage(scripted(steps=steps, tools=[run_it])) as theatre:
        played = await theatre.play("ann", "go")
    assert played.outputs() == {"c": "inside"}
    assert "c: message_output_created inside" in played.story


async def test_a_hand_off_inside_a_tool_has_an_output_as_well():
    last = scripted("Last", [[assistant_message("end")]])
    inner = scripted("Inner", [[function_call("transfer_to_last", {}, call_id="h")]], handoffs=[last])
    outer = scripted(
        steps=[[function_call("ask", {"input": "x"}, call_id="c")], [assistant_message("done")]],
        tools=[inner.as_tool("ask", "Ask.")],
    )
    async with stage(outer) as theatre:
        played = await theatre.play("ann", "go")
    assert played.outputs("handoff_occurred") == {"h": '{"assistant": "Last"}'}
    assert [a.agent for a in played.answers] == ["ann", "inner", "last", "ann"]


async def test_a_nested_run_keeps_its_own_hooks_and_choices():
    heard = []

    class Hooks(RunHooks):
        async def on_tool_end(self, context, agent, tool, result):
            heard.append((agent.name, tool.name, result))

        async def on_agent_start(self, context, agent):
            heard.append(agent.name)

    steps = [[function_call("add", {"a": 1, "b": 1}, call_id="in")], [assistant_message("two")]]
    other = ScriptedModel(steps)
    inner = Agent(name="Inner", tools=[add])
    config = RunConfig(model=other, model_settings=ModelSettings(temperature=0.1))
    outer = scripted(
        steps=[[function_call("ask", {"input": "x"}, call_id="c")], [assistant_message("done")]],
        tools=[inner.as_tool("ask", "Ask.", hooks=Hooks(), run_config=config)],
    )
    async with stage(outer) as theatre:
        played = await theatre.play("ann", "go")
    assert heard == ["Inner", ("Inner", "add", "2")]
    assert played.outputs() == {"in": "2", "c": "two"}
    assert other.calls[0].model_settings.temperature == 0.1


async def test_a_nested_model_that_fails_is_a_failed_tool(caplog):
    inner = scripted("Inner", [ModelRateLimited()])
    steps = [[function_call("ask", {"input": "x"}, call_id="c")], [assistant_message("done")]]
    async with stage(scripted(steps=steps, tools=[inner.as_tool("ask", "Ask.")])) as theatre:
        played = await theatre.play("ann", "go")
    assert played.outcome.final_output == "done"
    assert [item.failed for item in played.items] == [False, True, False]
    assert "the tool ask failed" in caplog.text


async def test_a_nested_model_that_fails_where_it_may_not_fails_the_run_with_its_own_error():
    inner = scripted("Inner", [ModelRateLimited()])
    tool = inner.as_tool("ask", "Ask.", failure_error_function=None)
    async with stage(scripted(steps=[[function_call("ask", {"input": "x"}, call_id="c")]], tools=[tool])) as theatre:
        played = await theatre.play("ann", "go")
    assert isinstance(played.error, ModelRateLimited)


def cut_short(text):
    """A model step whose answer the endpoint ends for lack of tokens."""
    answer = Response(
        id="r",
        created_at=0,
        model="m",
        object="response",
        output=[assistant_message(text)],
        tool_choice="auto",
        tools=[],
        parallel_tool_calls=True,
        status="incomplete",
        incomplete_details=IncompleteDetails(reason="max_output_tokens"),
    )
    return ModelStep.stream([ResponseIncompleteEvent(type="response.incomplete", response=answer, sequence_number=0)])


async def test_an_answer_cut_short_ends_the_run_but_inside_a_tool_only_the_tool():
    inner = scripted("Inner", [cut_short("half")])
    steps = [[function_call("ask", {"input": "x"}, call_id="c")], cut_short("all but")]
    async with stage(scripted(steps=steps, tools=[inner.as_tool("ask", "Ask.")])) as theatre:
        played = await theatre.play("ann", "go")
    assert played.outputs() == {"c": "half"}
    assert (played.outcome.status, played.outcome.final_output) == (RunStatus.INCOMPLETE, "all but")
    assert [(a.path, a.truncated) for a in played.answers] == [("", False), ("c", True), ("", True)]


async def test_a_run_inside_a_thread_of_a_tool_is_left_alone():
    inner = scripted("Inner", [[assistant_message("inside")]])

    @function_tool
    def run_it() -> str:
        return asyncio.run(Runner.run(inner, "go")).final_output

    steps = [[function_call("run_it", {}, call_id="c")], [assistant_message("done")]]
    async with stage(scripted(steps=steps, tools=[run_it])) as theatre:
        played = await theatre.play("ann", "go")
    assert played.outputs() == {"c": "inside"}
    assert len(played.answers) == 2


async def test_outside_of_our_runs_the_sdk_is_as_it_was():
    alone = scripted("Alone", [[assistant_message("by myself")]])
    async with stage(alone) as theatre:
        assert (await Runner.run(alone, "Hi")).final_output == "by myself"
        assert theatre.recorder.events == []


# Call ids ------------------------------------------------------------------------------------------------------------


async def test_a_call_id_that_was_used_before_is_replaced_everywhere():
    steps = [
        [
            function_call("add", {"a": 1, "b": 1}, call_id="call_0"),
            function_call("add", {"a": 2, "b": 2}, call_id="call_0"),
        ],
        [function_call("add", {"a": 3, "b": 3}, call_id="call_0")],
        [assistant_message("done")],
    ]
    ann = scripted(steps=steps, tools=[add])
    history = [message("user", "Hi"), tool_call("call_0", "add", "{}"), tool_output("call_0", "0"), said("0")]
    async with stage(ann) as theatre:
        played = await theatre.play("ann", "go", history=history)
    called = [item.item["call_id"] for item in played.items if item.name == "tool_called"]
    assert len({"call_0", *called}) == 4
    assert [played.outputs()[call_id] for call_id in called] == ["2", "4", "6"]
    assert {e.call_id for e in played.of(Delta) if e.kind == "arguments"} == set(called)
    sent = [item["call_id"] for item in ann.model.calls[-1].input if item.get("type") == "function_call"]
    assert sent == ["call_0", *called]


# Output --------------------------------------------------------------------------------------------------------------


class Point(BaseModel):
    x: int
    y: int


@dataclasses.dataclass
class Pair:
    left: str
    right: str


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        (Point, {"x": 1, "y": 2}, {"x": 1, "y": 2}),
        (Pair, {"response": {"left": "a", "right": "b"}}, {"left": "a", "right": "b"}),
        (list[int], {"response": [1, 2]}, [1, 2]),
    ],
)
async def test_structured_output_ends_as_json(kind, written, value):
    async with stage(scripted(steps=[[assistant_message(json.dumps(written))]], output_type=kind)) as theatre:
        played = await theatre.play("ann", "go")
    assert played.outcome.final_output == value


async def test_structured_output_that_does_not_fit_is_a_broken_answer():
    async with stage(scripted(steps=[[assistant_message("{")]], output_type=Point)) as theatre:
        played = await theatre.play("ann", "go")
    assert isinstance(played.error, ModelBroken)


async def test_a_refusal_is_an_answer():
    refusal = ResponseOutputMessage(
        id="m",
        type="message",
        role="assistant",
        status="completed",
        content=[ResponseOutputRefusal(type="refusal", refusal="I would rather not.")],
    )
    async with stage(scripted(steps=[[refusal]])) as theatre:
        played = await theatre.play("ann", "go")
    assert played.outcome.final_output == "I would rather not."
    assert [e.text for e in played.of(Delta)] == ["I would rather not."]


async def test_text_that_no_database_can_store_is_made_storable():
    async with stage(scripted(steps=[[assistant_message("nul \0 and \ud800")]])) as theatre:
        played = await theatre.play("ann", "go")
    assert "\0" not in played.text
    json.dumps(played.items[0].item, ensure_ascii=False).encode()


# How runs end --------------------------------------------------------------------------------------------------------


async def test_an_agent_that_never_ends_meets_its_limit_of_turns():
    steps = [[function_call("add", {"a": 1, "b": 1}, call_id=f"c{i}")] for i in range(5)]
    async with stage(scripted(steps=steps, tools=[add])) as theatre:
        played = await theatre.play("ann", "go", max_turns=2)
    assert isinstance(played.error, MaxTurnsExceeded)
    assert set(played.outputs()) == {"c0", "c1"}


async def test_an_unknown_tool_has_an_output_although_the_limit_of_turns_is_met():
    steps = [[function_call("nowhere", {}, call_id="c")], [assistant_message("done")]]
    async with stage(scripted(steps=steps)) as theatre:
        played = await theatre.play("ann", "go", max_turns=1)
    assert isinstance(played.error, MaxTurnsExceeded)
    assert set(played.outputs()) == {"c"}


async def test_a_specification_has_a_limit_of_its_own():
    calls = "\n".join(f'/call calculate {{"expression": "{i}"}}\n/say {i}' for i in range(4))
    spec = AgentSpec("brief", "Brief", "Be brief.", tools=("calculate",), max_turns=1)
    async with stage(spec) as theatre:
        played = await theatre.play("brief", calls)
    assert isinstance(played.error, MaxTurnsExceeded)


async def test_a_model_that_fails_with_something_unforeseen_is_a_broken_answer_and_logged(caplog):
    async with stage(scripted(steps=[RuntimeError("secret")])) as theatre:
        played = await theatre.play("ann", "go")
    assert isinstance(played.error, ModelBroken)
    assert "secret" not in played.error.detail
    assert "failed in an unexpected way" in caplog.text


async def test_an_answer_without_an_end_is_a_broken_answer():
    async with stage(scripted(steps=[ModelStep.stream([])])) as theatre:
        played = await theatre.play("ann", "go")
    assert isinstance(played.error, ModelBroken)


async def test_a_silent_model_is_unavailable():
    async with stage(Agent(name="Ann"), idle_timeout=0.05) as theatre:
        played = await theatre.play("ann", "/say before\n/stall 60")
    assert isinstance(played.error, ModelUnavailable)
    assert played.text == "before"


@pytest.mark.parametrize("where", ["input", "output"])
async def test_a_guardrail_that_trips_blocks_the_run(where):
    async def trip(*_):
        return GuardrailFunctionOutput(output_info=None, tripwire_triggered=True)

    guard = (
        {"input_guardrails": [InputGuardrail(trip, run_in_parallel=False)]}
        if where == "input"
        else {"output_guardrails": [OutputGuardrail(trip)]}
    )
    async with stage(scripted(steps=[[assistant_message("no")]], **guard)) as theatre:
        played = await theatre.play("ann", "go")
    assert isinstance(played.error, GuardrailBlocked)


async def test_a_tool_that_asks_for_approval_is_not_started_and_the_run_waits():
    @function_tool(needs_approval=True)
    def launch() -> str:
        return "launched"

    async with stage(scripted(steps=[[function_call("launch", {}, call_id="c")]], tools=[launch])) as theatre:
        played = await theatre.play("ann", "go")
    assert played.outcome.status is RunStatus.REQUIRES_ACTION
    (asked,) = played.of(ApprovalRequested)
    assert (asked.tool, asked.call_id, asked.arguments) == ("launch", "c", {})


async def test_cancelling_stops_at_once_and_leaves_no_task_behind():
    began, ended = asyncio.Event(), []

    @function_tool
    async def forever() -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    ann = scripted(steps=[[function_call("forever", {}, call_id="c")]], tools=[forever])
    async with stage(ann) as theatre:
        before = asyncio.all_tasks()
        task = theatre.begin("ann", "go")
        await asyncio.wait_for(began.wait(), WAIT)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, WAIT)
        assert task.cancelled()
        assert ended == [True]
        assert asyncio.all_tasks() == before


async def test_a_cancelled_tool_leaves_no_output_not_even_inside_another(caplog):
    began = asyncio.Event()

    @function_tool
    async def forever() -> str:
        began.set()
        await asyncio.Event().wait()

    inner = scripted("Inner", [[function_call("forever", {}, call_id="in")]], tools=[forever])
    outer = scripted(steps=[[function_call("ask", {"input": "x"}, call_id="c")]], tools=[inner.as_tool("ask", "Ask.")])
    async with stage(outer) as theatre:
        task = theatre.begin("ann", "go")
        await asyncio.wait_for(began.wait(), WAIT)
        task.cancel()
        await asyncio.wait([task], timeout=WAIT)
        assert task.cancelled()
    assert [e.name for e in theatre.recorder.events if isinstance(e, ItemDone)] == ["tool_called", "tool_called"]
    assert caplog.records == []


async def test_cancelling_in_the_middle_of_an_answer_keeps_what_was_shown():
    async with stage(Agent(name="Ann")) as theatre:
        before = asyncio.all_tasks()
        task = theatre.begin("ann", "/say half an answer\n/stall 60\n/say the rest")
        await theatre.seen(lambda e: isinstance(e, Delta) and e.text.endswith("answer"))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, WAIT)
        assert asyncio.all_tasks() == before
        *said, failed = theatre.recorder.events
    assert "".join(event.text for event in said) == "half an answer"
    assert [(tried.status, tried.estimated) for tried in failed.tries] == [("cancelled", True)]


async def test_stopping_after_the_turn_lets_the_answer_and_its_tools_finish():
    began, release, stop = asyncio.Event(), asyncio.Event(), StopSignal()

    @function_tool
    async def work() -> str:
        began.set()
        await release.wait()
        return "worked"

    ann = scripted(steps=[[function_call("work", {}, call_id="c")], [assistant_message("never said")]], tools=[work])
    async with stage(ann) as theatre:
        task = theatre.begin("ann", "go", stop=stop)
        await asyncio.wait_for(began.wait(), WAIT)
        stop.request()
        release.set()
        outcome = await asyncio.wait_for(task, WAIT)
    assert outcome.status is RunStatus.CANCELLED
    assert theatre.recorder.events[-1].item["output"] == "worked"
    assert ann.model.remaining_steps == 1


async def test_a_stop_that_was_asked_for_before_the_start_is_obeyed():
    stop = StopSignal()
    stop.request()
    async with stage(Agent(name="Ann")) as theatre:
        played = await theatre.play("ann", "/call nothing {}\n/say never said", stop=stop)
    assert played.outcome.status is RunStatus.CANCELLED
    assert "never" not in played.text


# The agents that were given ------------------------------------------------------------------------------------------


async def test_the_agents_that_were_given_are_never_changed():
    ben = scripted("Ben", [[assistant_message("Ben here")]])
    ann = scripted(
        steps=[
            [function_call("add", {"a": 1, "b": 1}, call_id="c")],
            [function_call("transfer_to_ben", {}, call_id="h")],
        ],
        tools=[add],
        handoffs=[ben],
        model_settings=ModelSettings(temperature=0.5),
    )
    before = copy.copy(ann.__dict__), copy.copy(ben.__dict__), add.on_invoke_tool, list(ann.tools), list(ann.handoffs)
    async with stage(ann, ben) as theatre:
        await theatre.play("ann", "go")
    assert (ann.__dict__, ben.__dict__, add.on_invoke_tool, ann.tools, ann.handoffs) == before
    assert ann.model.calls[0].model_settings.temperature == 0.5


async def test_many_runs_of_one_agent_do_not_mix():
    async with stage(Agent(name="Ann")) as theatre:
        stages = [type(theatre)(theatre.provider) for _ in range(20)]
        played = await asyncio.gather(*(s.play("ann", f"/say run {i}") for i, s in enumerate(stages)))
    assert [p.text for p in played] == [f"run {i}" for i in range(20)]


async def test_tools_find_the_callers_context():
    found = []

    @function_tool
    def look(context: RunContextWrapper) -> str:
        found.append((context.context["plan"], context.context.user, context.context.run_id))
        return "ok"

    ann = scripted(steps=[[function_call("look", {}, call_id="c")], [assistant_message("ok")]], tools=[look])
    async with stage(ann) as theatre:
        await theatre.play("ann", "go", context={"plan": "pro"})
    assert found == [("pro", "local", "run_1")]

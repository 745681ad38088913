"""What we rely on in the Agents SDK without being promised it. When an upgrade breaks us, it breaks here first."""

import asyncio
import contextlib
import copy
from contextvars import ContextVar
from dataclasses import replace

import pytest
from agents import (
    Agent,
    MaxTurnsExceeded,
    Model,
    ModelSettings,
    RunConfig,
    RunHooks,
    Runner,
    function_tool,
    handoff,
)
from agents.models.default_models import get_default_model_settings
from agents.models.fake_id import FAKE_RESPONSES_ID
from agents.run import AgentRunner, get_default_agent_runner, set_default_agent_runner
from agents.testing import ScriptedModel, assistant_message, function_call
from agents.tool import resolve_function_tool_failure_error_function, set_function_tool_failure_error_function
from openai.types.responses import Response, ResponseCompletedEvent

from dragoman.providers.openai.agents.translate import handoff_outputs

QUIET = RunConfig(tracing_disabled=True)
WAIT = 5.0


def response(*output):
    return Response(
        id="r",
        created_at=0,
        model="m",
        object="response",
        output=list(output),
        tool_choice="auto",
        tools=[],
        parallel_tool_calls=True,
    )


class Raw(Model):
    """Streams exactly these events."""

    def __init__(self, *events):
        self.events = events

    async def get_response(self, *args, **named):
        raise NotImplementedError

    async def stream_response(self, *args, **named):
        for event in self.events:
            yield event


@function_tool
def echo(text: str) -> str:
    return text


def once(*more, tools=(echo,)):
    steps = [[function_call("echo", {"text": "x"}, call_id="c")], [assistant_message("done")], *more]
    return Agent(name="Ann", model=ScriptedModel(steps), tools=list(tools))


# The Runner and its models -------------------------------------------------------------------------------------------


async def test_the_terminal_event_is_all_that_the_runner_needs():
    completed = ResponseCompletedEvent(
        response=response(assistant_message("Hi")), type="response.completed", sequence_number=0
    )
    result = Runner.run_streamed(Agent(name="Ann", model=Raw(completed)), "go", run_config=QUIET)
    async for _ in result.stream_events():
        pass
    assert result.final_output == "Hi"


async def test_a_model_is_called_in_the_context_of_the_runs_caller():
    colour, seen = ContextVar("colour"), []

    @function_tool
    async def look() -> str:
        seen.append(colour.get())
        return "ok"

    model = ScriptedModel([[function_call("look", {}, call_id="c")], [assistant_message("done")]])
    colour.set("green")
    running = asyncio.create_task(Runner.run(Agent(name="Ann", model=model, tools=[look]), "go", run_config=QUIET))
    colour.set("red")
    await running
    assert seen == ["green"]


async def test_history_is_deduplicated_by_call_id():
    model = ScriptedModel([[assistant_message("done")]])
    call = {"type": "function_call", "call_id": "call_0", "name": "echo", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "call_0", "output": "1"}
    history = [call, output, {"role": "user", "content": "again"}, call, {**output, "output": "2"}]
    await Runner.run(Agent(name="Ann", model=model), history, run_config=QUIET)
    assert len([i for i in model.calls[0].input if i.get("type") == "function_call"]) == 1


async def test_who_meets_the_limit_of_turns_learns_what_was_made_until_then():
    with pytest.raises(MaxTurnsExceeded) as raised:
        await Runner.run(once(), "go", max_turns=1, run_config=QUIET)
    assert [item.type for item in raised.value.run_data.new_items] == ["tool_call_item", "tool_call_output_item"]


async def test_a_hand_off_is_told_before_the_new_agents_model_is_called_and_with_the_words_we_expect():
    ben = Agent(name="Ben", model=ScriptedModel([[assistant_message("Ben")]]))
    cid = Agent(name="Cid", model=ScriptedModel())
    calls = [function_call("transfer_to_ben", {}, call_id="h1"), function_call("transfer_to_cid", {}, call_id="h2")]
    ann = Agent(name="Ann", model=ScriptedModel([calls]), handoffs=[ben, cid])
    told = []

    class Hooks(RunHooks):
        async def on_handoff(self, context, from_agent, to_agent):
            told.append((from_agent, to_agent, len(ben.model.calls)))

    await Runner.run(ann, "go", hooks=Hooks(), run_config=QUIET)
    assert told == [(ann, ben, 0)]
    outputs = {item["call_id"]: item["output"] for item in ben.model.calls[0].input if "output" in item}
    expected = handoff_outputs("Ben")
    assert (outputs["h1"], outputs["h2"]) == (next(expected), next(expected))


async def test_a_run_that_is_cancelled_leaves_no_tool_at_work():
    began, ended = asyncio.Event(), asyncio.Event()

    @function_tool
    async def forever() -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    model = ScriptedModel([[function_call("forever", {}, call_id="c")]])
    running = asyncio.create_task(Runner.run(Agent(name="Ann", model=model, tools=[forever]), "go", run_config=QUIET))
    await asyncio.wait_for(began.wait(), WAIT)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended.is_set()


# Tools ---------------------------------------------------------------------------------------------------------------


async def test_the_hook_after_a_tool_is_awaited_before_the_model_goes_on():
    agent, order = once(), []

    class Hooks(RunHooks):
        async def on_tool_end(self, context, agent, tool, result):
            await asyncio.sleep(0)
            order.append((context.tool_call_id, result, len(agent.model.calls)))

    await Runner.run(agent, "go", hooks=Hooks(), run_config=QUIET)
    assert order == [("c", "x", 1)]


async def test_a_copy_of_a_tool_has_a_failure_policy_of_its_own():
    @function_tool
    def bad() -> str:
        raise RuntimeError

    twin = copy.copy(bad)
    set_function_tool_failure_error_function(twin, lambda *_: "mine")
    steps = [[function_call("bad", {}, call_id="c")], [assistant_message("done")]]
    model = ScriptedModel(steps)
    await Runner.run(Agent(name="Ann", model=model, tools=[twin]), "go", run_config=QUIET)
    assert model.calls[1].input[-1]["output"] == "mine"
    assert resolve_function_tool_failure_error_function(bad) is not resolve_function_tool_failure_error_function(twin)


async def test_an_unknown_tool_can_be_told_to_the_model():
    model = ScriptedModel([[function_call("nowhere", {}, call_id="c")], [assistant_message("done")]])
    config = replace(QUIET, tool_not_found_behavior="return_error_to_model")
    await Runner.run(Agent(name="Ann", model=model), "go", run_config=config)
    assert model.calls[1].input[-1]["output"] == "Tool 'nowhere' not found."


# Nested runs ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def default_runner(runner):
    before = get_default_agent_runner()
    set_default_agent_runner(runner)
    try:
        yield
    finally:
        set_default_agent_runner(before)


async def test_an_agent_inside_a_tool_runs_on_the_default_runner_with_the_outer_configuration():
    seen = []

    class Watching(AgentRunner):
        async def run(self, starting_agent, input, **options):
            seen.append((starting_agent, options["run_config"], options["hooks"]))
            return await super().run(starting_agent, input, **options)

    inner = Agent(name="Inner", model=ScriptedModel([[assistant_message("in")]]))
    steps = [[function_call("ask", {"input": "x"}, call_id="c")], [assistant_message("out")]]
    outer = Agent(name="Outer", model=ScriptedModel(steps), tools=[inner.as_tool("ask", "Ask.")])
    with default_runner(Watching()):
        await AgentRunner().run(outer, "go", run_config=QUIET)
    assert seen == [(inner, QUIET, None)]
    assert not inner.model.calls[0].streamed


# Agents --------------------------------------------------------------------------------------------------------------


async def test_a_hand_off_object_can_be_replaced_by_one_that_leads_elsewhere():
    ben = Agent(name="Ben", model=ScriptedModel([[assistant_message("the real Ben")]]))
    other = Agent(name="Ben", model=ScriptedModel([[assistant_message("the other Ben")]]))

    async def elsewhere(context, arguments):
        return other

    away = replace(handoff(ben), on_invoke_handoff=elsewhere)
    ann = Agent(name="Ann", model=ScriptedModel([[function_call("transfer_to_ben", {}, call_id="h")]]), handoffs=[away])
    assert (await Runner.run(ann, "go", run_config=QUIET)).final_output == "the other Ben"


def test_an_agent_without_a_model_has_the_settings_of_the_sdks_default_model():
    assert Agent(name="Ann").model_settings == get_default_model_settings()
    assert Agent(name="Ann", model=ScriptedModel()).model_settings == ModelSettings()


def test_the_placeholder_for_ids_is_what_we_drop():
    assert FAKE_RESPONSES_ID == "__fake_id__"

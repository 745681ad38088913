"""What a run's caller adds: functions of its own, instructions, a form of the answer, settings."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents import Agent, Model, ModelResponse, ModelSettings, function_tool
from agents.testing import assistant_message, function_call
from openai.types.responses import ResponseCompletedEvent
from pydantic import BaseModel

import dragoman
from dragoman.adapters.memory import MemoryStore
from dragoman.domain.errors import Invalid
from dragoman.domain.journal import journal_of
from dragoman.domain.runs import ModelChoices, OutputFormat, RunOptions, RunStatus
from dragoman.domain.tools import DeclaredTool
from dragoman.providers.openai.agents.models import output
from dragoman.settings import Settings
from tests.providers.openai.stage import stage
from tests.providers.openai.test_replay import content, lasting, whole_steps

LIGHT = DeclaredTool("light", "Switch the light.", {"type": "object", "properties": {"on": {"type": "boolean"}}})
CALLER = RunOptions(tools=(LIGHT,))


class Told(Model):
    """Gives its answers in order, and keeps what it was asked."""

    def __init__(self, *answers: list[Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[Any, ...]] = []

    async def stream_response(self, *args: Any, **_: Any) -> AsyncIterator[Any]:
        self.asked.append(args)
        response = output.response(self.answers[len(self.asked) - 1], output.usage(1, 1), id="resp_1")
        yield ResponseCompletedEvent(response=response, type="response.completed", sequence_number=0)

    async def get_response(self, *args: Any, **named: Any) -> ModelResponse:
        raise NotImplementedError


@function_tool
def clock() -> str:
    """Tell the time."""
    return "noon"


async def test_a_call_of_a_declared_tool_is_handed_back_and_ends_the_run() -> None:
    model = Told([assistant_message("Let there be light."), function_call("light", {"on": True}, call_id="c1")])
    async with stage(Agent(name="Ann", model=model)) as theatre:
        played = await theatre.play("ann", "Light!", options=CALLER)

    assert played.outcome.status is RunStatus.COMPLETED
    assert played.outcome.final_output == "Let there be light."
    assert [done.name for done in played.items] == ["message_output_created", "tool_called"]
    [(_, _, _, tools, *_)] = model.asked
    assert [(tool.name, tool.description, tool.params_json_schema) for tool in tools] == [
        (LIGHT.name, LIGHT.description, LIGHT.parameters)
    ]


def mixed() -> Told:
    return Told([function_call("light", {"on": True}, call_id="c1"), function_call("clock", {}, call_id="c2")])


async def test_in_one_answer_the_agents_own_calls_are_made_and_the_others_handed_back() -> None:
    model = mixed()
    async with stage(Agent(name="Ann", model=model, tools=[clock])) as theatre:
        played = await theatre.play("ann", "Light and time!", options=CALLER)

    assert played.outputs() == {"c2": "noon"}
    assert played.outcome.status is RunStatus.COMPLETED
    assert len(model.asked) == 1


async def test_at_the_last_turn_too() -> None:
    async with stage(Agent(name="Ann", model=mixed(), tools=[clock])) as theatre:
        played = await theatre.play("ann", "Light and time!", options=CALLER, max_turns=1)

    assert played.error is None
    assert played.outputs() == {"c2": "noon"}


async def test_wherever_it_was_cut_it_is_handed_back_the_same() -> None:
    async with stage(Agent(name="Ann", model=mixed(), tools=[clock])) as theatre:
        log = lasting((await theatre.play("ann", "Go", options=CALLER)).events)
    for cut in range(len(log) + 1):
        earlier = whole_steps(log, cut)
        model = mixed()
        async with stage(Agent(name="Ann", model=model, tools=[clock])) as theatre:
            again = await theatre.play("ann", "Go", options=CALLER, journal=journal_of(earlier))
        assert again.outcome.status is RunStatus.COMPLETED
        assert content([*earlier, *again.events]) == content(log)
        assert len(model.asked) == (0 if earlier else 1)


async def test_a_declared_tool_does_not_hide_one_of_the_agents() -> None:
    async with stage(Agent(name="Ann", model=mixed(), tools=[clock])) as theatre:
        played = await theatre.play("ann", "Go", options=RunOptions(tools=(DeclaredTool("clock"),)))

    assert isinstance(played.error, Invalid)


async def test_instructions_format_and_settings_reach_the_model_and_a_required_tool_only_once() -> None:
    model = Told([function_call("clock", {}, call_id="c1")], [assistant_message('{"at": "noon"}')])
    ann = Agent(
        name="Ann",
        instructions="Be kind.",
        model=model,
        tools=[clock],
        model_settings=ModelSettings(temperature=1.0, top_p=0.5),
    )
    asked_for = RunOptions(
        instructions="Be brief.",
        output=OutputFormat({"type": "object", "properties": {"at": {"type": "string"}}}, name="time"),
        choices=ModelChoices(
            temperature=0.0, max_output_tokens=7, reasoning_effort="low", tool_choice="required", truncation="auto"
        ),
    )
    async with stage(ann) as theatre:
        played = await theatre.play("ann", "Time?", options=asked_for)

    assert played.outcome.final_output == '{"at": "noon"}'
    first, second = model.asked
    assert first[0] == "Be kind.\n\nBe brief."
    settings = first[2]
    assert (settings.temperature, settings.top_p, settings.max_tokens) == (0.0, 0.5, 7)
    assert (settings.reasoning.effort, settings.truncation) == ("low", "auto")
    assert (first[2].tool_choice, second[2].tool_choice) == ("required", None)
    assert first[4].name() == "time"
    assert first[4].json_schema() == asked_for.output.schema


async def test_an_agent_inside_a_tool_is_asked_as_it_was_made() -> None:
    inner = Told([assistant_message("4711")])
    outer = Told([function_call("ask_bob", {"input": "Number?"}, call_id="c1")], [assistant_message("It is 4711.")])
    bob = Agent(name="Bob", instructions="Know numbers.", model=inner)
    ann = Agent(name="Ann", model=outer, tools=[bob.as_tool("ask_bob", "Ask Bob.")])
    options = RunOptions(tools=(LIGHT,), instructions="Be brief.", choices=ModelChoices(temperature=0.0))
    async with stage(ann, bob) as theatre:
        await theatre.play("ann", "Number?", options=options)

    [(instructions, _, settings, tools, *_)] = inner.asked
    assert (instructions, settings.temperature, tools) == ("Know numbers.", None, [])


class Time(BaseModel):
    at: str


async def test_an_agent_with_a_form_of_its_own_refuses_another() -> None:
    async with dragoman.create_app(
        [Agent(name="Ann", output_type=Time)], settings=Settings.of(), store=MemoryStore()
    ) as app:
        with pytest.raises(Invalid):
            await app.run("ann", "Time?", options=RunOptions(output=OutputFormat({"type": "object"})))

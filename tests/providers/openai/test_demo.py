"""The demo model: what a newcomer meets first, and what tests command."""

import json
from enum import StrEnum
from typing import Literal

import pytest
from agents import Agent, Runner, function_tool
from pydantic import BaseModel, Field, TypeAdapter

from dragoman.agents import BUILTIN
from dragoman.domain.errors import ModelBroken, ModelRateLimited, ModelRefused, ModelUnavailable
from dragoman.domain.events import AgentUpdated, Delta
from dragoman.domain.items import assistant_message, message
from dragoman.providers.openai import DemoSettings
from dragoman.providers.openai.agents.models.demo import DemoModel
from dragoman.providers.openai.agents.models.demo.rules import INTRODUCTION
from dragoman.providers.openai.agents.models.demo.schema import instance
from tests.providers.openai.stage import stage

BEFORE = [message("user", "Hi"), assistant_message("Hello!")]


async def ask(text, *agents, history=BEFORE, key="chat"):
    async with stage(*(agents or BUILTIN)) as theatre:
        played = await theatre.play(key, text, history=history)
    assert played.error is None, played.error
    return played


async def told(text, *earlier, **named):
    history = [item for said in earlier for item in (message("user", said), assistant_message("Noted."))]
    return (await ask(text, history=history or BEFORE, **named)).outcome.final_output


# Talking -------------------------------------------------------------------------------------------------------------


async def test_it_says_what_it_is_in_its_first_answer_and_only_there():
    assert (await ask("Hi", history=[])).outcome.final_output.startswith(INTRODUCTION)
    assert INTRODUCTION not in await told("Hi")
    first = await ask("what is 12*7?", history=[])
    assert first.outcome.final_output == f"{INTRODUCTION}12*7 = 84"


async def test_it_is_deterministic():
    assert (await ask("Tell me a story")).text == (await ask("Tell me a story")).text


@pytest.mark.parametrize(
    ("text", "expression", "value"),
    [
        ("what is 12*7?", "12*7", "84"),
        ("What's (2 + 3) * 4?", "(2 + 3) * 4", "20"),
        ("please compute 10 divided by 4", "10/4", "2.5"),
        ("12 times 7", "12*7", "84"),
        ("and 2^10 (I think it is big)", "2^10", "1024"),
        ("how much is sqrt(16) + 1?", "sqrt(16) + 1", "5"),
        ("is it 3-5?", "3-5", "-2"),
        ("12 \N{MULTIPLICATION SIGN} 7", "12 \N{MULTIPLICATION SIGN} 7", "84"),
    ],
)
async def test_it_calculates_with_its_tool(text, expression, value):
    played = await ask(text)
    assert list(played.outputs().values()) == [value]
    assert played.outcome.final_output == f"{expression} = {value}"


@pytest.mark.parametrize("text", ["I was born on 2001-02-03", "call me at 555 1234", "I have 3 cats"])
async def test_numbers_alone_are_no_arithmetic(text):
    assert (await ask(text)).outputs() == {}


async def test_a_failing_tool_is_reported_in_words():
    assert await told("what is 1/0?") == "calculate says: Division by zero has no value."


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("What time is it?", {}),
        ("what's the time in Tokyo?", {"timezone": "Asia/Tokyo"}),
        ("Current time in Europe/Oslo please", {"timezone": "Europe/Oslo"}),
    ],
)
async def test_it_tells_the_time_with_its_tool(text, arguments):
    played = await ask(text)
    assert json.loads(played.items[0].item["arguments"]) == arguments
    assert played.outcome.final_output.startswith("It is ")


async def test_it_remembers_what_it_was_told():
    assert await told("My name is Sarah.") == "Nice to meet you, Sarah. I will remember that your name is Sarah."
    assert await told("What is my name?", "My name is Sarah.") == "You told me: your name is Sarah."
    assert await told("What is my name?") == "You have not told me your name yet, at least not in this conversation."
    assert (
        await told("who am I?", "my name is Sarah and my favourite colour is blue")
        == "You told me: your name is Sarah."
    )
    assert await told("what's my favourite colour?", "my favourite colour is blue") == (
        "You told me: your favourite colour is blue."
    )
    assert await told("Where do I live?", "I live in Oslo.", "No, I live in Rome") == "You told me: your home is Rome."
    assert await told("What did I tell you?", "Remember that the door is open", "Call me Al") == (
        "You told me the door is open and that your name is Al."
    )
    assert await told("thanks!", "Call me Al") == "You are welcome, Al!"
    assert await told("what do you know about me?") == "You have not told me anything about yourself yet."


async def test_it_says_what_it_can_do():
    answer = await told("What can you do?")
    assert "12*7" in answer
    assert "Tokyo" in answer
    assert "A real model would have an answer" in await told("Why is the sky blue?")
    assert (await told("")).startswith("You did not say anything.")


# Tools and agents of users -------------------------------------------------------------------------------------------


@function_tool
def get_weather(city: str, days: int = 1) -> str:
    """Get the weather forecast of a city."""
    return f"{city}: sunny for {days}"


@function_tool
def set_volume(level: int, room: Literal["kitchen", "bedroom"]) -> str:
    """Set the loudness of the music."""
    return f"{room} at {level}"


async def test_it_uses_any_tool_that_sounds_right():
    ann = Agent(name="Ann", tools=[get_weather, set_volume])
    assert await told_by(ann, "How is the weather in New York?") == "get_weather says: New York: sunny for 1"
    assert await told_by(ann, "Turn the volume to 7 in the bedroom") == "set_volume says: bedroom at 7"
    assert "A real model" in await told_by(ann, "Sing!")


async def told_by(agent, text):
    return (await ask(text, agent, key="ann")).outcome.final_output


async def test_it_hands_over_to_the_fitting_specialist_once():
    desk = Agent(
        name="Desk",
        handoffs=[
            Agent(name="Billing", handoff_description="Handles invoices and refunds."),
            Agent(name="Support", handoff_description="Fixes technical problems, crashes."),
        ],
    )
    desk.handoffs[0].handoffs = [desk]
    played = await ask("I want a refund for my last invoice", desk, key="desk")
    assert [event.agent_name for event in played.of(AgentUpdated)] == ["Billing"]
    assert (await ask("The app crashes", desk, key="desk")).of(AgentUpdated)[0].agent_name == "Support"
    assert (await ask("Hi", desk, key="desk")).of(AgentUpdated) == []


async def test_it_runs_without_the_server():
    ann = Agent(name="Ann", model=DemoModel(DemoSettings(0)), tools=[get_weather])
    result = await Runner.run(ann, "weather in Oslo")
    assert "Oslo: sunny" in result.final_output
    assert result.context_wrapper.usage.requests == 2


class Colour(StrEnum):
    RED = "red"


class Line(BaseModel):
    name: str = Field(min_length=3, max_length=8)
    amount: float = Field(gt=0, le=0.5)
    count: int = Field(ge=2, multiple_of=5)
    colour: Colour
    parent: "Line | None" = None


class Order(BaseModel):
    lines: list[Line]
    paid: bool
    kind: Literal["a", "b"]
    when: str | None


async def test_it_answers_in_the_shape_that_is_asked_for():
    played = await ask("Order three things", Agent(name="Ann", output_type=Order), key="ann", history=[])
    assert Order.model_validate(played.outcome.final_output).lines


@pytest.mark.parametrize("kind", [Order, Line, list[int], dict[str, int], int | None, Literal["x"], tuple[int, str]])
def test_what_it_makes_up_fits_the_schema(kind):
    schema = TypeAdapter(kind).json_schema()
    TypeAdapter(kind).validate_python(instance(schema, "some words"))


# Commands ------------------------------------------------------------------------------------------------------------


async def test_say_says_exactly_that():
    assert (await ask("/say  2 spaces, */+", history=[])).outcome.final_output == "2 spaces, */+"


async def test_tokens_come_one_by_one():
    played = await ask("/tokens 100")
    assert played.text.split() == [str(n + 1) for n in range(100)]
    assert len(played.of(Delta)) == 100
    assert played.answers[0].usage.output_tokens == 100


async def test_calls_are_made_at_once_and_what_follows_comes_after():
    played = await ask(
        '/call calculate {"expression": "1+1"}\n/call current_time {}\n/say done\n/call calculate {}\n/say end'
    )
    assert [item.name for item in played.items] == [
        "tool_called",
        "tool_called",
        "tool_output",
        "tool_output",
        "message_output_created",
        "tool_called",
        "tool_output",
        "message_output_created",
    ]
    assert played.outcome.final_output == "end"


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("rate_limited", ModelRateLimited),
        ("unavailable", ModelUnavailable),
        ("refused", ModelRefused),
        ("broken", ModelBroken),
    ],
)
async def test_it_fails_as_it_is_told_even_half_way(kind, error):
    async with stage(*BUILTIN) as theatre:
        played = await theatre.play("chat", f"/say half\n/fail {kind}")
    assert type(played.error) is error
    assert played.text == "half"


async def test_it_stalls_as_long_as_it_is_told():
    assert (await ask("/stall 0.01\n/say done")).outcome.final_output == "done"


async def test_it_speaks_at_the_speed_that_was_set():
    model = DemoModel(DemoSettings(tokens_per_second=1000))
    result = await Runner.run(Agent(name="Ann", model=model), "/tokens 5")
    assert result.final_output == "1 2 3 4 5"

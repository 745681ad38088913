"""A server as the model endpoint of another, and of the Agents SDK in another process: over the Responses API."""

import contextlib

import pytest
from agents import Agent, OpenAIResponsesModel, Runner, function_tool
from openai import AsyncOpenAI

from dragoman.providers.openai import ModelEndpoint
from dragoman.providers.scripted.script import call, say
from tests.providers.openai.stage import stage
from tests.surfaces.house import house, served


def reckons(turn):
    """Asks its caller for the sum, and tells it."""
    outputs = [item["output"] for item in (*turn.history, *turn.input) if item.get("type") == "function_call_output"]
    return [say(f"It is {outputs[-1]}.", reasoning="Easy.")] if outputs else [call("add", {"a": 1, "b": 2})]


@contextlib.asynccontextmanager
async def first_server():
    async with house({"chat": reckons}) as at, served(at) as (_, port):
        yield f"http://127.0.0.1:{port}/v1"


def adding():
    @function_tool
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    return add


async def test_the_sdk_runs_an_agent_on_it_streaming_and_not():
    async with first_server() as address, AsyncOpenAI(base_url=address, api_key="any") as client:
        agent = Agent(name="Ann", model=OpenAIResponsesModel("chat", client), tools=[adding()])
        ended = await Runner.run(agent, "1 + 2?")
        streamed = Runner.run_streamed(agent, "1 + 2?")
        async for _ in streamed.stream_events():
            pass

    assert ended.final_output == streamed.final_output == "It is 3."


@pytest.mark.parametrize("client_kind", ["fast", "sdk"])
async def test_a_second_server_uses_the_first_as_its_model(client_kind):
    async with first_server() as address:
        endpoint = ModelEndpoint(address, "any", "responses", client=client_kind)
        async with stage(Agent(name="Ann", tools=[adding()]), endpoint=endpoint, model="chat") as theatre:
            played = await theatre.play("ann", "1 + 2?")

    assert played.outcome.final_output == "It is 3."
    assert played.text == "It is 3."
    assert len(played.answers) == 2
    assert [answer.usage.total_tokens > 0 for answer in played.answers] == [True, True]

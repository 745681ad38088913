"""Models over HTTP: a model server that others wrote (``llmock``), in both dialects, with everything that goes wrong."""

import asyncio
import itertools

import pytest
from agents import Agent, function_tool
from llmock.pytest_plugin import LLMock
from llmock.scenarios import Reply, ToolCall
from llmock.testing import LLMockServer
from pydantic import BaseModel

from dragoman.domain.errors import ModelBroken, ModelRateLimited, ModelRefused, ModelUnavailable
from dragoman.domain.events import Delta
from dragoman.domain.items import assistant_message as said
from dragoman.domain.items import message, tool_call, tool_output
from dragoman.domain.runs import RunOptions, RunStatus
from dragoman.providers.openai import OPENAI_BASE_URL, ModelEndpoint
from tests.providers.openai.stage import stage

DIALECTS = ["chat", "responses"]
CLIENTS = ["fast", "sdk"]
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ANSWER = "One two three four five six seven eight nine ten."


@pytest.fixture(scope="module")
def server():
    with LLMockServer() as running:
        yield running


@pytest.fixture
def mock(server):
    mock = LLMock(server)
    mock.reset()
    return mock


@pytest.fixture(params=itertools.product(DIALECTS, CLIENTS), ids="-".join)
def endpoint(request, server):
    dialect, client = request.param
    return ModelEndpoint(server.base_url("openai"), "key", dialect, {"X-Title": "Dragoman"}, client=client)


def theatre_at(endpoint, *agents, **named):
    named = {"model": "gpt-4o", "max_retries": 0, "idle_timeout": 5.0, **named}
    return stage(*(agents or (Agent(name="Ann", instructions="Be kind."),)), endpoint=endpoint, **named)


@function_tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"21 °C in {city}"


async def test_text_is_streamed_and_recorded(mock, endpoint):
    mock.reply(ANSWER)
    async with theatre_at(endpoint) as theatre:
        played = await theatre.play("ann", "Count", history=[message("user", "Hi"), said("Hello")])
    assert played.outcome.final_output == played.text == ANSWER
    assert len(played.of(Delta)) > 1
    assert "__fake_id__" not in str(played.items)
    assert played.answers[0].usage.input_tokens > 0
    assert played.answers[0].model == "gpt-4o"
    assert (played.outcome.response_id is None) == (endpoint.dialect == "chat")


async def test_a_tool_is_called_and_its_output_sent_back(mock, endpoint):
    mock.call_tool("get_weather", {"city": "Paris"}).reply("21 degrees.")
    history = [message("user", "Hi"), tool_call("c0", "get_weather", "{}"), tool_output("c0", "?"), said("Hello")]
    async with theatre_at(endpoint, Agent(name="Ann", tools=[get_weather])) as theatre:
        played = await theatre.play("ann", "Weather?", history=history)
    assert played.outcome.final_output == "21 degrees."
    assert list(played.outputs().values()) == ["21 °C in Paris"]
    call_id = next(iter(played.outputs()))
    assert {e.call_id for e in played.of(Delta) if e.kind == "arguments"} == {call_id}


async def test_several_tools_at_once_keep_their_ids_apart(mock, endpoint):
    mock.add(Reply(tool_calls=(ToolCall("get_weather", {"city": "Rome"}), ToolCall("get_weather", {"city": "Oslo"}))))
    mock.reply("Done.")
    async with theatre_at(endpoint, Agent(name="Ann", tools=[get_weather])) as theatre:
        played = await theatre.play("ann", "Weather?")
    assert sorted(played.outputs().values()) == ["21 °C in Oslo", "21 °C in Rome"]


class Invoice(BaseModel):
    number: str
    total: float


async def test_structured_output_is_asked_for_and_read(mock, endpoint):
    async with theatre_at(endpoint, Agent(name="Ann", output_type=Invoice)) as theatre:
        played = await theatre.play("ann", "Invoice?")
    assert set(played.outcome.final_output) == {"number", "total"}


async def test_the_caller_may_choose_another_model(mock, endpoint):
    async with theatre_at(endpoint) as theatre:
        played = await theatre.play("ann", "Hi", options=RunOptions(model="gpt-4.1"))
    assert played.answers[0].model == mock.last_request.model == "gpt-4.1"
    assert played.answers[0].agent == "ann"
    assert mock.last_request.path.endswith("/responses" if endpoint.dialect == "responses" else "/chat/completions")


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_request_carries_key_headers_and_trace(dialect):
    heard = []

    async def refuse(reader, writer):
        heard.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    endpoint = ModelEndpoint(f"http://127.0.0.1:{port}/v1", "sk-1", dialect, {"X-Title": "Dragoman"})
    async with listening, theatre_at(endpoint) as theatre:
        await theatre.play("ann", "Hi", trace=TRACE)
    (request,) = heard
    assert "authorization: bearer sk-1" in request
    assert "x-title: dragoman" in request
    assert f"traceparent: {TRACE}" in request


# What goes wrong -----------------------------------------------------------------------------------------------------


async def test_a_rate_limit_tells_when_to_come_back(mock, endpoint):
    mock.rate_limit(times=None, retry_after=7)
    async with theatre_at(endpoint) as theatre:
        played = await theatre.play("ann", "Hi")
    assert isinstance(played.error, ModelRateLimited)
    assert played.error.retry_after == 7
    assert played.items == []


async def test_a_short_rate_limit_is_waited_for(mock, endpoint):
    mock.rate_limit(times=1, retry_after=0.01).reply("Here.")
    async with theatre_at(endpoint, max_retries=1) as theatre:
        played = await theatre.play("ann", "Hi")
    assert played.outcome.final_output == "Here."


async def test_an_outage_is_unavailable(mock, endpoint):
    mock.outage()
    async with theatre_at(endpoint) as theatre:
        played = await theatre.play("ann", "Hi")
    assert isinstance(played.error, ModelUnavailable)


async def test_nobody_listening_is_unavailable():
    async with theatre_at(ModelEndpoint("http://127.0.0.1:9/v1", "key")) as theatre:
        played = await theatre.play("ann", "Hi")
    assert isinstance(played.error, ModelUnavailable)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_a_request_that_is_not_accepted_is_refused(mock, endpoint, status):
    mock.fail(status, message="secret")
    async with theatre_at(endpoint) as theatre:
        played = await theatre.play("ann", "Hi")
    assert isinstance(played.error, ModelRefused)
    assert "secret" not in played.error.detail


@pytest.mark.parametrize("fault", ["disconnect", "truncate", "corrupt"])
async def test_a_stream_that_does_not_end_well_is_a_broken_answer(mock, endpoint, fault):
    mock.reply(ANSWER)
    getattr(mock, fault)(after_chunks=6)
    async with theatre_at(endpoint) as theatre:
        played = await theatre.play("ann", "Hi")
    assert isinstance(played.error, ModelBroken)
    assert played.text
    assert ANSWER.startswith(played.text)
    assert played.items == []


async def test_a_tool_call_that_stops_half_way_is_not_executed(mock, endpoint):
    mock.call_tool("get_weather", {"city": "Paris"})
    mock.truncate(after_chunks=3)
    async with theatre_at(endpoint, Agent(name="Ann", tools=[get_weather])) as theatre:
        played = await theatre.play("ann", "Weather?")
    assert isinstance(played.error, ModelBroken)
    assert played.items == []


async def test_a_stream_that_stalls_is_unavailable(mock, endpoint):
    mock.reply(ANSWER).stall(after_chunks=6, seconds=2)
    async with theatre_at(endpoint, idle_timeout=0.3) as theatre:
        played = await theatre.play("ann", "Hi")
    assert isinstance(played.error, ModelUnavailable)
    assert played.text
    assert ANSWER.startswith(played.text)


async def test_arguments_that_are_no_json_are_told_to_the_model(mock, endpoint):
    mock.call_tool("get_weather", {"city": "Paris"}).break_tool_call("malformed_arguments").reply("Sorry.")
    async with theatre_at(endpoint, Agent(name="Ann", tools=[get_weather])) as theatre:
        played = await theatre.play("ann", "Weather?")
    assert played.outcome.final_output == "Sorry."
    assert [item.failed for item in played.items if item.name == "tool_output"] == [True]


async def test_an_unknown_tool_is_told_to_the_model(mock, endpoint):
    mock.break_tool_call("unknown_tool").reply("Sorry.")
    async with theatre_at(endpoint, Agent(name="Ann", tools=[get_weather])) as theatre:
        played = await theatre.play("ann", "Weather in Paris?")
    assert played.outcome.status is RunStatus.COMPLETED
    assert [item.failed for item in played.items if item.name == "tool_output"] == [True]


@pytest.mark.parametrize("text", [ANSWER, ""])
async def test_an_answer_cut_short_for_length_is_kept_and_incomplete(mock, endpoint, text):
    mock.add(Reply(text=text, finish_reason="length"))
    async with theatre_at(endpoint) as theatre:
        played = await theatre.play("ann", "Hi")
    assert played.outcome.status is RunStatus.INCOMPLETE
    assert played.outcome.final_output == played.text == text
    assert played.answers[0].truncated


async def test_a_call_cut_short_for_length_is_not_made(mock, endpoint):
    mock.add(
        Reply(text="Let me see.", tool_calls=(ToolCall("get_weather", {"city": "Paris"}),), finish_reason="length")
    )
    async with theatre_at(endpoint, Agent(name="Ann", tools=[get_weather])) as theatre:
        played = await theatre.play("ann", "Weather?")
    assert played.outcome.status is RunStatus.INCOMPLETE
    assert [item.name for item in played.items] == ["message_output_created"]


def test_openai_itself_speaks_responses_and_everybody_else_chat():
    assert ModelEndpoint().spoken == "responses"
    assert ModelEndpoint(f"{OPENAI_BASE_URL}/").spoken == "responses"
    assert ModelEndpoint("http://127.0.0.1:11434/v1").spoken == "chat"
    assert ModelEndpoint("http://127.0.0.1:11434/v1", dialect="responses").spoken == "responses"

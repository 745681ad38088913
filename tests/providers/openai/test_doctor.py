"""The doctor's findings about endpoints of every condition: each says what is wrong and what to do."""

import asyncio
import contextlib
import json

import pytest
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer

from dragoman.providers.openai import ModelEndpoint
from dragoman.providers.openai.config import TimeLimits
from dragoman.providers.openai.doctor import examine

LISTING = json.dumps({"object": "list", "data": [{"id": f"m{n}"} for n in range(7)]})


@pytest.fixture(scope="module")
def server():
    with LLMockServer() as running:
        yield running


@pytest.fixture
def mock(server):
    return LLMock(server).reset()


async def findings(endpoint, *models):
    async with asyncio.timeout(10):
        return [finding async for finding in examine(endpoint, models)]


@contextlib.asynccontextmanager
async def answering(**answers):
    """A server that gives each last part of a path its answer: a status and a body."""
    heard = []

    async def answer(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heard.append(head)
        path = head.split(" ")[1].partition("?")[0].rpartition("/")[2]
        status, body = answers[path]
        writer.write(f"HTTP/1.1 {status} So\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        yield ModelEndpoint(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", "sk-1", "chat"), heard


@pytest.mark.parametrize("dialect", ["chat", "responses"])
@pytest.mark.parametrize("client", ["fast", "sdk"])
async def test_an_endpoint_that_is_well_lists_its_models_and_says_a_word(mock, dialect, client):
    endpoint = ModelEndpoint(mock.base_url(), "k", dialect, client=client)
    reached, spoken = await findings(endpoint, "gpt-4o")
    assert reached.fine
    assert "models" in reached.text
    assert spoken.fine
    assert spoken.text.startswith("gpt-4o: the first token came after")


async def test_without_a_model_in_use_the_first_that_is_configured_or_listed_is_tried(mock):
    listed = await findings(ModelEndpoint(mock.base_url(), "k", "chat"))
    configured = await findings(ModelEndpoint(mock.base_url(), "k", "chat", models=("gpt-*", "o3")))
    assert [finding.fine for finding in (*listed, *configured)] == [True] * 4
    assert configured[1].text.startswith("o3:")


async def test_nobody_listening():
    (finding,) = await findings(ModelEndpoint("http://127.0.0.1:9/v1", "k"), "m")
    assert not finding.fine
    assert "is it running" in finding.text


async def test_a_listener_that_says_nothing_is_not_waited_for_long():
    gone = asyncio.Event()

    async def listen(reader, writer):
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    listening = await asyncio.start_server(listen, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    async with listening:
        (finding,) = await findings(ModelEndpoint(url, "k", limits=TimeLimits(silence=0.2)), "m")
        await asyncio.wait_for(gone.wait(), 10)
    assert not finding.fine
    assert "in time" in finding.text


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "does not accept the key"), (403, "key"), (429, "limits our rate"), (500, "500"), (302, "base_url")],
)
async def test_what_an_endpoint_that_cannot_be_used_answers(status, words):
    async with answering(models=(status, "{}")) as (endpoint, _):
        (finding,) = await findings(endpoint, "m")
    assert not finding.fine
    assert words in finding.text


async def test_an_address_that_is_no_api():
    async with answering(models=(200, "<html>Welcome</html>")) as (endpoint, _):
        (finding,) = await findings(endpoint, "m")
    assert not finding.fine
    assert "no JSON" in finding.text


async def test_an_endpoint_that_lists_nothing_may_still_speak():
    async with answering(models=(404, "{}"), completions=(503, "{}")) as (endpoint, _):
        reached, spoken = await findings(endpoint, "m")
    assert reached.fine
    assert "does not list" in reached.text
    assert not spoken.fine


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, '{"error": {"code": "model_not_found"}}'), ["refuses", "it lists no 'other'"]),
        ((429, "{}"), ["limits our rate"]),
        ((503, "{}"), ["does not answer"]),
        ((200, "data: rubbish\n\n"), ["no sense", "dialect = 'responses'"]),
    ],
)
async def test_what_can_be_wrong_with_a_model(answer, words):
    async with answering(models=(200, LISTING), completions=answer) as (endpoint, _):
        reached, spoken = await findings(endpoint, "other")
    assert "7 models: m0, m1, m2, m3, m4, …" in reached.text
    assert not spoken.fine
    assert all(word in spoken.text for word in words), spoken.text


async def test_key_headers_and_query_are_those_of_the_endpoint():
    async with answering(models=(401, "{}")) as (plain, heard):
        endpoint = ModelEndpoint(plain.base_url, "sk-1", "chat", {"X-Team": "blue"}, {"api-version": "1"})
        await findings(endpoint, "m")
    (head,) = heard
    assert "/v1/models?api-version=1" in head
    assert "bearer sk-1" in head.lower()
    assert "X-Team: blue" in head

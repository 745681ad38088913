"""Responses over a WebSocket: one after the other, some of them remembered by the connection only."""

import contextlib

import aiohttp
import pytest

from tests.surfaces.house import PATIENCE, house, served
from tests.surfaces.openai.clients import official
from tests.surfaces.openai.test_responses import ByHeader, Hearing


@contextlib.asynccontextmanager
async def calling(hearing=None, headers=None, **given):
    async with (
        house({"chat": hearing or Hearing()}, **given) as at,
        served(at) as (_, port),
        aiohttp.ClientSession() as http,
        http.ws_connect(f"http://127.0.0.1:{port}/v1/responses", headers=headers or {}) as socket,
    ):
        yield socket, at


async def ask(socket, **body):
    """The events of one response, or of what became of it."""
    await socket.send_json({"type": "response.create", "model": "chat", **body})
    events = []
    while not events or events[-1]["type"] not in ("response.completed", "response.failed", "error"):
        events.append(await socket.receive_json(timeout=PATIENCE))
    return events


async def test_the_official_client_talks_over_it():
    async with house({"chat": Hearing()}) as at, served(at) as (_, port):
        client = official(at, http_client=None, base_url=f"http://127.0.0.1:{port}/v1")
        async with client, client.responses.connect() as connection:
            for nth in range(2):
                await connection.response.create(model="chat", input="Hi")
                seen = []
                async for event in connection:
                    seen.append(event)
                    if event.type == "response.completed":
                        break
                assert seen[0].type == "response.created", nth
                assert seen[-1].response.output[0].content[0].text == "I heard 1."


async def test_what_is_not_stored_is_remembered_by_the_connection_until_something_fails():
    hearing = Hearing()
    async with calling(hearing) as (socket, _):
        first = (await ask(socket, input="One", store=False))[-1]["response"]
        second = (await ask(socket, input="Two", store=False, previous_response_id=first["id"]))[-1]["response"]
        assert hearing.texts == ["One", "I heard 1.", "Two"]
        [failed] = await ask(socket, input="Three", store=False, previous_response_id=first["id"])
        [evicted] = await ask(socket, input="Three", store=False, previous_response_id=second["id"])

    assert (failed["status"], failed["error"]["code"]) == (400, "previous_response_not_found")
    assert evicted["error"]["code"] == "previous_response_not_found"


async def test_another_connection_goes_on_from_what_is_stored_only():
    hearing = Hearing()
    async with calling(hearing) as (socket, at):
        stored = (await ask(socket, input="One"))[-1]["response"]
        unstored = (await ask(socket, input="Two", store=False))[-1]["response"]
        async with served(at) as (_, port), aiohttp.ClientSession() as http:
            async with http.ws_connect(f"http://127.0.0.1:{port}/v1/responses") as other:
                await ask(other, input="Three", previous_response_id=stored["id"])
                assert hearing.texts == ["One", "I heard 1.", "Three"]
                [refused] = await ask(other, input="Four", previous_response_id=unstored["id"])
    assert refused["error"]["code"] == "previous_response_not_found"


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ("nonsense", None),
        ("[]", "type"),
        ('{"type": "response.steer"}', "type"),
        ('{"type": "response.create", "model": "chat"}', "input"),
        ('{"type": "response.create", "model": "chat", "input": "Hi", "generate": false}', "generate"),
        ('{"type": "response.create", "model": "nobody", "input": "Hi"}', "model"),
    ],
)
async def test_a_message_that_makes_no_sense_is_an_error_and_the_next_is_answered(message, param):
    async with calling() as (socket, _):
        await socket.send_str(message)
        told = await socket.receive_json(timeout=PATIENCE)
        answered = await ask(socket, input="Hi")

    assert (told["type"], told["error"]["param"]) == ("error", param)
    assert told["status"] in (400, 404)
    assert answered[-1]["type"] == "response.completed"


async def test_a_web_page_of_another_place_is_refused():
    with pytest.raises(aiohttp.WSServerHandshakeError):
        async with calling(headers={"origin": "https://evil.example"}):
            pass


async def test_nobody_is_refused_and_users_are_apart():
    async with house({"chat": Hearing()}, authenticator=ByHeader()) as at, served(at) as (_, port):
        address = f"http://127.0.0.1:{port}/v1/responses"
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await http.ws_connect(address)
            async with http.ws_connect(address, headers={"authorization": "Bearer sarah"}) as sarah:
                hers = (await ask(sarah, input="One"))[-1]["response"]["id"]
            async with http.ws_connect(address, headers={"authorization": "Bearer tom"}) as tom:
                [refused] = await ask(tom, input="Two", previous_response_id=hers)
    assert refused["error"]["code"] == "previous_response_not_found"

"""One endpoint and everything that can go wrong on the way there and back."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from dragoman.domain.errors import ModelBroken, ModelRateLimited, ModelRefused, ModelUnavailable
from dragoman.providers.openai import ModelEndpoint
from dragoman.providers.openai.agents.models import transport
from dragoman.providers.openai.config import TimeLimits
from tests.providers.openai.models.asking import Ear, model_at, request
from tests.providers.openai.models.server import JSON, SSE, Server, chunk, events, reply

HELLO = events(chunk({"role": "assistant", "content": "Hel"}), chunk({"content": "lo"}))
END = events(chunk({}, "stop"), "[DONE]")
WHOLE = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
}


async def answer(*replies, dialect="chat", **named):
    """The answer to one request, and what was heard of it."""
    ear = Ear()
    async with Server(*replies) as server, model_at(server.endpoint(dialect), **named) as model:
        return await asyncio.wait_for(model.answer(request(), ear), 10), ear


async def failure(*replies, **named):
    ear = Ear()
    async with Server(*replies) as server, model_at(server.endpoint(), **named) as model:
        with pytest.raises(Exception) as raised:
            await asyncio.wait_for(model.answer(request(), ear), 10)
    return raised.value, ear


# Answers that are unusual --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [JSON, SSE, {"content-type": "text/plain"}])
async def test_a_plain_json_answer_is_taken_although_a_stream_was_asked_for(headers):
    body = json.dumps(WHOLE, indent=2)
    response, ear = await answer(reply("\n" + body[:30], body[30:], headers=headers))
    assert ear.text == response.output[0].content[0].text == "Hello"
    assert response.usage.input_tokens == 5


async def test_a_plain_json_answer_is_taken_in_responses_too():
    message = {"id": "m", "type": "message", "role": "assistant", "status": "completed"}
    message["content"] = [{"type": "output_text", "text": "Hello", "annotations": []}]
    body = {"id": "resp_1", "object": "response", "status": "completed", "output": [message]}
    response, ear = await answer(reply(json.dumps(body), headers=JSON), dialect="responses")
    assert (ear.text, response.output_text, response.id) == ("Hello", "Hello", "resp_1")


@pytest.mark.parametrize("dialect", ["chat", "responses"])
async def test_a_plain_json_error_with_status_200_is_an_error(dialect):
    given = reply(json.dumps({"error": {"message": "secret", "code": "rate_limit_exceeded"}}), headers=JSON)
    with pytest.raises(ModelRateLimited) as raised:
        await answer(given, dialect=dialect)
    assert "secret" not in raised.value.detail


async def test_an_answer_that_is_finished_needs_no_orderly_end():
    for ends in ("well", "cut"):
        response, _ = await answer(reply(*HELLO, *events(chunk({}, "stop")), ends=ends))
        assert response.output[0].content[0].text == "Hello"


async def test_half_a_surrogate_pair_is_put_together_again():
    halves = [
        rb'data: {"choices":[{"index":0,"delta":{"content":"\ud83d"}}]}',
        rb'data: {"choices":[{"index":0,"delta":{"content":"\ude00"}}]}',
    ]
    response, _ = await answer(reply(*(half + b"\n\n" for half in halves), *END))
    assert response.output[0].content[0].text.encode("utf-16", "surrogatepass").decode("utf-16") == "😀"


# Failures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (307, ModelRefused),
        (400, ModelRefused),
        (401, ModelRefused),
        (404, ModelRefused),
        (408, ModelUnavailable),
        (429, ModelRateLimited),
        (500, ModelUnavailable),
        (529, ModelUnavailable),
    ],
)
@pytest.mark.parametrize(
    "body", [b'{"error":{"message":"secret"}}', b"<html>secret</html>", b"", b"[]", b"null", b"\xff"]
)
async def test_a_status_other_than_200_says_what_kind_of_failure_it_is(status, kind, body):
    error, ear = await failure(reply(body, status=status, headers={"location": "http://127.0.0.1:1/"}))
    assert type(error) is kind
    assert "secret" not in error.detail
    assert ear.pieces == []


async def test_a_quota_that_is_used_up_is_no_rate_limit():
    error, _ = await failure(reply('{"error":{"code":"insufficient_quota"}}', status=429))
    assert isinstance(error, ModelRefused)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({}, None),
    ],
)
async def test_the_endpoint_may_say_when_to_come_back(headers, seconds):
    error, _ = await failure(reply(status=429, headers=headers))
    assert error.retry_after == seconds


async def test_the_endpoint_may_say_so_with_a_date():
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    error, _ = await failure(reply(status=503, headers={"retry-after": date}))
    assert 25 < error.retry_after <= 30


@pytest.mark.parametrize(
    "packets",
    [
        (*HELLO, b"data: {not json}\n\n"),
        (*HELLO, b"data: 5\n\n"),
        (*HELLO, b'data: {"choices": 5}\n\n'),
        (*HELLO, b'data: {"choices": [{"delta": {"tool_calls": [5]}}]}\n\n'),
        (
            *HELLO,
            *events(chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}), chunk({}, "tool_calls")),
        ),
        (*HELLO, *events("[DONE]")),
        (*HELLO, *events(chunk({}, "abort"))),
        HELLO,
    ],
)
async def test_an_answer_that_makes_no_sense_is_broken_and_what_was_shown_stays(packets):
    error, ear = await failure(reply(*packets))
    assert type(error) is ModelBroken
    assert ear.text == "Hello"


@pytest.mark.parametrize("packets", [(), (b"<html>Sign in</html>",), (b": hm\n\n",), (b"data: [DONE]\n\n",)])
async def test_an_answer_of_nothing_is_broken(packets):
    error, _ = await failure(reply(*packets))
    assert type(error) is ModelBroken


async def test_a_connection_that_breaks_leaves_half_an_answer_or_none():
    error, ear = await failure(reply(*HELLO, ends="cut"))
    assert (type(error), ear.text) == (ModelBroken, "Hello")
    error, _ = await failure(reply(ends="cut"))
    assert type(error) is ModelUnavailable


async def test_nobody_there_is_unavailable():
    async with model_at(ModelEndpoint("http://127.0.0.1:9/v1", dialect="chat")) as model:
        with pytest.raises(ModelUnavailable):
            await model.answer(request(), Ear())


# Time ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packets", "limits"),
    [
        ((), TimeLimits(silence=0.05)),
        (HELLO, TimeLimits(silence=0.05)),
        ((*HELLO, b": still here\n\n"), TimeLimits(silence=0.05)),
        (events(chunk({"role": "assistant"})), TimeLimits(first_token=0.05)),
        (HELLO, TimeLimits(call=0.05)),
    ],
)
async def test_every_wait_has_its_limit(packets, limits):
    began = asyncio.get_running_loop().time()
    error, ear = await failure(reply(*packets, ends="never"), limits=limits)
    assert type(error) is ModelUnavailable
    assert ear.text == ("Hello" if packets[: len(HELLO)] == HELLO else "")
    assert asyncio.get_running_loop().time() - began < 2


async def test_the_limit_for_the_first_token_is_over_with_the_first_token():
    """It is not renewed at every word, so it must be taken back at the first."""
    packets = events(*[chunk({"content": "."})] * 3)
    error, _ = await failure(reply(*packets, ends="never"), limits=TimeLimits(silence=0.3, first_token=0.1))
    assert type(error) is ModelUnavailable


async def test_a_finished_answer_is_waited_for_shortly_whatever_the_limits_are():
    began = asyncio.get_running_loop().time()
    await answer(reply(*HELLO, *END, ends="never"), limits=TimeLimits(silence=60))
    assert asyncio.get_running_loop().time() - began < transport.AFTERWORD + 1


# Connections ---------------------------------------------------------------------------------------------------------


async def test_calls_one_after_the_other_share_a_connection():
    async with Server(reply(*HELLO, *END)) as server, model_at(server.endpoint()) as model:
        for _ in range(5):
            await model.answer(request(), Ear())
        assert server.connections == 1


async def test_a_refused_call_gives_its_connection_back():
    async with Server(reply("{}", status=400)) as server, model_at(server.endpoint()) as model:
        for _ in range(3):
            with pytest.raises(ModelRefused):
                await model.answer(request(), Ear())
        assert server.connections == 1


async def test_cancelled_calls_leave_no_connection_and_no_task():
    async with Server(reply(*HELLO, ends="never")) as server, model_at(server.endpoint()) as model:
        before = asyncio.all_tasks()
        ears = [Ear() for _ in range(200)]
        calls = [asyncio.create_task(model.answer(request(), ear)) for ear in ears]
        await server.until(lambda: len(server.asked) == len(calls))
        async with asyncio.timeout(10):
            while not all(ear.text == "Hello" for ear in ears):
                await asyncio.sleep(0)
        assert len(server.open) == len(calls)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls, timeout=10)
        assert all(call.cancelled() for call in calls)
        await server.until(lambda: not server.open)
        assert asyncio.all_tasks() == before


async def test_a_call_that_is_cancelled_before_its_answer_begins_leaves_nothing_either():
    async with Server(reply(ends="never")) as server, model_at(server.endpoint()) as model:
        call = asyncio.create_task(model.answer(request(), Ear()))
        await server.until(lambda: server.asked)
        call.cancel()
        await asyncio.wait([call], timeout=10)
        assert call.cancelled()
        await server.until(lambda: not server.open)

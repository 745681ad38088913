"""Anything an endpoint may send: it never hangs, never takes back what was shown, and ends in one answer or one failure."""

import asyncio
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dragoman.domain.errors import DragomanError
from dragoman.providers.openai.agents.models.chat import ChatReader
from dragoman.providers.openai.agents.models.responses import ResponsesReader
from dragoman.providers.openai.agents.models.sse import Events
from tests.providers.openai.models.asking import Ear, model_at, request
from tests.providers.openai.models.server import Server, reply
from tests.providers.openai.models.test_dialogues import DIALOGUES
from tests.providers.openai.models.test_sse import cut

PATIENT = settings(deadline=None)  # other tests share the machine
READERS = {"chat": lambda ear: ChatReader("m", ear), "responses": ResponsesReader}
NAMES = st.sampled_from(sorted(DIALOGUES))
PLACES = st.lists(st.integers(0, 100_000), max_size=6)
WORDS = st.sampled_from(["", "a", "<think>", "</think>", "call_0", "get_weather", "stop", "length", "{", "é🚀", "\0"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=5,
)


def read(dialect, packets):
    """What comes of an answer: a response, or how it failed; and what was heard meanwhile."""
    ear = Ear()
    reader, events = READERS[dialect](ear), Events()
    try:
        for packet in packets:
            for event in events.feed(packet):
                reader.read(event)
        for event in events.rest():
            reader.read(event)
        outcome = reader.response(sent=100) if reader.finished else None
    except DragomanError as failure:
        outcome = failure
    return outcome, ear


def texts_of(response):
    return "".join(
        part.text
        for item in response.output
        if item.type == "message"
        for part in item.content
        if part.type == "output_text"
    )


def check(dialect, packets):
    outcome, ear = read(dialect, packets)
    if outcome is not None and not isinstance(outcome, DragomanError) and dialect == "chat":
        assert texts_of(outcome) == ear.text
        assert sorted(ear.calls.values()) == sorted(
            (item.call_id, item.name) for item in outcome.output if item.type == "function_call"
        )
        ids = [call_id for call_id, _ in ear.calls.values()]
        assert len(set(ids)) == len(ids)
    return outcome, ear


@PATIENT
@given(NAMES, PLACES, st.integers(0, 100_000))
def test_a_stream_may_end_anywhere(name, places, end):
    body = DIALOGUES[name]
    body = body[: end % (len(body) + 1)]
    check(name.partition("-")[0], cut(body, places))


@PATIENT
@given(NAMES, st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 255)), min_size=1, max_size=4), PLACES)
def test_bytes_may_be_wrong_anywhere(name, mistakes, places):
    body = bytearray(DIALOGUES[name])
    for place, byte in mistakes:
        body[place % len(body)] = byte
    check(name.partition("-")[0], cut(bytes(body), places))


def parts_of(value, path=()):
    """Every place inside a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from parts_of(each, (*path, key))


def put(value, path, new):
    if not path:
        return new
    *way, last = path
    at = value
    for key in way:
        at = at[key]
    if new is ...:
        del at[last]
    else:
        at[last] = new
    return value


@PATIENT
@given(NAMES, st.data())
def test_fields_may_be_missing_or_something_else(name, data):
    events = Events()
    payloads = [json.loads(e) for e in events.feed(DIALOGUES[name]) + events.rest() if e != b"[DONE]"]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(payloads) - 1))
        path = data.draw(st.sampled_from(list(parts_of(payloads[at]))))
        new = data.draw(st.just(...) | ANYTHING)
        if path or new is not ...:
            payloads[at] = put(payloads[at], path, new)
    check(name.partition("-")[0], [f"data: {json.dumps(p)}\n\n".encode() for p in payloads])


PIECES = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 2) | st.none(),
        "id": st.sampled_from(["call_0", "call_1", "", None]),
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["get_", "weather", "get_weather", "", None]),
                "arguments": WORDS | st.none(),
            },
        ),
    },
)
DELTAS = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": WORDS | st.none(),
        "reasoning": WORDS | st.none(),
        "reasoning_content": WORDS | st.none(),
        "refusal": WORDS | st.none(),
        "tool_calls": st.lists(PIECES, max_size=3) | st.none(),
    },
)
FINISHES = st.sampled_from([None, None, "stop", "length", "tool_calls", "content_filter"])


ARGUMENTS_FIRST = [
    ({"tool_calls": [{"id": "call_0", "index": None, "function": {"arguments": "a"}}]}, None),
    ({"tool_calls": [{"id": "call_0", "function": {"name": "get_"}}]}, "stop"),
]


@PATIENT
@given(st.lists(st.tuples(DELTAS, FINISHES), max_size=12))
@example(ARGUMENTS_FIRST)
def test_text_thoughts_and_calls_may_be_mixed_at_will(chunks):
    payloads = [{"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]} for delta, finish in chunks]
    check("chat", [f"data: {json.dumps(p)}\n\n".encode() for p in payloads])


@pytest.mark.parametrize("ends", ["well", "cut"])
@settings(PATIENT, max_examples=40)
@given(name=NAMES, places=PLACES, end=st.integers(0, 100_000))
def test_over_the_wire_it_ends_in_one_answer_or_one_failure(ends, name, places, end):
    body = DIALOGUES[name]
    packets = cut(body[: end % (len(body) + 1)], places)
    dialect = name.partition("-")[0]

    async def once():
        ear = Ear()
        async with Server(reply(*packets, ends=ends)) as server, model_at(server.endpoint(dialect)) as model:
            try:
                return await asyncio.wait_for(model.answer(request(), ear), 10), ear
            except DragomanError as failure:
                return failure, ear

    outcome, ear = asyncio.run(once())
    expected, heard = read(dialect, packets)
    assert ear.text == heard.text or (ends == "cut" and heard.text.startswith(ear.text))
    if expected is not None and ends == "well":
        assert type(outcome) is type(expected)

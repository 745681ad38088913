"""One scripted conversation on the native wire, compared whole."""

import re
from itertools import groupby
from pathlib import Path

import pytest

from dragoman.domain.errors import ModelUnavailable
from dragoman.providers.scripted.script import call, fail, hand_off, say, together
from tests.surfaces.house import Frame, house, parse, served

GOLDEN = Path(__file__).with_name("native.sse")


def play(turn):
    if turn.history:
        return [say("Let me ", "think"), fail(ModelUnavailable())]
    return [
        say("I will ", "look ", "both ", "up.", reasoning="Two questions."),
        together(
            call("weather", {"city": "Oslo"}, returns="Snow"),
            call("weather", {"city": "Atlantis"}, raises="There is no such city."),
        ),
        hand_off("poet"),
        say("Snow ", "in Oslo,\n", "nothing", " in Atlantis 🌊"),
    ]


SCRIPTS = {"chat": play, "poet": [say("A poem.")]}
MESSAGE = {"input": "Weather in Oslo and Atlantis?", "session_id": "sarah"}


async def converse(at, client):
    """Two runs, streamed live; their texts and their ids."""
    texts = [(await client.post("/chat/stream", json=MESSAGE)).text for _ in range(2)]
    return texts, [parse(text)[0].data["run_id"] for text in texts]


def normal(text):
    """Without what differs from run to run: ids and times."""
    names = {}
    for found in re.findall(r"(?:run|conv|item)_[0-9a-z]{26}", text):
        names.setdefault(found, f"{found.split('_')[0]}_{len(names)}")
    for found, name in names.items():
        text = text.replace(found, name).replace(found.split("_")[1], name.split("_")[1])
    return re.sub(r'"timestamp":"[^"]+"', '"timestamp":"now"', text)


def joined(frames):
    """Neighbouring deltas of one item as one frame that has the place of the last."""

    def item(frame):
        data = {key: value for key, value in frame.data.items() if key != "delta"}
        return (frame.event, str(data)) if frame.event == "raw_response" else frame.id

    result = []
    for _, neighbours in groupby(frames, item):
        *before, last = neighbours
        if before:
            text = "".join(frame.data["delta"] for frame in (*before, last))
            last = Frame(last.id, last.event, {**last.data, "delta": text})
        result.append(last)
    return result


async def test_the_log_reads_as_written_down():
    async with house(SCRIPTS) as at:
        _, run_ids = await converse(at, at.client)
        logs = [(await at.client.get(f"/runs/{run_id}/events")).text for run_id in run_ids]
    assert normal("".join(logs)) == GOLDEN.read_text("utf-8")


async def test_a_live_stream_shows_the_same_as_the_log():
    async with house(SCRIPTS) as at, served(at) as (client, _):
        texts, run_ids = await converse(at, client)
        logs = [(await client.get(f"/runs/{run_id}/events")).text for run_id in run_ids]
    for text, log in zip(texts, logs, strict=True):
        assert text.startswith(":\n\nid: 0\nevent: run_started\n")
        assert joined(parse(text)) == parse(log)


@pytest.mark.parametrize("which", [0, 1])
async def test_picked_up_at_any_position_it_gives_exactly_the_rest(which):
    async with house(SCRIPTS) as at:
        _, run_ids = await converse(at, at.client)
        address = f"/runs/{run_ids[which]}/events"
        page = (await at.client.get(address, headers={"accept": "application/json"})).json()
        every = [Frame(event.pop("id"), event["type"], event) for event in page["events"]]
        for position in range(-1, every[-1].id):
            resumed = await at.client.get(address, headers={"last-event-id": str(position)})
            assert parse(resumed.text) == joined([frame for frame in every if frame.id > position])


async def test_nothing_of_a_failed_turn_is_missing_or_doubled_in_the_conversation():
    async with house(SCRIPTS) as at:
        await converse(at, at.client)
        messages = (await at.client.get("/chat/session/sarah")).json()["messages"]
    calls = [message["call_id"] for message in messages if message["type"] == "function_call"]
    outputs = [message["call_id"] for message in messages if message["type"] == "function_call_output"]
    assert sorted(calls) == sorted(outputs)
    assert len(set(calls)) == len(calls) == 3
    assert [text for m in messages if m.get("role") == "assistant" for text in [m["content"][0]["text"]]] == [
        "I will look both up.",
        "Snow in Oslo,\nnothing in Atlantis 🌊",
        "Let me think",
    ]

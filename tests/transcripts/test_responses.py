"""The scripted conversation of the native transcript on the wire of the Responses API, compared whole, on every store."""

import json
import re
from pathlib import Path

import pytest

from dragoman.adapters.memory import MemoryStore
from dragoman.adapters.sql import SqliteEngine, SqlStore
from dragoman.adapters.sql.postgres import PostgresEngine
from tests.surfaces.house import house, served
from tests.transcripts.test_native import SCRIPTS

GOLDEN = Path(__file__).with_name("responses.sse")
ASKED = {"model": "chat", "input": "Weather in Oslo and Atlantis?", "stream": True}


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request, tmp_path):
    match request.param:
        case "memory":
            return MemoryStore()
        case "sqlite":
            return SqlStore(SqliteEngine(tmp_path / "d.db"))
        case _:
            return SqlStore(PostgresEngine(request.getfixturevalue("postgres_url")))


async def converse(client):
    """Two responses, the second after the first, streamed live; their texts and their ids."""
    first = (await client.post("/v1/responses", json=ASKED)).text
    again = {**ASKED, "previous_response_id": events(first)[0]["response"]["id"]}
    second = (await client.post("/v1/responses", json=again)).text
    return [first, second], [events(text)[0]["response"]["id"] for text in (first, second)]


def events(text):
    lines = (line.removeprefix("data: ") for line in text.split("\n") if line.startswith("data: {"))
    return [json.loads(line) for line in lines]


def normal(text):
    """Without what differs from run to run: ids and times."""
    names = {}
    for found in re.findall(r"resp_([0-9a-z]{26})", text):
        names.setdefault(found, str(len(names)))
    for found, name in names.items():
        text = text.replace(found, name)
    return re.sub(r'_at":\d+', '_at":0', text)


def joined(told):
    """Neighbouring pieces of one item as one that has the number of the last."""
    result = []
    for event in told:
        before = result[-1] if result else {}
        if event["type"].endswith(".delta") and [before.get(n) for n in ("type", "item_id")] == [
            event["type"],
            event["item_id"],
        ]:
            event = {**event, "delta": result.pop()["delta"] + event["delta"]}
        result.append(event)
    return result


def timeless(told):
    return json.loads(normal(json.dumps(told, separators=(",", ":"))))


async def test_a_live_stream_and_the_log_read_as_written_down_and_resumed_at_any_number_give_the_rest(store):
    async with house(SCRIPTS, store=store) as at, served(at) as (client, _):
        live, ids = await converse(client)
        kept = [(await client.get(f"/v1/responses/{id}?stream=true")).text for id in ids]
        for id, whole in zip(ids, kept, strict=True):
            for event in (told := events(whole)):
                number = event["sequence_number"]
                rest = (await client.get(f"/v1/responses/{id}?stream=true&starting_after={number}")).text
                assert rest.endswith("data: [DONE]\n\n")
                expected = [one for one in told if one["sequence_number"] > number]
                assert timeless(joined(events(rest))) == timeless(joined(expected))

    assert timeless([joined(events(text)) for text in live]) == timeless([joined(events(text)) for text in kept])
    assert normal("".join(kept)) == GOLDEN.read_text("utf-8")

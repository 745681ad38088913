"""The scripted conversation of the native transcript, as Chat Completions, compared whole."""

import json
import re
from pathlib import Path

import pytest

from dragoman.adapters.memory import MemoryStore
from dragoman.adapters.sql import SqliteEngine, SqlStore
from dragoman.adapters.sql.postgres import PostgresEngine
from tests.surfaces.house import house, served
from tests.transcripts.test_native import SCRIPTS

GOLDEN = Path(__file__).with_name("chat.sse")
MESSAGES = [{"role": "user", "content": "Weather in Oslo and Atlantis?"}]
STREAMED = {"model": "chat", "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}


def normal(text):
    """Without what differs from run to run."""
    text = re.sub(r"(chatcmpl-|run_)[0-9a-z]{26}", r"\g<1>1", text)
    return re.sub(r'"created":\d+', '"created":0', text)


def memory(_):
    return MemoryStore()


def sqlite(request):
    return SqlStore(SqliteEngine(request.getfixturevalue("tmp_path") / "store.db"))


def postgresql(request):
    return SqlStore(PostgresEngine(request.getfixturevalue("postgres_url"), pool_size=2))


async def streamed(at):
    """A run, and the same run again from its log: the key makes the second request find the first."""
    async with served(at) as (client, _):
        key = {"idempotency-key": "k"}
        live = (await client.post("/v1/chat/completions", json=STREAMED, headers=key)).text
        again = (await client.post("/v1/chat/completions", json=STREAMED, headers=key)).text
    return live, again


@pytest.mark.parametrize("store", [memory, sqlite, postgresql])
async def test_the_log_reads_as_written_down(store, request):
    async with house(SCRIPTS, store=store(request)) as at:
        _, again = await streamed(at)
    assert normal(again) == GOLDEN.read_text("utf-8")


async def test_a_live_stream_says_the_same_as_the_log():
    async with house(SCRIPTS) as at:
        live, again = await streamed(at)
    assert live.startswith(":\n\ndata: ")
    assert joined(live) == joined(again)


def joined(text):
    """The frames, with neighbouring pieces of one kind of text as one."""
    frames = []
    for frame in text.split("\n\n"):
        if found := PIECE.fullmatch(frame):
            kind, piece = found["kind"], json.loads(found["piece"])
            if frames and frames[-1][0] == kind:
                piece = frames.pop()[1] + piece
            frames.append((kind, piece))
        elif frame != ":":  # the comment that keeps a connection alive
            frames.append(("", frame))
    return frames


PIECE = re.compile(r'data: .*"delta":\{"(?P<kind>\w+)":(?P<piece>"(?:[^"\\]|\\.)*")\}.*')

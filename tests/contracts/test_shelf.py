"""``Shelf``: the promises of every place that keeps conversations by name, ours and the Agents SDK's tables."""

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from dragoman.adapters.sql import SqliteEngine
from dragoman.adapters.sql.engine import Engine
from dragoman.adapters.sql.postgres import PostgresEngine
from dragoman.adapters.sql.sdk_sessions import SdkSessions
from dragoman.adapters.sql.shelf import SqlShelf
from dragoman.domain.errors import Conflict
from dragoman.domain.items import assistant_message, message, tool_call, tool_output
from dragoman.ports.transfer import Entry, Kept, Shelf
from tests.contracts.talk import SARAH

TABLES = ("agent_sessions", "agent_messages")


@contextlib.asynccontextmanager
async def ours(engine: Engine) -> AsyncIterator[Shelf]:
    await engine.start()
    yield SqlShelf(engine, SARAH, "chat")
    await engine.stop()


@contextlib.asynccontextmanager
async def theirs(url: str) -> AsyncIterator[Shelf]:
    sessions = SdkSessions(url, TABLES, writable=True)
    yield sessions
    await sessions.aclose()


def file(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("tmp_path") / "shelf.db")


def url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("postgres_url")


SHELVES: dict[str, Callable[[pytest.FixtureRequest], contextlib.AbstractAsyncContextManager[Shelf]]] = {
    "sqlite": lambda request: ours(SqliteEngine(file(request), shared=True)),
    "postgresql": lambda request: ours(PostgresEngine(url(request), pool_size=1)),
    "sdk tables, sqlite": lambda request: theirs(f"sqlite:///{file(request)}"),
    "sdk tables, postgresql": lambda request: theirs(url(request)),
}


@pytest.fixture(params=SHELVES)
async def shelf(request: pytest.FixtureRequest) -> AsyncIterator[Shelf]:
    async with SHELVES[request.param](request) as opened:
        yield opened


def entries(*texts: str) -> list[Entry]:
    return [Entry(message("user", text)) for text in texts]


def contents(kept: Kept) -> list[object]:
    return [entry.content for entry in kept.entries]


async def test_what_is_put_there_is_read_in_order(shelf: Shelf):
    items = [
        message("user", "Grüße '\"\\ 🚀"),
        tool_call("c1", "f", '{"a": 1}'),
        tool_output("c1", [{"type": "input_text", "text": "1"}]),
        assistant_message("Hi."),
    ]
    await shelf.extend("s", Kept(), 0, [Entry(item) for item in items])
    kept = await shelf.read("s")
    assert (contents(kept), kept.unreadable) == (items, ())


async def test_a_conversation_goes_on_where_it_ended(shelf: Shelf):
    await shelf.extend("s", Kept(), 0, entries("1", "2"))
    before = await shelf.read("s")
    await shelf.extend("s", before, 2, entries("3"))
    after = await shelf.read("s")
    assert contents(after) == [message("user", text) for text in "123"]
    assert after.version != before.version


async def test_it_goes_on_after_an_earlier_item_when_that_is_wanted(shelf: Shelf):
    await shelf.extend("s", Kept(), 0, entries("1", "2", "3"))
    await shelf.extend("s", await shelf.read("s"), 1, entries("two"))
    assert contents(await shelf.read("s")) == [message("user", "1"), message("user", "two")]
    await shelf.extend("s", await shelf.read("s"), 0, entries("one"))
    assert contents(await shelf.read("s")) == [message("user", "one")]


async def test_nothing_happens_when_it_has_changed_since(shelf: Shelf):
    with pytest.raises(Conflict):
        await shelf.extend("s", Kept(version="other"), 0, entries("1"))
    await shelf.extend("s", Kept(), 0, entries("1"))
    before = await shelf.read("s")
    await shelf.extend("s", before, 1, entries("2"))
    for stale in (before, Kept()):
        with pytest.raises(Conflict):
            await shelf.extend("s", stale, len(stale.entries), entries("3"))
    assert contents(await shelf.read("s")) == [message("user", "1"), message("user", "2")]


async def test_only_conversations_that_hold_something_are_there(shelf: Shelf):
    assert await shelf.keys() == []
    assert await shelf.read("s") == Kept()
    for name in ("b", "a", "x'y\""):
        await shelf.extend(name, Kept(), 0, entries("1"))
    assert sorted(await shelf.keys()) == ["a", "b", "x'y\""]


@pytest.mark.parametrize("shelf", ["sqlite", "postgresql"], indirect=True)
async def test_with_us_items_keep_the_time_at_which_they_were_said(shelf: Shelf):
    at = [datetime(2025, 1, 1, hour, tzinfo=UTC) for hour in (1, 2)]
    await shelf.extend("s", Kept(), 0, [Entry(message("user", "1"), at[0]), Entry(message("user", "2"), at[1])])
    assert [entry.at for entry in (await shelf.read("s")).entries] == at

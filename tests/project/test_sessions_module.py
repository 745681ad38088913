"""``dragoman.sessions``: code that knows only the Agents SDK works on the same conversations as the server."""

import asyncio
import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner, Session, SessionSettings, function_tool
from agents.testing import ScriptedModel, assistant_message, function_call

from dragoman import sessions
from dragoman.adapters.sql import SqliteEngine, SqlStore
from dragoman.adapters.sql.engine import SERVER, Engine
from dragoman.adapters.sql.migrations import VERSION_TABLE
from dragoman.adapters.sql.postgres import PostgresEngine
from dragoman.domain.conversations import search_for
from dragoman.domain.errors import ConversationBusy, Invalid, StorageUnavailable
from dragoman.domain.items import message, text_of
from dragoman.testing import app_with, say
from tests.contracts.conftest import started
from tests.contracts.talk import SARAH, Talk

QUIET = RunConfig(tracing_disabled=True)


@function_tool
def double(number: int) -> int:
    return 2 * number


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return request.getfixturevalue("postgres_url") if request.param == "postgresql" else f"sqlite:///{tmp_path}/a.db"


def server(url: str) -> SqlStore:
    """The store of a server on this database."""
    path = url.removeprefix("sqlite:///")
    engine: Engine = PostgresEngine(url, pool_size=2) if path == url else SqliteEngine(path)
    return SqlStore(engine)


def texts(items: list[Any]) -> list[str]:
    return [text_of(item) or item["type"] for item in items]


async def test_the_sdks_runner_remembers_through_it(url: str):
    steps = [[function_call("double", {"number": 21}, call_id="c1")], [assistant_message("It is 42.")]]
    async with sessions.open("s", url=url) as session:
        assert isinstance(session, Session)
        agent = Agent(name="Chat", model=ScriptedModel(steps), tools=[double])
        result = await Runner.run(agent, "Twice 21?", session=session, run_config=QUIET)
        assert result.final_output == "It is 42."

    model = ScriptedModel([[assistant_message("You asked for 42.")]])
    async with sessions.open("s", url=url) as again:
        await Runner.run(Agent(name="Chat", model=model), "What was it?", session=again, run_config=QUIET)
        kept = await again.get_items()
    expected = ["Twice 21?", "function_call", "function_call_output", "It is 42.", "What was it?"]
    assert texts(list(model.calls[0].input)) == expected
    assert texts(kept) == [*expected, "You asked for 42."]


async def test_a_conversation_goes_from_the_server_to_the_sdk_and_back(url: str):
    scripts = {"chat": lambda turn: [say(f"I know {len(turn.history)} things.")]}
    async with app_with(scripts, store=server(url)) as app, sessions.open("s", user="sarah", url=url) as session:
        await app.run("chat", "Hello", user="sarah", session_id="s")
        model = ScriptedModel([[assistant_message("Here, too.")]])
        await Runner.run(Agent(name="Chat", model=model), "And here?", session=session, run_config=QUIET)
        assert texts(list(model.calls[0].input)) == ["Hello", "I know 0 things.", "And here?"]
        run = await app.run("chat", "And now?", user="sarah", session_id="s")
        assert run.final_output == "I know 4 things."
        assert texts(await session.get_items(limit=2)) == ["And now?", "I know 4 things."]


async def test_while_a_run_is_in_progress_nothing_is_added_or_taken_away(url: str):
    async with started(server(url)) as store, sessions.open("s", user="sarah", url=url) as session:
        talk = Talk(store)
        run = await talk.playing("Hello")
        with pytest.raises(ConversationBusy):
            await session.add_items([{"role": "user", "content": "Me too"}])
        with pytest.raises(ConversationBusy):
            await session.pop_item()
        assert texts(await session.get_items()) == ["Hello"]
        await talk.finish(run)
        await session.add_items([{"role": "user", "content": "Me too"}])
        assert await talk.texts() == ["Hello", "Hi!", "Me too"]


async def test_of_items_that_come_from_several_places_at_once_none_is_lost(url: str):
    async with contextlib.AsyncExitStack() as stack:
        several = [await stack.enter_async_context(sessions.open("s", url=url)) for _ in range(3)]
        await asyncio.gather(*(s.add_items([message("user", f"{n}")]) for n in range(10) for s in several))
        kept = texts(await several[0].get_items())
    assert sorted(kept) == sorted(f"{n}" for n in range(10) for _ in several)


async def test_the_newest_items_can_be_asked_for(url: str):
    async with sessions.open("s", url=url, limit=2) as session:
        assert await session.get_items() == []
        await session.add_items([message("user", text) for text in "abcd"])
        assert texts(await session.get_items()) == ["c", "d"]
        assert texts(await session.get_items(limit=3)) == ["b", "c", "d"]
        assert await session.get_items(limit=0) == []
        session.session_settings = SessionSettings(limit=1)
        assert texts(await session.get_items()) == ["d"]


async def test_items_are_taken_away_newest_first(url: str):
    async with sessions.open("s", url=url) as session:
        assert await session.pop_item() is None
        await session.add_items([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])
        assert await session.pop_item() == message("user", "b")
        await session.add_items([{"role": "user", "content": "c"}])
        assert texts(await session.get_items()) == ["a", "c"]
        assert [await session.pop_item(), await session.pop_item()] == [message("user", "c"), message("user", "a")]
        assert (await session.pop_item(), await session.get_items()) == (None, [])


async def test_what_a_run_has_written_is_taken_from_the_branch_and_stays_in_the_tree(url: str):
    async with started(server(url)) as store, sessions.open("s", user="sarah", url=url) as session:
        talk = Talk(store)
        await talk.answered("Hello", "Hi!")
        answer = (await store.sessions.page(SARAH, "s", limit=1)).items[0]
        await session.pop_item()
        assert await talk.texts() == ["Hello"]
        await store.sessions.fork(SARAH, "s", answer.id)
        assert await talk.texts() == ["Hello", "Hi!"]


async def test_what_was_taken_away_is_no_longer_found(url: str):
    async with started(server(url)) as store, sessions.open("s", user="sarah", url=url) as session:
        await session.add_items([message("user", "apple"), message("user", "zebra")])
        found = await store.sessions.list(SARAH, search=search_for("zebra"))
        assert len(found.conversations) == 1
        await session.pop_item()
        assert not (await store.sessions.list(SARAH, search=search_for("zebra"))).conversations


async def test_clearing_removes_the_conversation_and_its_name_may_be_used_again(url: str):
    async with sessions.open("s", url=url) as session:
        await session.clear_session()
        await session.add_items([message("user", "a")])
        await session.clear_session()
        assert await session.get_items() == []
        await session.add_items([message("user", "b")])
        assert texts(await session.get_items()) == ["b"]


async def test_users_and_tenants_are_apart(url: str):
    async with (
        sessions.open("s", url=url, user="sarah") as sarah,
        sessions.open("s", url=url, user="tom") as tom,
        sessions.open("s", url=url, user="sarah", tenant="elsewhere") as other,
    ):
        await sarah.add_items([message("user", "mine")])
        assert await tom.get_items() == await other.get_items() == []
        await tom.clear_session()
        assert texts(await sarah.get_items()) == ["mine"]


async def test_text_is_made_storable_and_what_is_no_item_is_refused(url: str):
    async with sessions.open("s", url=url) as session:
        await session.add_items([{"role": "user", "content": "a\0b\ud800"}])
        for nonsense in ({}, {"role": "user"}, {"type": "function_call", "call_id": "c"}):
            with pytest.raises(Invalid):
                await session.add_items([message("user", "x"), nonsense])
        assert texts(await session.get_items()) == ["a\ufffdb\ufffd"]


async def test_a_session_that_was_closed_opens_again_when_it_is_used(tmp_path: Path):
    session = sessions.open("s", url=f"sqlite:///{tmp_path}/a.db")
    await session.add_items([message("user", "a")])
    await session.close()
    await session.close()
    assert texts(await session.get_items()) == ["a"]
    await session.close()


async def test_it_never_changes_the_schema_under_a_server_that_runs(tmp_path: Path):
    store = server(f"sqlite:///{tmp_path}/a.db")
    async with started(store):

        def age():
            yield f"UPDATE {VERSION_TABLE} SET version_num = '0000'", {}

        await store.runs.engine.write(SERVER, age)
        session = sessions.open("s", url=f"sqlite:///{tmp_path}/a.db")
        with pytest.raises(StorageUnavailable, match="Another server"):
            await session.get_items()


def test_the_settings_name_the_database_and_the_sdk_is_not_imported(tmp_path: Path):
    code = """
import asyncio, sys, dragoman.sessions
async def main():
    async with dragoman.sessions.open("s") as session:
        await session.add_items([{"role": "user", "content": "a"}])
asyncio.run(main())
assert not {"agents", "openai", "fastapi"} & set(sys.modules)
"""
    env = {"SESSION_DB_PATH": "there.db"}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path, env=env, timeout=60)
    assert (tmp_path / "there.db").exists()


def test_a_name_that_no_request_could_use_is_refused(tmp_path: Path):
    with pytest.raises(Invalid):
        sessions.open("a/b", url=f"sqlite:///{tmp_path}/a.db")

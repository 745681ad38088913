"""``dragoman import sessions`` and ``dragoman export sessions``, with files that the Agents SDK's own sessions write and read."""

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from agents import SQLiteSession
from agents.extensions.memory import AdvancedSQLiteSession, AsyncSQLiteSession, SQLAlchemySession
from sqlalchemy.ext.asyncio import create_async_engine

from dragoman.adapters.sql import SqliteEngine, SqlStore
from dragoman.domain.identity import LOCAL, Principal
from dragoman.domain.items import UNANSWERED
from tests.cli.conftest import Command
from tests.contracts.talk import Talk

SAID = [
    {"role": "user", "content": "Grüße 🚀"},
    {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "id": "fc_1", "status": "completed"},
    {"type": "function_call_output", "call_id": "c1", "output": "42"},
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "It is 42.", "annotations": []}],
    },
]
KEPT = [{"type": "message", **SAID[0]}, *SAID[1:]]
OURS = {"SESSION_DB_PATH": "ours.db"}


def from_file(path: Path) -> list[str]:
    return ["--from", f"sqlite:///{path.name}"]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Talk]:
    """A server's store on our file, held as a server holds it."""
    engine = SqliteEngine(tmp_path / "ours.db")
    await engine.start()
    yield Talk(SqlStore(engine))
    await engine.stop()


async def contents(talk: Talk, session: str = "s", principal: Principal = LOCAL) -> list[object]:
    return [item.content for item in (await talk.store.sessions.page(principal, session, limit=100)).items]


# what the SDK's sessions write ------------------------------------------------------------------------------------------


async def by_sqlite(path: Path) -> None:
    session = SQLiteSession("s", path)
    await session.add_items(SAID)
    session.close()


async def by_async_sqlite(path: Path) -> None:
    session = AsyncSQLiteSession("s", path)
    await session.add_items(SAID)
    await session.close()


async def by_sqlalchemy(path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
    await SQLAlchemySession("s", engine=engine, create_tables=True).add_items(SAID)
    await engine.dispose()


async def by_advanced(path: Path) -> None:
    session = AdvancedSQLiteSession(session_id="s", db_path=path, create_tables=True)
    await session.add_items(SAID)
    await session.create_branch_from_turn(1)
    await session.add_items([{"role": "user", "content": "On another branch"}])
    session.close()


@pytest.mark.parametrize("write", [by_sqlite, by_async_sqlite, by_sqlalchemy, by_advanced])
async def test_what_any_of_the_sdks_sessions_wrote_is_taken_over_while_a_server_runs(
    write: Callable, dragoman: Command, server: Talk, tmp_path: Path
):
    source = tmp_path / "theirs.db"
    await write(source)
    before, files = digest(source), set(tmp_path.iterdir())
    done = dragoman("import", "sessions", *from_file(source), **OURS)
    assert done.stdout.startswith("s: new (4 added)\n"), done.stderr
    assert await contents(server) == KEPT
    if write is by_advanced:
        assert "skipped row 5: it is on another branch than 'main'" in done.stdout
    else:
        assert (done.returncode, done.stderr) == (0, "")

    again = dragoman("import", "sessions", *from_file(source), **OURS)
    assert again.stdout.startswith("s: already there (4 known)\n")
    assert await contents(server) == KEPT
    assert (digest(source), set(tmp_path.iterdir())) == (before, files)


async def test_a_conversation_goes_on_in_both_places_in_turn(dragoman: Command, server: Talk, tmp_path: Path):
    source = tmp_path / "theirs.db"
    await by_sqlite(source)
    dragoman("import", "sessions", *from_file(source), **OURS)
    session = SQLiteSession("s", source)
    await session.add_items([{"role": "user", "content": "More"}])
    assert dragoman("import", "sessions", *from_file(source), **OURS).stdout.startswith(
        "s: continued (1 added, 4 known)"
    )

    await server.answered("And here", "Yes.", principal=LOCAL)
    done = dragoman("import", "sessions", *from_file(source), **OURS)
    assert done.stdout.startswith("s: already there (5 known) It has moved on there.")
    assert done.returncode == 0
    await session.add_items([{"role": "user", "content": "Else"}])
    done = dragoman("import", "sessions", *from_file(source), **OURS)
    assert done.stdout.startswith("s: moved on (5 known) It has moved on there; it was left alone.")
    assert done.returncode == 1
    assert await server.texts(principal=LOCAL) == ["Grüße 🚀", "", "", "It is 42.", "More", "And here", "Yes."]
    session.close()


async def test_a_run_in_progress_is_not_disturbed(dragoman: Command, server: Talk, tmp_path: Path):
    await by_sqlite(tmp_path / "theirs.db")
    run = await server.playing("Hello", principal=LOCAL)
    done = dragoman("import", "sessions", *from_file(tmp_path / "theirs.db"), **OURS)
    assert (done.stdout.split(" (")[0].split("\n")[0], done.returncode) == (
        "s: moved on It has moved on there; it was left alone.",
        1,
    )
    await server.finish(run)
    assert await server.texts(principal=LOCAL) == ["Hello", "Hi!"]


async def test_damage_is_skipped_repaired_and_reported(dragoman: Command, server: Talk, tmp_path: Path):
    source = tmp_path / "theirs.db"
    await by_sqlite(source)
    rows = [
        "{half",
        json.dumps([1]),
        json.dumps({"__enc__": 1, "payload": "gAAAA"}),
        json.dumps({"role": "user", "content": "a\0b\ud800"}),
        json.dumps({"type": "function_call_output", "call_id": "nobody", "output": "x"}),
        json.dumps({"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"}),
    ]
    with sqlite3.connect(source) as connection:
        insert = "INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)"
        connection.executemany(insert, [("s", row) for row in rows])
        connection.execute(insert, ("no row of its own", json.dumps(SAID[0])))
    connection.close()
    done = dragoman("import", "sessions", *from_file(source), **OURS)
    assert done.returncode == 1
    assert "s: new (7 added, 2 repaired)" in done.stdout
    assert [line.split(":")[0].strip() for line in done.stdout.splitlines() if "skipped row" in line] == [
        "skipped row 5",
        "skipped row 6",
        "skipped row 7",
    ]
    kept = await contents(server)
    assert kept[4] == {"type": "message", "role": "user", "content": "a\ufffdb\ufffd"}
    assert kept[-1] == {"type": "function_call_output", "call_id": "c2", "output": UNANSWERED}
    assert await contents(server, "no row of its own") == KEPT[:1]
    assert done.stdout.splitlines()[-1] == (
        "2 conversations: 8 items added, 0 known, 2 repaired, 3 skipped; 1 conversations not complete."
    )


async def test_users_are_found_in_the_ids_of_sessions(dragoman: Command, server: Talk, tmp_path: Path):
    for name in ("user_sarah_1", "user_tom_1", "stray"):
        session = SQLiteSession(name, tmp_path / "theirs.db", "their_sessions", "their_messages")
        await session.add_items(SAID)
        session.close()
    options = ("--tables", "their_sessions,their_messages", "--user-from", "user_(?P<user>[^_]+)_(?P<key>.*)")
    done = dragoman("import", "sessions", *from_file(tmp_path / "theirs.db"), *options, "--agent", "coach", **OURS)
    assert (done.returncode, "stray: refused" in done.stdout) == (1, True)
    for user in ("sarah", "tom"):
        assert await contents(server, "1", Principal(user)) == KEPT
        assert (await server.store.sessions.find(Principal(user), "1")).agent == "coach"


async def test_a_dry_run_tells_and_leaves_everything_as_it_is(dragoman: Command, tmp_path: Path):
    await by_sqlite(tmp_path / "theirs.db")
    done = dragoman("import", "sessions", *from_file(tmp_path / "theirs.db"), "--dry-run", **OURS)
    assert done.stdout.splitlines()[0] == "s: new (4 added)"
    assert "4 items to add" in done.stdout
    assert not (tmp_path / "ours.db").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "sqlite:///missing.db"], "There is no file missing.db"),
        (["--from", "mysql://x/y"], "is no database this works with"),
        (["--from", "sqlite:///theirs.db", "--tables", "one"], "--tables names two tables"),
        (["--from", "sqlite:///theirs.db", "--tables", "one,two"], "has no table 'one'"),
        (["--from", "sqlite:///theirs.db", "--user-from", "user_.*"], "a group named user"),
        (["--from", "sqlite:///theirs.db", "--user-from", "("], "a regular expression"),
    ],
)
async def test_what_cannot_be_is_refused_in_a_sentence(
    arguments: list[str], words: str, dragoman: Command, tmp_path: Path
):
    await by_sqlite(tmp_path / "theirs.db")
    done = dragoman("import", "sessions", *arguments, **OURS)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_file_of_the_sdk_is_named_as_the_database_by_mistake_and_stays_as_it_is(
    dragoman: Command, tmp_path: Path
):
    source = tmp_path / "theirs.db"
    await by_sqlite(source)
    before = digest(source)
    done = dragoman("import", "sessions", *from_file(source), SESSION_DB_PATH="theirs.db")
    assert (done.returncode, digest(source)) == (2, before)


async def test_between_two_postgresql_databases(dragoman: Command, postgres_url: str, tmp_path: Path):
    their_url = postgres_url.replace("postgresql://", "postgresql+psycopg://")
    engine = create_async_engine(their_url)
    session = SQLAlchemySession("s", engine=engine, create_tables=True)
    await session.add_items(SAID)
    done = await asyncio.to_thread(
        dragoman,
        "import",
        "sessions",
        "--from",
        postgres_url.replace("postgresql", "postgresql+asyncpg"),
        DATABASE_URL=postgres_url,
    )
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "s: new (4 added)"), done.stderr

    names = ("--tables", "sdk_agent_sessions,sdk_agent_session_messages")
    for expected in ("s: new (4 added)", "s: already there (4 known)"):
        done = dragoman("export", "sessions", "--to", postgres_url, *names, DATABASE_URL=postgres_url)
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, expected), done.stderr
    tables = {"sessions_table": "sdk_agent_sessions", "messages_table": "sdk_agent_session_messages"}
    exported = SQLAlchemySession("s", engine=engine, **tables)
    assert await exported.get_items() == KEPT
    await exported.add_items([{"role": "user", "content": "More"}])
    assert (await exported.get_items())[-1] == {"role": "user", "content": "More"}
    await engine.dispose()


async def test_every_session_of_the_sdk_opens_what_was_exported(dragoman: Command, server: Talk, tmp_path: Path):
    await server.answered("Hello", "Hi!", principal=LOCAL)
    await server.answered("Mine", "No", principal=Principal("tom"))
    target = tmp_path / "theirs.db"
    done = dragoman("export", "sessions", "--to", "sqlite:///theirs.db", **OURS)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "s: new (2 added)"), done.stderr
    expected = await contents(server)

    plain = SQLiteSession("s", target)
    assert await plain.get_items() == expected
    plain.close()
    quick = AsyncSQLiteSession("s", target)
    assert await quick.get_items() == expected
    await quick.add_items([{"role": "user", "content": "More"}])
    await quick.close()
    engine = create_async_engine(f"sqlite+aiosqlite:///{target}")
    assert (await SQLAlchemySession("s", engine=engine).get_items())[:-1] == expected
    await engine.dispose()

    again = dragoman("export", "sessions", "--to", "sqlite:///theirs.db", **OURS)
    assert again.stdout.startswith("s: already there (2 known) It has moved on there.")
    back = dragoman("import", "sessions", "--from", "sqlite:///theirs.db", **OURS)
    assert back.stdout.startswith("s: continued (1 added, 2 known)")
    assert (await server.texts(principal=LOCAL))[-1] == "More"


async def test_of_a_conversation_with_branches_the_current_one_is_exported(
    dragoman: Command, server: Talk, tmp_path: Path
):
    await server.answered("Hello", "Hi!", principal=LOCAL)
    first = (await server.store.sessions.page(LOCAL, "s", limit=1)).items[0]
    await server.answered("Left", "L", principal=LOCAL)
    await server.store.sessions.fork(LOCAL, "s", first.id)
    await server.answered("Right", "R", principal=LOCAL)
    dragoman("export", "sessions", "--to", "sqlite:///theirs.db", **OURS)
    session = SQLiteSession("s", tmp_path / "theirs.db")
    assert await session.get_items() == await contents(server)
    session.close()
    assert await server.texts(principal=LOCAL) == ["Hello", "Hi!", "Right", "R"]

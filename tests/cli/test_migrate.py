"""``dragoman migrate``: the schema on PostgreSQL, and a SQLite database that moves there."""

import re
from pathlib import Path

import psycopg
import pytest

from dragoman.adapters.sql import SqliteEngine, SqlStore
from dragoman.adapters.sql.migrations import HEAD
from dragoman.adapters.sql.postgres import PostgresEngine
from dragoman.domain.events import Delta
from dragoman.domain.runs import RunStatus
from dragoman.ports.runs import IdempotencyKey
from tests.cli.conftest import Command
from tests.contracts.talk import SARAH, TOM, Talk
from tests.postgres import PostgresServer


@pytest.fixture
def empty(postgres: PostgresServer):
    with postgres.fresh() as url:
        yield url


async def filled(path: Path, sessions: int = 3) -> None:
    engine = SqliteEngine(path)
    await engine.start()
    talk = Talk(SqlStore(engine))
    for n in range(sessions):
        await talk.answered(f"Grüße '{n}' \\n\t\"x\"", "…\\N", session=f"s{n}")
        await talk.playing("And?", session=f"s{n}", principal=TOM, context={"plan": "pro"})
    await talk.begin("once", key=IdempotencyKey("k", "POST /chat/run", "d"))
    await talk.write(await talk.playing(session=None), Delta("text", "a"), Delta("text", "b"))
    await engine.stop()


def query(url: str, sql: str):
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg"])
def test_it_brings_a_database_to_our_schema_and_may_be_repeated(dragoman: Command, empty: str, scheme: str):
    url = empty.replace("postgresql", scheme)
    done = dragoman("migrate", DATABASE_URL=url)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"schema {HEAD}, was empty" in done.stdout
    again = dragoman("migrate", DATABASE_URL=url)
    assert f"schema {HEAD}, as before" in again.stdout
    assert query(empty, "SELECT count(*) FROM runs") == [(0,)]


def test_sql_only_shows_what_would_be_executed(dragoman: Command, empty: str):
    done = dragoman("migrate", "--sql", DATABASE_URL=empty)
    assert done.returncode == 0
    assert query(empty, "SELECT to_regclass('runs')") == [(None,)]
    query(empty, done.stdout)
    assert "as before" in dragoman("migrate", DATABASE_URL=empty).stdout
    assert dragoman("migrate", "--sql", DATABASE_URL=empty).stdout == ""


def test_a_database_that_cannot_be_reached_is_named_without_its_password(dragoman: Command):
    done = dragoman("migrate", DATABASE_URL="postgresql://u:s3cret@127.0.0.1:1/db")
    assert done.returncode == 2
    assert "127.0.0.1:1/db cannot be reached" in done.stderr
    assert "s3cret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_the_tables_of_another_application_are_left_alone(dragoman: Command, empty: str):
    query(empty, "CREATE TABLE items (price int)")
    done = dragoman("migrate", DATABASE_URL=empty)
    assert done.returncode == 2
    assert "another application" in done.stderr
    assert query(empty, "SELECT to_regclass('runs')") == [(None,)]


@pytest.mark.parametrize(
    ("revision", "words"), [("0000", "older schema"), ("9999", "newer version"), (None, "no tables")]
)
def test_a_server_refuses_a_schema_that_is_not_its_own(
    dragoman: Command, postgres_url: str, revision: str | None, words: str
):
    query(
        postgres_url,
        "DROP TABLE dragoman_version"
        if revision is None
        else f"UPDATE dragoman_version SET version_num = '{revision}'",
    )
    done = dragoman("serve", DATABASE_URL=postgres_url, PORT="0")
    assert done.returncode == 2
    assert words in done.stderr
    assert "dragoman migrate" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_sqlite_database_moves_with_everything_in_it(dragoman: Command, tmp_path: Path, empty: str):
    await filled(tmp_path / "a.db")
    done = dragoman("migrate", "--to", empty, SESSION_DB_PATH="a.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^conversations +7 rows", done.stdout, re.MULTILINE)

    engine = PostgresEngine(empty, pool_size=1)
    await engine.start()
    talk = Talk(SqlStore(engine))
    assert await talk.texts("s1") == ["Grüße '1' \\n\t\"x\"", "…\\N"]
    runs = (await talk.store.runs.list(TOM)).runs
    assert [run.status for run in runs] == [RunStatus.IN_PROGRESS] * 3
    assert not (await talk.begin("once", key=IdempotencyKey("k", "POST /chat/run", "d"))).fresh
    await engine.stop()


async def test_moving_can_be_repeated_and_brings_what_is_new(dragoman: Command, tmp_path: Path, empty: str):
    await filled(tmp_path / "a.db")
    first = dragoman("migrate", "--to", empty, SESSION_DB_PATH="a.db")
    assert dragoman("migrate", "--to", empty, SESSION_DB_PATH="a.db").stdout == first.stdout

    engine = SqliteEngine(tmp_path / "a.db")
    await engine.start()
    talk = Talk(SqlStore(engine))
    left = await talk.store.queue.abandoned(talk.claim("new"))
    await talk.finish(left[0])
    await talk.answered(session="new")
    await engine.stop()
    done = dragoman("migrate", "--to", empty, SESSION_DB_PATH="a.db")
    assert done.returncode == 0
    assert query(empty, "SELECT count(*) FROM runs WHERE status = 'completed'") == [(5,)]


async def test_moving_refuses_a_target_that_holds_something_else(dragoman: Command, tmp_path: Path, postgres_url: str):
    engine = PostgresEngine(postgres_url, pool_size=1)
    await engine.start()
    await Talk(SqlStore(engine)).answered("Mine")
    await engine.stop()
    await filled(tmp_path / "a.db")
    done = dragoman("migrate", "--to", postgres_url, SESSION_DB_PATH="a.db")
    assert done.returncode == 2
    assert "left as it is" in done.stderr
    assert query(postgres_url, "SELECT owner FROM conversations") == [(SARAH.user,)]


async def test_moving_needs_the_server_to_be_stopped(dragoman: Command, tmp_path: Path, empty: str):
    engine = SqliteEngine(tmp_path / "a.db")
    await engine.start()
    done = dragoman("migrate", "--to", empty, SESSION_DB_PATH="a.db")
    await engine.stop()
    assert done.returncode == 2
    assert "Another server is using a.db" in done.stderr


def test_on_sqlite_it_does_what_a_server_does_at_its_start(dragoman: Command, tmp_path: Path):
    assert "a.db is up to date" in dragoman("migrate", SESSION_DB_PATH="a.db").stdout
    assert (tmp_path / "a.db").is_file()
    for arguments in (("--sql",), ("--to", "sqlite:///b.db")):
        assert dragoman("migrate", *arguments).returncode == 2

"""``dragoman db``: copies of the SQLite file while a server uses it, and its deleted space."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dragoman.adapters.sql import SqliteEngine, SqlStore
from tests.cli.conftest import Command
from tests.contracts.talk import SARAH, Talk

ENV = {"SESSION_DB_PATH": "a.db"}


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[SqliteEngine]:
    engine = SqliteEngine(tmp_path / "a.db")
    await engine.start()
    yield engine
    if engine._open:
        await engine.stop()


async def test_a_backup_of_a_running_server_is_restored_when_it_has_stopped(
    dragoman: Command, engine: SqliteEngine, tmp_path: Path
):
    talk = Talk(SqlStore(engine))
    await talk.answered("One", "1")
    done = dragoman("db", "backup", "copy.db", **ENV)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    await talk.answered("Two", "2")

    busy = dragoman("db", "restore", "copy.db", **ENV)
    assert busy.returncode == 2
    assert "is using a.db" in busy.stderr
    await engine.stop()
    assert dragoman("db", "restore", "copy.db", **ENV).returncode == 0

    again = SqliteEngine(tmp_path / "a.db")
    await again.start()
    talk = Talk(SqlStore(again))
    assert await talk.texts() == ["One", "1"]
    await talk.answered("Three", "3")
    await again.stop()


async def test_a_backup_never_overwrites(dragoman: Command, engine: SqliteEngine, tmp_path: Path):
    (tmp_path / "copy.db").write_text("precious")
    done = dragoman("db", "backup", "copy.db", **ENV)
    assert done.returncode == 2
    assert (tmp_path / "copy.db").read_text() == "precious"
    assert await engine.check() is None


@pytest.mark.parametrize("content", [b"", b"no database at all", None])
async def test_only_a_database_of_ours_is_restored(
    dragoman: Command, engine: SqliteEngine, tmp_path: Path, content: bytes | None
):
    await Talk(SqlStore(engine)).answered("One", "1")
    await engine.stop()
    if content is not None:
        (tmp_path / "copy.db").write_bytes(content)
    before = (tmp_path / "a.db").read_bytes()
    assert dragoman("db", "restore", "copy.db", **ENV).returncode == 2
    assert (tmp_path / "a.db").read_bytes() == before


async def test_deleted_space_is_given_back_while_a_server_runs(dragoman: Command, engine: SqliteEngine, tmp_path: Path):
    talk = Talk(SqlStore(engine))
    for n in range(20):
        await talk.answered("x" * 100_000, session=f"s{n}")
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM conversations WHERE key <> 's0'")
    connection.close()

    done = dragoman("db", "vacuum", **ENV)

    assert done.returncode == 0
    assert int(done.stdout.split(": ")[1].split()[0].replace(",", "")) > 1_000_000
    await talk.answered("still", session="s0")
    assert len((await talk.store.runs.list(SARAH)).runs) == 2


def test_on_postgresql_its_own_tools_are_named(dragoman: Command):
    done = dragoman("db", "vacuum", DATABASE_URL="postgresql://u:s3cret@h/db")
    assert done.returncode == 2
    assert "pg_dump" in done.stderr


def test_help_is_quick_to_come(dragoman: Command):
    assert "migrate" in dragoman("--help").stdout
    assert "backup" in dragoman("db", "--help").stdout

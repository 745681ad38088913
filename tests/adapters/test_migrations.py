"""The schema's history: it leads from nothing to exactly the tables, and never backwards."""

import contextlib
import re
import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from dragoman.adapters.sql import SqliteEngine, migrations
from dragoman.adapters.sql.migrations import HEAD, VERSION_TABLE, upgrade
from dragoman.adapters.sql.tables import comparable, metadata
from dragoman.domain.errors import StorageUnavailable


def schema(connection: Connection) -> set[str]:
    return {sql for (sql,) in connection.execute(text("SELECT sql FROM sqlite_master")) if sql}


def same(statements: set[str]) -> set[tuple[str, ...]]:
    """Statements without what Alembic's own table adds, and without differences in white space."""
    return {parts(" ".join(sql.split())) for sql in statements if VERSION_TABLE not in sql}


def parts(sql: str) -> tuple[str, ...]:
    """What a statement says, in no order: a column that was added later stands behind the constraints."""
    head, _, rest = sql.partition("(")
    inside, _, tail = rest.rpartition(")")
    return (head.strip(), *sorted(part.strip() for part in re.split(r",(?![^(]*\))", inside)), tail.strip())


def test_the_migrations_lead_to_the_tables():
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        upgrade(connection)
        options = {"version_table": VERSION_TABLE, "compare_type": True, "include_name": comparable}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
        migrated = schema(connection)
    engine.dispose()
    declared = create_engine("sqlite://")
    with declared.begin() as connection:
        metadata.create_all(connection)
        assert same(migrated) == same(schema(connection))  # with checks, conditions and options, which Alembic ignores
    declared.dispose()


def test_the_newest_revision_is_the_one_we_say():
    directory = ScriptDirectory(str(Path(migrations.__file__).parent))

    assert directory.get_current_head() == HEAD
    revisions = [script.revision for script in directory.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)


async def test_a_newer_schema_is_refused_and_untouched(tmp_path: Path):
    path = tmp_path / "x.db"
    engine = SqliteEngine(path)
    await engine.start()
    await engine.stop()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        connection.commit()

    with pytest.raises(StorageUnavailable, match="newer version of Dragoman"):
        await SqliteEngine(path).start()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone() == ("9999",)


async def test_a_migration_that_breaks_off_leaves_nothing_behind(tmp_path: Path):
    path = tmp_path / "x.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL)")
        connection.execute("CREATE TABLE events (in_the_way INTEGER)")  # the first migration fails at its fourth table
        connection.commit()

    with pytest.raises(StorageUnavailable, match="could not be brought up to date"):
        await SqliteEngine(path).start()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert names == {VERSION_TABLE, "events"}

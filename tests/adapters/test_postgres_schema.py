"""The schema on PostgreSQL: the same migrations, up and down, and a server that never migrates by itself."""

import asyncio
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from dragoman.adapters.sql import schema
from dragoman.adapters.sql.migrations import HEAD, VERSION_TABLE, downgrade, upgrade
from dragoman.adapters.sql.postgres import PostgresEngine
from dragoman.adapters.sql.tables import comparable, metadata
from dragoman.domain.errors import StorageUnavailable
from tests.postgres import PostgresServer


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[str]:
    with postgres.fresh() as url:
        yield url


def test_the_migrations_lead_to_the_tables(empty: str):
    schema.migrate(empty)
    with schema.transaction(empty) as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "include_name": comparable}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_they_lead_back_to_nothing_on_both_databases(empty: str):
    with schema.transaction(empty) as connection:
        upgrade(connection)
        downgrade(connection)
        assert inspect(connection).get_table_names() == [VERSION_TABLE]
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        upgrade(connection)
        downgrade(connection)
        assert inspect(connection).get_table_names() == [VERSION_TABLE]
        upgrade(connection)
    engine.dispose()
    assert schema.migrate(empty) == (None, HEAD)


def test_everything_indexed_by_id_sorts_by_byte(empty: str):
    schema.migrate(empty)
    with schema.transaction(empty) as connection:
        ids = connection.exec_driver_sql(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND column_name IN ('id', 'run_id', 'conversation_id')"
        ).fetchall()
    assert {collation for _, _, collation in ids} == {"C"}


async def test_of_two_who_migrate_at_once_one_does(empty: str):
    done = await asyncio.gather(*(asyncio.to_thread(schema.migrate, empty) for _ in range(4)))
    assert sorted(done, key=str) == [(HEAD, HEAD)] * 3 + [(None, HEAD)]


@pytest.mark.parametrize(
    ("given", "libpq"),
    [
        ("postgres://u:p@h:1/d", "postgresql://u:p@h:1/d"),
        ("postgresql+asyncpg://h/d?ssl=require", "postgresql://h/d?sslmode=require"),
        ("postgresql+psycopg://h/d?application_name=x", "postgresql://h/d?application_name=x"),
    ],
)
def test_addresses_written_for_other_drivers_are_understood(given: str, libpq: str):
    assert schema.postgres_url(given) == libpq


async def test_readiness_tells_when_the_schema_no_longer_fits(postgres: PostgresServer, postgres_url: str):
    engine = PostgresEngine(postgres_url, pool_size=1)
    await engine.start()
    assert await engine.check() is None
    with schema.transaction(postgres_url) as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    assert "newer version" in (await engine.check() or "")
    await engine.stop()
    with pytest.raises(StorageUnavailable, match="dragoman migrate"):
        await engine.start()

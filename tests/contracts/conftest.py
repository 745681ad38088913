"""Every implementation of the stores.

A store is anything with ``runs``, ``queue``, ``events`` and ``sessions``. To add an implementation, add a context manager
that opens an empty one to ``STORES``.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dragoman.adapters.memory import MemoryStore
from dragoman.adapters.sql import SqliteEngine, SqlStore
from dragoman.adapters.sql.postgres import PostgresEngine
from tests.contracts.talk import Store, Talk


@contextlib.asynccontextmanager
async def memory(_: pytest.FixtureRequest) -> AsyncIterator[Store]:
    yield MemoryStore()


@contextlib.asynccontextmanager
async def sqlite(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    path: Path = request.getfixturevalue("tmp_path")
    async with started(SqlStore(SqliteEngine(path / "store.db"))) as store:
        yield store


@contextlib.asynccontextmanager
async def postgresql(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    url: str = request.getfixturevalue("postgres_url")
    async with started(SqlStore(PostgresEngine(url, pool_size=2))) as store:
        yield store


@contextlib.asynccontextmanager
async def started(store: SqlStore) -> AsyncIterator[SqlStore]:
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


STORES: dict[str, Callable[[pytest.FixtureRequest], contextlib.AbstractAsyncContextManager[Store]]] = {
    "memory": memory,
    "sqlite": sqlite,
    "postgresql": postgresql,
}


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    async with STORES[request.param](request) as opened:
        yield opened


@pytest.fixture
def talk(store: Store) -> Talk:
    return Talk(store)

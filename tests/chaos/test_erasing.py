"""Erasing somebody is killed in the middle, and made again."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dragoman.adapters.sql import SqliteEngine, SqlStore
from dragoman.adapters.sql.engine import SERVER, Script
from dragoman.adapters.sql.postgres import PostgresEngine
from dragoman.domain.people import KINDS
from tests.contracts.talk import SARAH, TOM, Talk

MANY = 60_000
PATIENCE = 60.0
FILL = """
INSERT INTO events (run_id, position, kind, content)
WITH RECURSIVE numbers (n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100 + :many)
SELECT :run_id, n, 'deltas', '{"v": 1}' FROM numbers
"""


def fill(run_id: str) -> Script[None]:
    yield FILL, {"run_id": run_id, "many": MANY}


def left() -> Script[int]:
    ((count,),) = yield "SELECT count(*) FROM events", {}
    return int(count)


@asynccontextmanager
async def erasing(database: str) -> AsyncIterator[asyncio.subprocess.Process]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dragoman", "people", "erase", "sarah", "--yes"),
        env={**kept, "DATABASE_URL": database},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_killed_in_the_middle_and_made_again_an_erase_leaves_nothing(request, tmp_path, kind):
    if kind == "sqlite":
        database = f"sqlite:///{tmp_path / 'erase.db'}"
        engine = SqliteEngine(tmp_path / "erase.db", shared=True)
    else:
        database = request.getfixturevalue("postgres_url")
        engine = PostgresEngine(database, pool_size=2)
    store = SqlStore(engine)
    await store.start()
    try:
        talk = Talk(store)
        await engine.write(SERVER, fill, (await talk.answered()).id)
        others = await talk.answered(principal=TOM)
        async with erasing(database) as process:
            while await engine.read(SERVER, left) > MANY - 1000:  # it has begun
                await asyncio.sleep(0.01)
            process.kill()
            assert await process.wait() == -9
        assert await engine.read(SERVER, left) > 2  # and it was not over
        async with erasing(database) as process:
            assert await process.wait() == 0
        for each in KINDS:
            assert await store.people.page(SARAH, each, None, 1) == [], each
        assert len(await talk.log(others)) == 2
    finally:
        await store.stop()

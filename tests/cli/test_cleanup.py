"""``dragoman cleanup``: beside a server or without one, and it says what it did."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dragoman.adapters.sql import SqliteEngine, SqlStore
from dragoman.adapters.sql.engine import Engine
from dragoman.adapters.sql.postgres import PostgresEngine
from dragoman.domain.runs import Run
from dragoman.ports.runs import IDEMPOTENCY_KEPT, Claim, IdempotencyKey
from tests.cli.conftest import Command
from tests.contracts.talk import Talk


async def filled(engine: Engine) -> Run:
    """An old key, and a run without a conversation that has ended."""
    store = SqlStore(engine)
    talk = Talk(store)
    await talk.begin(
        talk.run(at=datetime.now(UTC) - IDEMPOTENCY_KEPT), key=IdempotencyKey("k", "POST /chat/run", "digest")
    )
    return await talk.answered(session=None)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_it_clears_away_beside_a_server_and_says_what(
    dragoman: Command, database: str, tmp_path: Path, request: pytest.FixtureRequest
):
    if database == "sqlite":
        engine: Engine = SqliteEngine(tmp_path / "a.db")
        env = {"SESSION_DB_PATH": "a.db"}
    else:
        url = request.getfixturevalue("postgres_url")
        engine, env = PostgresEngine(url, pool_size=1), {"DATABASE_URL": url}
    await engine.start()
    run = await filled(engine)

    done = dragoman("cleanup", **env, DRAGOMAN_STATELESS_TTL="0.000001")
    again = dragoman("cleanup", **env, DRAGOMAN_STATELESS_TTL="0")
    assert await Talk(SqlStore(engine)).log(run) == []
    await engine.stop()

    assert (done.returncode, done.stderr) == (0, "")
    assert "1 runs without a conversation removed" in done.stdout
    assert "1 expired idempotency keys removed" in done.stdout
    assert "bytes given back" in done.stdout
    assert "0 expired idempotency keys removed" in again.stdout
    assert "without a conversation" not in again.stdout


async def test_what_a_server_is_at_is_left_to_it(dragoman: Command, tmp_path: Path):
    engine = SqliteEngine(tmp_path / "a.db")
    await engine.start()
    store = SqlStore(engine)
    now = datetime.now(UTC)
    await store.schedules.enter({"deleted_space": now})
    await store.schedules.claim(Claim("a server", now + timedelta(minutes=5)), ["deleted_space"], early=True)

    done = dragoman("cleanup", SESSION_DB_PATH="a.db")
    await engine.stop()

    assert done.returncode == 1
    assert "deleted_space: somebody is at it" in done.stderr
    assert "idempotency_keys: 0 expired" in done.stdout

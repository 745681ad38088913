"""What only PostgreSQL has: other processes, locks, connections that die, answers that get lost."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import psycopg
import pytest

from dragoman.adapters.sql import SqlStore
from dragoman.adapters.sql.engine import SERVER, Script
from dragoman.adapters.sql.postgres import PostgresEngine, translated
from dragoman.domain.errors import NotFound, StorageUnavailable
from dragoman.domain.events import Delta, Recorded
from dragoman.domain.runs import RunStatus
from dragoman.ports.events import Append
from dragoman.ports.runs import IdempotencyKey
from tests.contracts.talk import SARAH, Talk
from tests.postgres import PostgresServer

PATIENCE = 20.0


@contextlib.asynccontextmanager
async def opened(url: str, **options) -> AsyncIterator[PostgresEngine]:
    engine = PostgresEngine(url, **{"pool_size": 2, **options})
    await engine.start()
    try:
        async with asyncio.timeout(PATIENCE):
            yield engine
    finally:
        await engine.stop()


@pytest.fixture
async def engine(postgres_url: str) -> AsyncIterator[PostgresEngine]:
    async with opened(postgres_url) as engine:
        yield engine


@pytest.fixture
def talk(engine: PostgresEngine) -> Talk:
    return Talk(SqlStore(engine))


def query(url: str, sql: str):
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


def statement(sql: str, **params: object) -> Callable[[], Script[list[tuple[object, ...]]]]:
    def script():
        return (yield sql, params)

    return script


# SQL -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT :a, :b_2, :a", "SELECT %(a)s, %(b_2)s, %(a)s"),
        ("SELECT x::text, :a::bigint", "SELECT x::text, %(a)s::bigint"),
        ("SELECT ':a', 'it''s :b', '100%', 7 % 2", "SELECT ':a', 'it''s :b', '100%%', 7 %% 2"),
        ("SELECT '12:30', a[1:2]", "SELECT '12:30', a[1:2]"),
    ],
)
def test_parameters_are_found_and_nothing_else(sql: str, expected: str):
    assert translated(sql).decode() == expected


async def test_literals_and_casts_reach_the_database_as_they_are(engine: PostgresEngine):
    rows = await engine.read(SERVER, statement("SELECT ':a', '100%', 7 % 2, '5'::text || :a", a="x"))
    assert rows == [(":a", "100%", 1, "5x")]


async def test_a_sequence_of_parameters_gives_the_rows_of_all(engine: PostgresEngine):
    def script():
        return (yield "SELECT :n WHERE :n <> 2", [{"n": n} for n in range(4)])

    assert await engine.write(SERVER, script) == [(0,), (1,), (3,)]
    assert await engine.read(SERVER, script) == [(0,), (1,), (3,)]


async def test_readers_cannot_write(engine: PostgresEngine, talk: Talk):
    await talk.begin()

    def two():
        yield "SELECT 1", {}
        yield "DELETE FROM runs", {}

    for script in (statement("DELETE FROM runs"), two):
        with pytest.raises(StorageUnavailable):
            await engine.read(SERVER, script)
    assert len((await talk.store.runs.list(SARAH)).runs) == 1


async def test_a_script_that_reads_twice_reads_one_snapshot(engine: PostgresEngine, postgres_url: str):
    def script():
        before = yield "SELECT count(*) FROM conversations", {}
        query(
            postgres_url,
            "INSERT INTO conversations SELECT gen_random_uuid(),'t','o','k','','a','[]','{}','active','',0",
        )
        return before, (yield "SELECT count(*) FROM conversations", {})

    query(postgres_url, "ALTER TABLE conversations DROP CONSTRAINT uq_conversations_tenant_owner_key")
    for column in ("created_at", "updated_at", "last_message_at"):
        query(postgres_url, f"ALTER TABLE conversations ALTER {column} SET DEFAULT 0")

    before, after = await engine.read(SERVER, script)

    assert before == after
    assert await engine.read(SERVER, statement("SELECT count(*) FROM conversations")) > after


async def test_a_mistake_in_sql_is_not_an_outage(engine: PostgresEngine):
    for run in (engine.write, engine.read):
        with pytest.raises(psycopg.errors.UndefinedTable):
            await run(SERVER, statement("SELECT * FROM no_such_table"))
    with pytest.raises(psycopg.errors.UniqueViolation):
        await engine.write(SERVER, wrong_twice)
    assert await engine.check() is None
    assert engine.connections() == {"in_use": 0, "waiting": 0}


def wrong_twice():
    for _ in range(2):
        yield "INSERT INTO dragoman_version VALUES ('x')", {}


async def test_what_is_executed_is_logged_without_values(engine: PostgresEngine, caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG", "dragoman")
    await engine.read(SERVER, statement("SELECT CAST(:a AS TEXT)", a="a secret"))
    assert "SELECT CAST(:a AS TEXT)" in caplog.messages
    assert "a secret" not in caplog.text


# connections ---------------------------------------------------------------------------------------------------------


async def test_connections_the_server_closed_are_not_noticed(
    engine: PostgresEngine, talk: Talk, postgres: PostgresServer, postgres_url: str
):
    for n in range(5):
        await talk.answered(f"{n}")
        assert postgres.hang_up(postgres_url) > 0
    await asyncio.gather(*(talk.begin(session=None) for _ in range(20)))
    assert (await talk.texts())[::2] == ["0", "1", "2", "3", "4"]


async def test_a_transaction_whose_connection_dies_runs_again_from_its_beginning(engine: PostgresEngine, talk: Talk):
    run = await talk.playing()
    attempts = []

    def script():
        attempts.append(1)
        yield "INSERT INTO events VALUES (:run, :position, 'k', '{}')", {"run": run.id, "position": len(attempts)}
        if len(attempts) < 3:
            yield "SELECT pg_terminate_backend(pg_backend_pid())", {}
        rows = yield "SELECT position FROM events WHERE run_id = :run AND kind = 'k'", {"run": run.id}
        return [position for (position,) in rows]

    assert await engine.write(SERVER, script) == [3]


async def test_one_that_always_dies_is_given_up(engine: PostgresEngine):
    with pytest.raises(StorageUnavailable):
        await engine.write(SERVER, statement("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert await engine.check() is None


async def test_those_who_wait_for_each_other_both_finish(engine: PostgresEngine, talk: Talk):
    one, two = [(await talk.playing(session=None)).id for _ in range(2)]
    locked = set()

    def script(first: str, second: str):
        yield "SELECT 1 FROM runs WHERE id = :id FOR UPDATE", {"id": first}
        locked.add(first)
        while len(locked) < 2:
            yield "SELECT pg_sleep(0.01)", {}
        yield "SELECT 1 FROM runs WHERE id = :id FOR UPDATE", {"id": second}
        yield "UPDATE runs SET trace = coalesce(trace, '') || 'x' WHERE id IN (:a, :b)", {"a": one, "b": two}

    await asyncio.gather(engine.write(SERVER, script, one, two), engine.write(SERVER, script, two, one))

    assert [(await talk.store.runs.get(SARAH, id)).trace for id in (one, two)] == ["xx", "xx"]


async def test_a_writer_that_is_cancelled_leaves_nothing_behind(engine: PostgresEngine, talk: Talk):
    run = await talk.playing()
    reached = asyncio.Event()

    def script():
        yield "DELETE FROM conversations", {}
        reached.set()
        yield "SELECT pg_sleep(60)", {}

    writing = asyncio.create_task(engine.write(SERVER, script))
    await reached.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing

    assert engine.connections() == {"in_use": 0, "waiting": 0}
    await talk.finish(run)
    assert await talk.texts() == ["Hello", "Hi!"]


async def test_scripts_wait_for_a_free_connection_and_are_counted(postgres_url: str):
    async with opened(postgres_url, pool_size=1, max_overflow=1) as engine:
        go = asyncio.Event()

        def script():
            yield "SELECT 1", {}
            while not go.is_set():
                yield "SELECT pg_sleep(0.01)", {}

        writing = [asyncio.create_task(engine.write(SERVER, script)) for _ in range(5)]
        while engine.connections() != {"in_use": 2, "waiting": 3}:
            await asyncio.sleep(0.01)
        go.set()
        await asyncio.gather(*writing)
        assert engine.connections() == {"in_use": 0, "waiting": 0}


# answers that get lost -----------------------------------------------------------------------------------------------


class Cut:
    """A wire to the database that breaks once, when a COMMIT goes through: before it arrives, or before its answer."""

    def __init__(self, url: str, *, arrives: bool) -> None:
        self._target = urlsplit(url)
        self._arrives = arrives
        self.cuts = 1

    async def __aenter__(self) -> str:
        self._wires: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return self._target._replace(netloc=f"{self._target.username}@127.0.0.1:{port}").geturl()

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.wait(self._wires, timeout=PATIENCE)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._wires.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._target.hostname, self._target.port)
        answering = asyncio.create_task(_pump(there, writer))
        while data := await reader.read(65536):
            if b"COMMIT" in data and self.cuts:
                self.cuts -= 1
                writer.close()
                if self._arrives:
                    back.write(data)
                break
            back.write(data)
        for stream in (back, writer):
            stream.close()
            with contextlib.suppress(ConnectionError):
                await stream.wait_closed()
        await answering


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@pytest.mark.parametrize("arrives", [True, False])
async def test_a_commit_without_an_answer_happens_exactly_once(postgres_url: str, arrives: bool):
    wire = Cut(postgres_url, arrives=arrives)
    wire.cuts = 0
    async with wire as url, opened(url) as engine:
        wire.cuts = 1
        talk = Talk(SqlStore(engine))
        run = await talk.playing("Once")
        assert wire.cuts == 0

        await talk.finish(run)
        assert await talk.texts() == ["Once", "Hi!"]
        assert len((await talk.store.runs.list(SARAH)).runs) == 1


@pytest.mark.parametrize("arrives", [True, False])
async def test_an_append_without_an_answer_is_stored_once_and_not_lost(postgres_url: str, arrives: bool):
    wire = Cut(postgres_url, arrives=arrives)
    wire.cuts = 0
    async with wire as url, opened(url) as engine:
        talk = Talk(SqlStore(engine))
        run = await talk.playing()
        wire.cuts = 1
        await talk.finish(run, "Done")
        assert wire.cuts == 0
        assert await talk.texts() == ["Hello", "Done"]
        assert len(await talk.log(run)) == 2


# other processes -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def others(postgres_url: str) -> AsyncIterator[list[Talk]]:
    """Four servers on one database."""
    async with contextlib.AsyncExitStack() as stack:
        yield [Talk(SqlStore(await stack.enter_async_context(opened(postgres_url)))) for _ in range(4)]


async def test_of_all_players_of_all_processes_one_gets_a_run(others: list[Talk]):
    queued = [await others[n % 4].queued(session=f"s{n % 40}" if n % 3 else None) for n in range(120)]

    async def play(talk: Talk, name: str) -> list[str]:
        played = []
        while runs := await talk.store.queue.claim(talk.claim(name), 3):
            for run in runs:
                await talk.finish(run)
                played.append(run.id)
        return played

    played: list[str] = []
    while await others[0].store.queue.waiting():
        for ids in await asyncio.gather(*(play(talk, f"{n} {m}") for n, talk in enumerate(others) for m in range(2))):
            played += ids
    assert sorted(played) == sorted(run.id for run in queued)


async def test_of_many_messages_to_one_conversation_one_is_played_at_once_and_all_in_order(others: list[Talk]):
    begun = await asyncio.gather(*(others[n % 4].begin(f"{n}") for n in range(40)))

    runs = [each.run for each in begun]
    assert len({run.conversation_id for run in runs}) == 1
    assert len({run.created_at for run in runs}) == 40
    (playing,) = [run for run in runs if run.status is RunStatus.IN_PROGRESS]
    order = [playing]
    while order[-1] is not None:
        await others[0].finish(order[-1])
        order += await others[1].store.queue.claim(others[1].claim(), 10) or [None]
    assert [run.id for run in order[:-1]] == [run.id for run in sorted(runs, key=lambda run: run.created_at)]
    assert len(await others[2].texts()) == 80


async def test_of_many_requests_with_one_key_one_begins_a_run(others: list[Talk]):
    key = IdempotencyKey("k", "POST /chat/run", "digest")

    begun = await asyncio.gather(*(others[n % 4].begin(f"{n}", session=f"s{n % 5}", key=key) for n in range(40)))

    assert [each.fresh for each in begun].count(True) == 1
    assert len({each.run.id for each in begun}) == 1


async def test_deleting_never_tears_what_others_write_at_the_same_time(others: list[Talk]):
    a, b, c, d = others

    async def chat(talk: Talk, n: int) -> None:
        begun = await talk.begin(f"{n}")
        if begun.run.status is RunStatus.IN_PROGRESS:
            await talk.store.events.append([Append(begun.run.id, 0, (Recorded(1, Delta("text", "…")),))])
            with contextlib.suppress(AssertionError):  # deleted meanwhile
                await talk.finish(begun.run)

    async def delete(talk: Talk) -> None:
        with contextlib.suppress(NotFound):
            await talk.store.sessions.delete(SARAH, "s")

    async def cancel(talk: Talk) -> None:
        for run in (await talk.store.runs.list(SARAH, status=RunStatus.QUEUED)).runs:
            with contextlib.suppress(Exception):
                await talk.store.runs.cancel(SARAH, run.id, "now")

    for round in range(10):
        await asyncio.gather(*(chat(talk, round) for talk in (a, b, c, a, b, c)), delete(d), cancel(c), delete(a))

    await delete(a)
    assert (await a.store.runs.list(SARAH)).runs == ()
    assert await a.store.queue.waiting() == 0

"""What only SQLite has: a file, its lock, its disk, its writer thread."""

import asyncio
import contextlib
import hashlib
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dragoman.adapters.sql import SqliteEngine, SqlStore
from dragoman.adapters.sql.engine import SERVER, Script
from dragoman.domain.errors import ConversationBusy, NotFound, StorageUnavailable
from dragoman.domain.events import Delta, Recorded
from dragoman.domain.runs import RunOptions, RunStatus
from dragoman.ports.events import Append
from tests.contracts.talk import SARAH, Talk

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0


@contextlib.asynccontextmanager
async def opened(path: Path, **options) -> AsyncIterator[SqliteEngine]:
    engine = SqliteEngine(path, **options)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.stop()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "dragoman.db"


def pragma(path: Path, name: str):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]


def python(script: str, *args: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


# the file ------------------------------------------------------------------------------------------------------------


async def test_a_new_file_is_private_in_wal_mode_and_gives_space_back(path: Path):
    async with opened(path):
        assert pragma(path, "journal_mode") == "wal"
        assert pragma(path, "auto_vacuum") == 2
        assert path.stat().st_mode & 0o077 == 0


async def test_what_was_written_is_there_after_a_restart(path: Path):
    async with opened(path, synchronous="full") as engine:
        await Talk(SqlStore(engine)).answered("One", "Two")
    async with opened(path) as engine:
        assert await Talk(SqlStore(engine)).texts() == ["One", "Two"]


async def test_a_file_that_is_up_to_date_opens_without_alembic(path: Path):
    async with opened(path):
        pass
    script = """
        import asyncio, sys
        from dragoman.adapters.sql import SqliteEngine, SqlStore
        async def main():
            engine = SqliteEngine(sys.argv[1])
            await engine.start()
            await engine.stop()
        asyncio.run(main())
        print(sorted({"alembic", "sqlalchemy"} & set(sys.modules)))
    """
    out, err = python(script, path).communicate(timeout=PATIENCE)
    assert (out.strip(), err) == ("[]", "")


async def test_a_second_server_is_refused_with_a_way_out(path: Path):
    async with opened(path):
        with pytest.raises(StorageUnavailable, match="PostgreSQL"):
            await SqliteEngine(path).start()
    async with opened(path):
        pass


async def test_the_lock_dies_with_the_process(path: Path):
    script = """
        import asyncio, sys
        from dragoman.adapters.sql import SqliteEngine
        async def main():
            await SqliteEngine(sys.argv[1]).start()
            print("open", flush=True)
            await asyncio.Event().wait()
        asyncio.run(main())
    """
    with python(script, path) as server:
        assert server.stdout.readline() == "open\n"
        with pytest.raises(StorageUnavailable, match="Another server"):
            await SqliteEngine(path).start()
        server.kill()
        server.wait(PATIENCE)
    async with opened(path) as engine:
        assert await engine.check() is None


async def test_a_file_of_the_sdk_is_refused_and_untouched(path: Path):
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE agent_sessions (session_id TEXT PRIMARY KEY)")
        connection.execute("CREATE TABLE agent_messages (id INTEGER PRIMARY KEY, message_data TEXT)")
        connection.commit()
    before = hashlib.sha256(path.read_bytes()).digest()

    with pytest.raises(StorageUnavailable, match=r"dragoman import sessions.*SESSION_DB_PATH"):
        await SqliteEngine(path).start()

    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert list(path.parent.iterdir()) == [path]


async def test_another_applications_file_is_refused_and_untouched(path: Path):
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE runs (id INTEGER)")
        connection.commit()
    before = path.read_bytes()

    with pytest.raises(StorageUnavailable, match="another application"):
        await SqliteEngine(path).start()
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused(path: Path):
    path.parent.mkdir()
    path.write_text("Dear diary, " * 1000)

    with pytest.raises(StorageUnavailable, match="cannot be opened"):
        await SqliteEngine(path).start()
    assert path.read_text().startswith("Dear diary, ")


async def test_space_of_deleted_conversations_is_given_back(path: Path):
    async with opened(path) as engine:
        store = SqlStore(engine)
        talk = Talk(store)
        for i in range(40):
            await talk.answered("x" * 100_000, session=f"s{i}")
        pages = pragma(path, "page_count")
        for i in range(40):
            await store.sessions.delete(SARAH, f"s{i}")
        assert pragma(path, "page_count") == pages

        given = await store.give_back_space()

        assert pragma(path, "page_count") < pages / 3
        assert given == (pages - pragma(path, "page_count")) * pragma(path, "page_size")
        assert await store.give_back_space() == 0


# group commit --------------------------------------------------------------------------------------------------------


async def test_scripts_that_wait_together_are_committed_together_and_fail_apart(path: Path):
    async with opened(path) as engine:
        talk = Talk(SqlStore(engine))
        await talk.playing("busy", session="busy")
        hold, release = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow() -> Script[int]:
            loop.call_soon_threadsafe(hold.set)
            asyncio.run_coroutine_threadsafe(release.wait(), loop).result(PATIENCE)
            rows = yield "SELECT count(*) FROM runs", {}
            return rows[0][0]

        first = asyncio.ensure_future(engine.write(SERVER, slow))
        await hold.wait()
        options = RunOptions(on_busy="reject")
        waiting = [
            asyncio.ensure_future(talk.begin(f"{i}", session="busy" if i % 3 == 0 else f"s{i}", options=options))
            for i in range(30)
        ]
        await asyncio.sleep(0)  # let each hand in its script
        assert not any(future.done() for future in waiting)
        release.set()

        assert await first == 1
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(result, ConversationBusy) for result in results] == [i % 3 == 0 for i in range(30)]
        assert len((await talk.store.runs.list(SARAH, limit=100)).runs) == 21


async def test_a_mistake_in_sql_is_not_an_outage(path: Path):
    def wrong() -> Script[None]:
        yield "SELECT * FROM no_such_table", {}

    async with opened(path) as engine:
        for run in (engine.write, engine.read):
            with pytest.raises(sqlite3.OperationalError):
                await run(SERVER, wrong)
        assert await engine.check() is None


async def test_readers_cannot_write(path: Path):
    def write() -> Script[None]:
        yield "DELETE FROM runs", {}

    async with opened(path) as engine:
        with pytest.raises(StorageUnavailable):
            await engine.read(SERVER, write)


async def test_stopping_finishes_what_was_asked_for_and_takes_no_more(path: Path):
    engine = SqliteEngine(path)
    await engine.start()
    talk = Talk(SqlStore(engine))
    waiting = [asyncio.ensure_future(talk.begin(f"{i}", session=None)) for i in range(300)]
    await asyncio.sleep(0)
    await engine.stop()

    assert len(await asyncio.gather(*waiting)) == 300
    assert await engine.check() == "The database is not open."
    with pytest.raises(StorageUnavailable):
        await talk.begin("too late")


async def test_an_engine_that_was_stopped_can_be_started_again(path: Path):
    engine = SqliteEngine(path)
    for expected in (0, 1, 2):
        await engine.start()
        store = SqlStore(engine)
        assert await store.queue.waiting() == expected
        await Talk(store).queued(session=None)
        await engine.stop()


async def test_stopping_what_never_started_does_no_harm(path: Path):
    engine = SqliteEngine(path)
    await engine.stop()
    await engine.start()
    assert await Talk(SqlStore(engine)).queued(session=None)
    await engine.stop()
    await engine.stop()


async def test_whoever_no_longer_waits_does_not_disturb_the_others(path: Path):
    async with opened(path) as engine:
        talk = Talk(SqlStore(engine))
        tasks = [asyncio.ensure_future(talk.begin(f"{i}", session=None)) for i in range(20)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(result, asyncio.CancelledError) for result in results) == 10
        assert (await talk.begin("again", session=None)).fresh


# when things go wrong ------------------------------------------------------------------------------------------------

WRITER = """
    import asyncio, sys
    from pathlib import Path
    from dragoman.adapters.sql import SqliteEngine, SqlStore
    from dragoman.domain.events import Delta
    from tests.contracts.talk import Talk

    async def write(talk, name):
        for i in range(100_000):
            run = await talk.playing(f"{name}-{i}", session=name)
            await talk.write(run, Delta("text", "x"))
            await talk.finish(run, f"answer {i}")
            print(name, i, run.id, flush=True)

    async def main():
        engine = SqliteEngine(Path(sys.argv[1]))
        await engine.start()
        await asyncio.gather(*(write(Talk(SqlStore(engine)), f"s{n}") for n in range(8)))

    asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_kill_9(path: Path):
    acknowledged: list[tuple[str, int, str]] = []
    for _ in range(3):
        with python(WRITER.replace("range(100_000)", f"range({len(acknowledged)}, 100_000)"), path) as server:
            for _ in range(150):
                name, i, run_id = server.stdout.readline().split()
                acknowledged.append((name, int(i), run_id))
            server.send_signal(signal.SIGKILL)
            rest = server.stdout.read().splitlines(keepends=True)
            acknowledged += [
                (name, int(i), run_id) for name, i, run_id in (line.split() for line in rest if line.endswith("\n"))
            ]
        async with opened(path) as engine:
            store = SqlStore(engine)
            talk = Talk(store)
            for run in await store.queue.abandoned(talk.claim("new")):  # the next writer finds its conversations free
                await talk.finish(run, "interrupted")

    async with opened(path) as engine:
        store = SqlStore(engine)
        talk = Talk(store)
        texts = {name: await talk.texts(name) for name in {name for name, _, _ in acknowledged}}
        for name, i, run_id in acknowledged:
            assert (await store.runs.get(SARAH, run_id)).status is RunStatus.COMPLETED
            assert len(await store.events.read(SARAH, run_id, -1, 10)) == 3
            said = texts[name]
            assert said[said.index(f"{name}-{i}") + 1] == f"answer {i}"
    assert pragma(path, "integrity_check") == "ok"


async def test_a_full_disk_is_an_outage_that_ends(path: Path):
    async with opened(path) as engine:
        store = SqlStore(engine)
        talk = Talk(store)
        run = await talk.playing("One")
        await limit_pages(engine, pragma(path, "page_count") + 2)

        with pytest.raises(StorageUnavailable) as refused:
            await talk.begin("x" * 1_000_000, session="big")
        assert "full" not in str(refused.value)
        with pytest.raises(StorageUnavailable):
            await store.events.append([Append(run.id, 0, (Recorded(1, Delta("text", "x" * 100_000)),))])
        assert await talk.texts() == ["One"]  # reading goes on

        await limit_pages(engine, 1_000_000)
        assert await engine.check() is None
        await talk.finish(run)
        assert await talk.texts() == ["One", "Hi!"]
        with pytest.raises(NotFound):
            await talk.texts("big")


async def limit_pages(engine: SqliteEngine, pages: int) -> None:
    def script() -> Script[None]:
        yield f"PRAGMA max_page_count = {pages}", {}

    await engine.write(SERVER, script)


async def test_of_a_group_that_meets_a_full_disk_nothing_is_acknowledged_that_is_not_there(path: Path):
    async with opened(path) as engine:
        talk = Talk(SqlStore(engine))
        await limit_pages(engine, pragma(path, "page_count") + 40)

        results = await asyncio.gather(
            *(talk.begin("x" * 20_000, session=f"s{i}") for i in range(30)), return_exceptions=True
        )

        kept = {result.run.id for result in results if not isinstance(result, BaseException)}
        assert all(isinstance(r, StorageUnavailable) for r in results if isinstance(r, BaseException))
        assert len(kept) < 30
        assert {run.id for run in (await talk.store.runs.list(SARAH, limit=100)).runs} == kept


FULL_DISK = """
    import asyncio, resource, signal, sys
    from pathlib import Path
    from dragoman.adapters.sql import SqliteEngine, SqlStore
    from dragoman.domain.errors import StorageUnavailable
    from tests.contracts.talk import Talk

    async def main():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        engine = SqliteEngine(Path(sys.argv[1]))
        await engine.start()
        talk = Talk(SqlStore(engine))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, resource.RLIM_INFINITY))
        accepted = 0
        try:
            while True:
                await talk.begin("x" * 10_000, session=None)
                accepted += 1
        except StorageUnavailable:
            pass
        ready = await engine.check()
        for _ in range(200):  # a small write may still fit
            if ready is not None:
                break
            try:
                await talk.begin("x", session=None)
            except StorageUnavailable:
                ready = await engine.check()
        print("not ready" if ready else "ready", flush=True)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print("ready" if await engine.check() is None else "not ready", flush=True)
        await talk.begin("again", session="again")
        print(await talk.texts("again"), accepted > 5)
        await engine.stop()

    asyncio.run(main())
"""


def test_when_files_cannot_grow_readiness_says_so_until_they_can(path: Path):
    out, err = python(FULL_DISK, path).communicate(timeout=PATIENCE)
    assert (out.splitlines(), err) == (["not ready", "ready", "['again'] True"], "")


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailable, match="cannot be opened"):
        await SqliteEngine(tmp_path / "file" / "x.db").start()


async def test_a_writer_beside_us_is_waited_for(path: Path):
    async with opened(path) as engine:
        talk = Talk(SqlStore(engine))
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as beside:
            beside.execute("BEGIN IMMEDIATE")
            waiting = asyncio.ensure_future(talk.begin("One", session=None))
            assert await talk.store.queue.waiting() == 0  # reading does not wait
            assert not waiting.done()
            beside.execute("COMMIT")
            assert (await asyncio.wait_for(waiting, PATIENCE)).fresh

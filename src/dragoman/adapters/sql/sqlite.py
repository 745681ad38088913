"""SQLite as an engine: one writer thread with group commit, two readers, one process per file."""

import asyncio
import contextlib
import functools
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal, TypeVar

from dragoman.adapters.sql.engine import SERVER, By, Dialect, P, Params, Rows, Script, answers
from dragoman.adapters.sql.file import give_space_back, held, refuse_foreign, revision_in, too_new
from dragoman.adapters.sql.migrations import HEAD, upgrade
from dragoman.domain.errors import StorageUnavailable

T = TypeVar("T")

READERS = 2
MAX_GROUP = 256  # scripts per transaction
BUSY_TIMEOUT = 5.0  # seconds; the command line may write beside us, shortly

# What says that the database, not the statement, is at fault.
_OUTAGES = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}


@dataclass(frozen=True, slots=True)
class _Job:
    script: Script[Any]
    future: "asyncio.Future[Any]"


@dataclass(frozen=True, slots=True)
class _Outcome:
    job: _Job
    result: Any = None
    error: BaseException | None = None

    def deliver(self) -> None:
        if self.job.future.done():  # whoever asked has gone
            return
        if self.error is None:
            self.job.future.set_result(self.result)
        else:
            self.job.future.set_exception(self.error)


_Jobs = SimpleQueue[_Job | None]  # None: no more will come


class SqliteEngine:
    """Opens the file on ``start`` and holds it, alone among servers, until ``stop`` or the end of the process.

    ``shared`` is for whoever reads and writes shortly beside a server and never plays runs.
    """

    dialect: Dialect = "sqlite"

    def __init__(
        self, path: str | Path, *, synchronous: Literal["normal", "full"] = "normal", shared: bool = False
    ) -> None:
        self.path = Path(path)
        self.alone = not shared
        self._synchronous = synchronous
        self._writes: _Jobs = SimpleQueue()
        self._reads: _Jobs = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._open = False
        self._failing = False  # the last write found the database out of order
        self._resources = contextlib.ExitStack()

    # life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        writer, readers = await asyncio.to_thread(self._prepare)
        self._threads = [
            threading.Thread(target=self._write, args=(writer, loop), name="sqlite writer", daemon=True),
            *(
                threading.Thread(target=self._read, args=(reader, loop), name="sqlite reader", daemon=True)
                for reader in readers
            ),
        ]
        for thread in self._threads:
            thread.start()
        self._open = True

    async def stop(self) -> None:
        """Finish what was asked for, then close."""
        if not self._open:
            return
        self._open = False
        self._writes.put(None)
        for _ in self._threads[1:]:
            self._reads.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        self._threads = []
        await asyncio.to_thread(self._resources.close)

    async def check(self) -> str | None:
        if not self._open or not all(thread.is_alive() for thread in self._threads):
            return "The database is not open."
        try:
            await (self.write(SERVER, _probe_write) if self._failing else self.read(SERVER, _probe_read))
        except StorageUnavailable:
            return f"The database {self.path} cannot be {'written' if self._failing else 'read'}: see the log."
        return None

    async def give_back_space(self) -> int:
        given = 0
        try:
            while some := await asyncio.to_thread(give_space_back, self.path):
                given += some
        except sqlite3.Error as error:
            raise _explained(error) from error
        return given

    def connections(self) -> Mapping[str, int]:
        return {}

    # work --------------------------------------------------------------------------------------------------------

    async def write(self, by: By, script: Callable[P, Script[T]], *args: P.args, **kwargs: P.kwargs) -> T:  # noqa: ARG002
        return await self._submit(self._writes, script(*args, **kwargs))

    async def read(self, by: By, script: Callable[P, Script[T]], *args: P.args, **kwargs: P.kwargs) -> T:  # noqa: ARG002
        return await self._submit(self._reads, script(*args, **kwargs))

    def _submit(self, jobs: _Jobs, script: Script[T]) -> "asyncio.Future[T]":
        if not self._open:
            raise StorageUnavailable
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        jobs.put(_Job(script, future))
        return future

    def _write(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        while group := _next_group(self._writes):
            outcomes = _commit(connection, group)
            self._failing = any(isinstance(outcome.error, StorageUnavailable) for outcome in outcomes)
            loop.call_soon_threadsafe(_deliver, outcomes)

    def _read(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        while job := self._reads.get():
            loop.call_soon_threadsafe(_snapshot(connection, job).deliver)

    # opening -----------------------------------------------------------------------------------------------------

    def _prepare(self) -> tuple[sqlite3.Connection, list[sqlite3.Connection]]:
        with contextlib.ExitStack() as stack:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                refuse_foreign(self.path)
                if self.alone:
                    stack.enter_context(held(self.path))
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))  # conversations are nobody else's business
                writer = stack.enter_context(contextlib.closing(self._connect()))
                if self.alone:
                    self._migrate(writer)
                elif revision_in(writer) != HEAD:
                    with held(self.path):  # never under a server that is running
                        self._migrate(writer)
                readers = [stack.enter_context(contextlib.closing(self._connect())) for _ in range(READERS)]
                for reader in readers:
                    reader.execute("PRAGMA query_only = ON")
            except (OSError, sqlite3.Error) as error:
                raise StorageUnavailable(f"The database {self.path} cannot be opened.") from error
            self._resources = stack.pop_all()
        return writer, readers

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        for pragma in (
            "auto_vacuum = INCREMENTAL",  # takes effect on a new file, and only before journal_mode
            "journal_mode = WAL",
            f"synchronous = {self._synchronous}",
            "foreign_keys = ON",
            "journal_size_limit = 67108864",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        revision = revision_in(connection)
        if revision == HEAD:
            return
        if revision is not None and revision > HEAD:
            raise StorageUnavailable(too_new(self.path, revision))
        from sqlalchemy import create_engine, event
        from sqlalchemy.exc import DBAPIError

        engine = create_engine("sqlite://", creator=self._connect)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        try:
            with engine.begin() as transaction:
                upgrade(transaction)
        except DBAPIError as error:
            raise StorageUnavailable(f"The schema of {self.path} could not be brought up to date.") from error
        finally:
            engine.dispose()


# jobs ----------------------------------------------------------------------------------------------------------------


def _deliver(outcomes: Sequence[_Outcome]) -> None:
    for outcome in outcomes:
        outcome.deliver()


def _next_group(jobs: _Jobs) -> list[_Job]:
    """Everything that waits, at least one job; empty when no more will come."""
    group: list[_Job] = []
    job = jobs.get()
    while job is not None:
        group.append(job)
        if len(group) == MAX_GROUP:
            return group
        try:
            job = jobs.get_nowait()
        except Empty:
            return group
    if group:
        jobs.put(None)  # the end is for the next call
    return group


def _commit(connection: sqlite3.Connection, group: Sequence[_Job]) -> list[_Outcome]:
    """All jobs in one transaction. If it cannot be committed, none of them has happened."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [_in_savepoint(connection, job) for job in group]
        connection.execute("COMMIT")
    except Exception as error:
        failure = _explained(error)
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()
        return [_Outcome(job, error=failure) for job in group]
    return outcomes


def _in_savepoint(connection: sqlite3.Connection, job: _Job) -> _Outcome:
    """One job, whose failure undoes its own work and nothing else."""
    connection.execute("SAVEPOINT script")
    try:
        result = _drive(connection, job.script)
    except Exception as error:
        if not connection.in_transaction:  # SQLite gave up the whole transaction, the others' work with it
            raise
        connection.execute("ROLLBACK TO script")
        connection.execute("RELEASE script")
        return _Outcome(job, error=_explained(error))
    connection.execute("RELEASE script")
    return _Outcome(job, result)


def _snapshot(connection: sqlite3.Connection, job: _Job) -> _Outcome:
    try:
        connection.execute("BEGIN")
        result = _drive(connection, job.script)
    except Exception as error:
        return _Outcome(job, error=_explained(error))
    else:
        return _Outcome(job, result)
    finally:
        with contextlib.suppress(sqlite3.Error):
            connection.rollback()


def _drive(connection: sqlite3.Connection, script: Script[T]) -> T:
    try:
        statement = next(script)
        while True:
            statement = script.send(_execute(connection, *statement))
    except StopIteration as stop:
        result: T = stop.value
        return result


def _execute(connection: sqlite3.Connection, sql: str, params: Params | Sequence[Params]) -> Rows:
    if isinstance(params, dict):
        return connection.execute(_without_row_locks(sql), params).fetchall()
    if answers(sql):
        return [row for one in params for row in connection.execute(_without_row_locks(sql), one)]
    connection.executemany(sql, params)
    return ()


@functools.cache
def _without_row_locks(sql: str) -> str:
    return re.sub(r"\s+FOR (UPDATE|SHARE)( SKIP LOCKED)?\s*$", "", sql)


def _explained(error: Exception) -> Exception:
    """The error a caller gets: an outage has a name, everything else is a fault of ours and stays what it is."""
    if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _OUTAGES:
        outage = StorageUnavailable()
        outage.__cause__ = error
        return outage
    return error


def _probe_read() -> Script[None]:
    yield "SELECT 1 FROM conversations LIMIT 1", {}


def _probe_write() -> Script[None]:
    """A write that changes nothing anybody reads, but must reach the disk."""
    yield f"PRAGMA user_version = {int(time.time()) & 0x7FFFFFFF}", {}

"""PostgreSQL as an engine: a pool of connections, and transactions that survive a deadlock or a lost connection.

Scripts run at READ COMMITTED; what must not change under them they lock. Statements that return nothing are sent without
waiting for the ones before, so a script costs as many round trips as it asks questions, and COMMIT travels with its last
words.

When a transaction fails before its COMMIT was sent, nothing has happened, and where that may help it runs again from its
beginning: after a deadlock, on a connection that the server closed. When the answer to a COMMIT is lost, the server is
asked what became of the transaction, by its id. So nothing is done twice, and nothing that was done is reported as failed,
unless the server stays away for longer than ``PATIENCE``: then the answer is ``StorageUnavailable``, and if it was a claim,
the run is abandoned when its lease is over.
"""

import asyncio
import contextlib
import functools
import logging
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Generic, TypeVar

import psycopg
from psycopg import AsyncConnection, AsyncCursor, errors
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper
from psycopg_pool import AsyncConnectionPool

from dragoman.adapters.sql import walls
from dragoman.adapters.sql.engine import SERVER, By, Dialect, P, Params, Rows, Script, Statement, answers
from dragoman.adapters.sql.migrations import VERSION_TABLE
from dragoman.adapters.sql.schema import postgres_url, unfit, unreachable
from dragoman.domain.errors import StorageUnavailable
from dragoman.domain.identity import Principal

logger = logging.getLogger(__name__)

T = TypeVar("T")
Connection = AsyncConnection[tuple[Any, ...]]
Cursor = AsyncCursor[tuple[Any, ...]]

PATIENCE = 10.0  # seconds to wait for a free connection, or for news of a transaction
IMPATIENCE = 1.0  # the same for a connection, once the database was found out of order
CONNECT: dict[str, Any] = {"autocommit": True, "connect_timeout": 5, "fallback_application_name": "dragoman"}
PAUSES = (0.0, 0.05, 0.2, 0.5)  # seconds, about, before a transaction is tried again

SESSION = b"""
SET statement_timeout = '30s';
SET lock_timeout = '10s';
SET idle_in_transaction_session_timeout = '60s';
SET default_transaction_read_only = on
"""
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
BEGIN_READING = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
ID = "SELECT CAST(pg_current_xact_id() AS TEXT)"
OUTCOME = "SELECT pg_xact_status(CAST(:id AS xid8))"
REVISION = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - a constant

REQUESTED = b" /* requested */"
"""Behind each statement of a request. A text that is prepared once for both roles would be planned anew whenever they take turns."""

# SQLSTATEs, or classes of them, by which the server says that the statement is not to blame.
_OUTAGES = ("08", "25006", "53", "57", "58")


class PostgresEngine:
    """Any number of processes share the database. Its schema is ``dragoman migrate``'s business, never a server's."""

    dialect: Dialect = "postgresql"
    alone = False

    def __init__(self, url: str, *, pool_size: int = 10, max_overflow: int = 20, patience: float = PATIENCE) -> None:
        self._url = postgres_url(url)
        self._patience = patience
        self._failing = False  # the last one who wanted a connection got none
        self._in_use = 0
        self._requests = ""  # the role of requests
        self._several: set[Callable[..., Any]] = set()  # scripts that read more than once
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            self._url,
            kwargs=CONNECT,
            min_size=pool_size,
            max_size=pool_size + max_overflow,
            configure=_configure,
            reconnect_timeout=2.0,
            open=False,
            name="dragoman",
        )

    # life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        try:
            async with await AsyncConnection.connect(self._url, **CONNECT) as connection:
                refusal = await self._unfit(connection)
        except psycopg.Error as error:
            raise StorageUnavailable(unreachable(self._url)) from error
        if refusal is not None:
            raise StorageUnavailable(refusal)
        await self._pool.open()

    async def stop(self) -> None:
        await self._pool.close()

    async def check(self) -> str | None:
        try:
            async with self._connection(IMPATIENCE) as connection:
                return await self._unfit(connection)
        except (StorageUnavailable, _TryAgain):
            return "The database does not answer, or has no connection left for us: see the log."

    async def _unfit(self, connection: Connection) -> str | None:
        """Why a server may not work with what is there."""
        refusal = unfit(await _revision(connection))
        if refusal is None:
            standing = await _Transaction(connection, BEGIN_READING, walls.standing()).run()
            self._requests, refusal = standing.requests, standing.refusal
        return refusal

    async def give_back_space(self) -> int:
        return 0  # autovacuum does

    def connections(self) -> Mapping[str, int]:
        return {"in_use": self._in_use, "waiting": self._pool.get_stats().get("requests_waiting", 0)}

    # work --------------------------------------------------------------------------------------------------------

    async def write(self, by: By, script: Callable[P, Script[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._persistently(lambda: self._transact(BEGIN, by, script(*args, **kwargs)))

    async def read(self, by: By, script: Callable[P, Script[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        if script not in self._several:  # a single statement is a snapshot by itself
            try:
                return await self._persistently(lambda: self._ask(by, script(*args, **kwargs)))
            except _ReadsOn:
                self._several.add(script)
        return await self._persistently(lambda: self._transact(BEGIN_READING, by, script(*args, **kwargs)))

    async def _persistently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try again what has not happened, as long as that may help."""
        for pause in PAUSES:
            try:
                return await attempt()
            except _TryAgain as failure:
                logger.info("a transaction is tried again", extra={"reason": type(failure.__cause__).__name__})
                await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311 - parts those who collided
        try:
            return await attempt()
        except _TryAgain as failure:
            raise StorageUnavailable from failure.__cause__

    async def _ask(self, by: By, script: Script[T]) -> T:
        statement = next(script)
        async with self._connection() as connection:
            if by is SERVER:
                rows = await _send(connection, *statement)
            else:
                async with connection.pipeline():  # what is sent in one go is one transaction
                    await _sent(connection, *self._become(by))
                    cursor = await _sent(connection, *statement, REQUESTED)
                rows = await _fetched(cursor, *statement)
        try:
            script.send(rows)
        except StopIteration as stop:
            result: T = stop.value
            return result
        raise _ReadsOn

    async def _transact(self, begin: str, by: By, script: Script[T]) -> T:
        transaction: _Transaction[T] | None = None
        try:
            async with self._connection() as connection:
                transaction = _Transaction(connection, begin, script, () if by is SERVER else [self._become(by)])
                return await transaction.run()
        except (StorageUnavailable, _TryAgain):
            if transaction is None or not transaction.in_doubt or not await self._has_happened(transaction.id):
                raise
            return transaction.result

    def _become(self, principal: Principal) -> Statement:
        return walls.BECOME, walls.becoming(self._requests, principal)

    async def _has_happened(self, id: str) -> bool:
        """What became of a transaction whose COMMIT was sent and not answered."""
        deadline = monotonic() + self._patience
        while True:
            with contextlib.suppress(StorageUnavailable, _TryAgain):
                async with self._connection() as connection:
                    ((outcome,),) = await _send(connection, OUTCOME, {"id": id})
                if outcome != "in progress":
                    return bool(outcome == "committed")
            if monotonic() > deadline:
                raise StorageUnavailable
            await asyncio.sleep(0.1)

    @contextlib.asynccontextmanager
    async def _connection(self, patience: float | None = None) -> AsyncIterator[Connection]:
        """A connection for a moment. What goes wrong on it leaves as an error of ours, and leaves nothing open behind."""
        try:
            connection = await self._pool.getconn(patience or (IMPATIENCE if self._failing else self._patience))
        except psycopg.Error as error:
            self._failing = True
            raise StorageUnavailable from error
        self._failing = False
        self._in_use += 1
        try:
            yield connection
        except psycopg.Error as error:
            raise _explained(error, connection) from error
        finally:
            self._in_use -= 1
            await self._give_back(connection)

    async def _give_back(self, connection: Connection) -> None:
        if connection.pgconn.transaction_status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN):
            with contextlib.suppress(psycopg.Error):
                await connection.rollback()
        await self._pool.putconn(connection)
        if connection.closed:  # the idle ones may be dead as well: look before somebody relies on them
            await self._pool.check()


class _TryAgain(Exception):
    """It has not happened, and may succeed the next time."""


class _ReadsOn(Exception):
    """A script has a second question, which must be answered from the first one's snapshot."""


class _Transaction(Generic[T]):
    """A script on its way through one connection."""

    def __init__(
        self, connection: Connection, begin: str, script: Script[T], opening: Sequence[Statement] = ()
    ) -> None:
        self.id = ""
        self.in_doubt = False  # COMMIT is on its way
        self.result: T
        self._connection = connection
        self._begin = begin
        self._opening = opening
        self._mark = REQUESTED if opening else b""
        self._script = script

    async def run(self) -> T:
        async with self._connection.pipeline():
            await _sent(self._connection, self._begin, {})
            identify = await _sent(self._connection, ID, {}) if self._begin == BEGIN else None
            for statement in self._opening:
                await _sent(self._connection, *statement)
            self.result = await self._drive()
            if identify is not None:
                ((self.id,),) = await identify.fetchall()  # arrived with the first answer
                self.in_doubt = True
            await _sent(self._connection, "COMMIT", {})
        return self.result

    async def _drive(self) -> T:
        try:
            statement = next(self._script)
            while True:
                statement = self._script.send(await _send(self._connection, *statement, self._mark))
        except StopIteration as stop:
            result: T = stop.value
            return result


async def _send(connection: Connection, sql: str, params: Params | Sequence[Params], mark: bytes = b"") -> Rows:
    return await _fetched(await _sent(connection, sql, params, mark), sql, params)


async def _sent(connection: Connection, sql: str, params: Params | Sequence[Params], mark: bytes = b"") -> Cursor:
    """In a pipeline nothing is waited for."""
    logger.debug("%s", sql)
    cursor = connection.cursor()
    if isinstance(params, dict):
        await cursor.execute(translated(sql) + mark, params)
    else:
        await cursor.executemany(translated(sql) + mark, params, returning=answers(sql))
    return cursor


async def _fetched(cursor: Cursor, sql: str, params: Params | Sequence[Params]) -> Rows:
    """Rows, if the statement has any to give."""
    if not answers(sql):
        return ()
    if isinstance(params, dict):
        return await cursor.fetchall()
    return [row async for result in cursor.results() for row in await result.fetchall()]


# SQL -----------------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"'(?:[^']|'')*'|::|:([a-z_]\w*)|%", re.IGNORECASE)


@functools.cache
def translated(sql: str) -> bytes:
    """As the driver wants it: ``:name`` becomes ``%(name)s``, outside of literals and casts."""

    def replace(token: re.Match[str]) -> str:
        return f"%({token[1]})s" if token[1] else token[0].replace("%", "%%")

    return _TOKEN.sub(replace, sql).encode()


async def _configure(connection: Connection) -> None:
    connection.adapters.register_dumper(int, Int8Dumper)  # one type, so that each statement is prepared once
    await connection.execute(SESSION)


async def _revision(connection: Connection) -> str | None:
    try:
        cursor = await connection.execute(REVISION.encode())
        row = await cursor.fetchone()
    except errors.UndefinedTable:
        return None
    return None if row is None else str(row[0])


def _explained(error: psycopg.Error, connection: Connection) -> Exception:
    """A collision and a lost connection may be tried again, an outage has a name; the rest is a fault of ours."""
    if isinstance(error, errors.SerializationFailure | errors.DeadlockDetected) or connection.closed:
        return _TryAgain()
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return StorageUnavailable()
    return StorageUnavailable() if (error.sqlstate or "").startswith(_OUTAGES) else error

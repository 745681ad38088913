"""``Signals`` over LISTEN and NOTIFY, on one connection of their own.

All processes listen on one channel, and each on one of its name. What is sent within a few milliseconds goes out in one
statement, which is a transaction of its own: a NOTIFY takes a lock of the whole database when it commits, and nothing else
shall wait for that. The same connection shows the others that this process lives (``presence``). While the connection is lost signals are lost; when it is back, everybody here looks at everything.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Iterator
from typing import Any, get_args

import psycopg
from psycopg import AsyncConnection, Notify, sql

from dragoman.adapters.sql import presence
from dragoman.adapters.sql.postgres import CONNECT
from dragoman.adapters.sql.schema import postgres_url
from dragoman.ports.signals import Hearer, Signal, SignalKind

logger = logging.getLogger(__name__)

ALL = "dragoman"
GAP = 0.005
"""Seconds between two statements: what comes meanwhile travels together."""
RUNS_PER_PAYLOAD = 200
"""A payload has less than 8,000 bytes."""
BACK_OFF = (0.1, 0.2, 0.5, 1.0, 2.0)  # seconds between attempts to connect
QUIET = 20.0  # seconds without a word after which the connection is tried
STUCK = 10.0  # seconds after which a statement that small counts as lost
KINDS = frozenset(get_args(SignalKind))

NOTIFY = "SELECT pg_notify(channel, payload) FROM unnest(%s::text[], %s::text[]) AS sent (channel, payload)"

Connection = AsyncConnection[tuple[Any, ...]]


class PostgresSignals:
    def __init__(self, url: str, name: str) -> None:
        self._url = postgres_url(url)
        self._name = name  # of this process, unique per boot
        self._pending: dict[tuple[str, SignalKind], set[str]] = {}
        self._work = asyncio.Event()  # something to send, or to read
        self._listening = False
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self, hearer: Hearer) -> None:
        self._stopping = False
        self._task = asyncio.get_running_loop().create_task(self._persist(hearer), name="signals")

    async def stop(self) -> None:
        self._stopping = True
        self._work.set()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await asyncio.wait([self._task])
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def check(self) -> str | None:
        if self._listening and self._task is not None and not self._task.done():
            return None
        return "Other processes cannot be heard at the moment; what they tell us is found out by asking, more slowly."

    def send(self, kind: SignalKind, run_ids: Collection[str] = (), *, to: str | None = None) -> None:
        if self._listening:
            self._pending.setdefault((_channel(to), kind), set()).update(run_ids)
            self._work.set()

    # the connection ----------------------------------------------------------------------------------------------

    async def _persist(self, hearer: Hearer) -> None:
        failures = 0
        while not self._stopping:
            try:
                async with self._connected() as connection:
                    logger.debug("listening to other processes")
                    failures = 0
                    hearer.hear(Signal("missed"))
                    await self._converse(connection, hearer)
            except (psycopg.Error, TimeoutError) as error:
                logger.warning("other processes cannot be heard; trying again", extra={"reason": type(error).__name__})
            except Exception:
                logger.exception("listening to other processes failed")
            if not self._stopping:
                await asyncio.sleep(BACK_OFF[min(failures, len(BACK_OFF) - 1)])
                failures += 1

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        connection: Connection = await AsyncConnection.connect(self._url, **CONNECT)
        try:
            for channel in (ALL, _channel(self._name)):
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            await connection.execute(presence.SHOW, [self._name])
            self._listening = True
            yield connection
        finally:
            self._listening = False
            self._pending.clear()
            await connection.close()

    async def _converse(self, connection: Connection, hearer: Hearer) -> None:
        """Send and read, whatever there is, until we are told to stop and everything is sent."""
        while not self._stopping or self._pending:
            quiet = not await self._something(connection)
            if self._pending or quiet:  # sent with nothing in it, it tells whether the connection still works
                async with asyncio.timeout(STUCK):
                    await self._send_pending(connection)
            async for notify in connection.notifies(timeout=GAP):  # the gap, and what comes in it
                for signal in self._read(notify, connection.info.backend_pid):
                    hearer.hear(signal)

    async def _something(self, connection: Connection) -> bool:
        """Wait until there is something to send or to read; but not forever."""
        loop, socket = asyncio.get_running_loop(), connection.fileno()
        loop.add_reader(socket, self._work.set)
        try:
            async with asyncio.timeout(QUIET):
                await self._work.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(socket)
        self._work.clear()
        return True

    async def _send_pending(self, connection: Connection) -> None:
        pending, self._pending = self._pending, {}
        messages = [
            (channel, payload)
            for (channel, kind), run_ids in pending.items()
            for payload in _payloads(kind, self._name, run_ids)
        ]
        await connection.execute(NOTIFY, [[channel for channel, _ in messages], [payload for _, payload in messages]])

    def _read(self, notify: Notify, us: int) -> Iterator[Signal]:
        if notify.pid == us:
            return
        kind, sender, *run_ids = notify.payload.split(" ")
        if kind in KINDS:  # another version may know others
            yield Signal(kind, frozenset(run_ids), sender)  # type: ignore[arg-type]


def _channel(process: str | None) -> str:
    return ALL if process is None else f"{ALL}_{process}"


def _payloads(kind: SignalKind, sender: str, run_ids: Collection[str]) -> Iterator[str]:
    ids = sorted(run_ids)
    for start in range(0, len(ids) or 1, RUNS_PER_PAYLOAD):
        yield " ".join([kind, sender, *ids[start : start + RUNS_PER_PAYLOAD]])

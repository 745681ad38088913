"""The tables in which the Agents SDK's own sessions keep conversations: two per application, under any names.

``SQLiteSession``, ``AsyncSQLiteSession``, ``SQLAlchemySession`` and the base tables of ``AdvancedSQLiteSession`` agree on them.
Rows are in the order of their ids. A source is opened so that it cannot be changed.
"""

import asyncio
import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import orjson
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    exists,
    func,
    insert,
    inspect,
    literal,
    literal_column,
    select,
    table,
    update,
)
from sqlalchemy import column as plain
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from sqlalchemy.types import TIMESTAMP

from dragoman.adapters.sql.schema import place, postgres_url
from dragoman.domain.errors import Conflict, Invalid, StorageUnavailable
from dragoman.domain.items import Content
from dragoman.domain.text import storable_json
from dragoman.ports.transfer import Entry, Kept

T = TypeVar("T")

BRANCHES = "message_structure"
"""Where ``AdvancedSQLiteSession`` notes which branch a message is on."""
MAIN = "main"
PLACEHOLDER_ID = "__fake_id__"
"""The SDK's name for an item to which its endpoint gave none."""


class SdkSessions:
    """``Shelf``."""

    def __init__(self, url: str, tables: tuple[str, str], *, writable: bool = False) -> None:
        """``url`` is ``sqlite:///…`` or ``postgresql://…``. A writable one gets the tables if it has none."""
        self._where, self._engine = _engine(url, writable=writable)
        self._writable = writable
        self._sessions, self._messages = _tables(*tables)

    async def keys(self) -> Sequence[str]:
        return await self._do(self._keys)

    async def read(self, key: str) -> Kept:
        return await self._do(lambda connection: self._read(connection, key))

    async def extend(self, key: str, kept: Kept, keep: int, entries: Sequence[Entry]) -> None:
        await self._do(lambda connection: self._extend(connection, key, kept, keep, entries))

    async def aclose(self) -> None:
        await asyncio.to_thread(self._engine.dispose)

    # in a thread -------------------------------------------------------------------------------------------------

    async def _do(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.to_thread(self._transaction, work)

    def _transaction(self, work: Callable[[Connection], T]) -> T:
        with self._explained(), self._engine.begin() as connection:
            self._prepare(connection)
            return work(connection)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, sqlite3.Error, OSError) as error:
            raise StorageUnavailable(f"{self._where} cannot be {'written' if self._writable else 'read'}.") from error

    def _prepare(self, connection: Connection) -> None:
        if self._writable:
            self._messages.metadata.create_all(connection)
            return
        for wanted in (self._sessions, self._messages):
            if not inspect(connection).has_table(wanted.name, schema=wanted.schema):
                raise Invalid(f"{self._where} has no table {wanted.fullname!r}. Name the two tables: --tables A,B.")

    def _keys(self, connection: Connection) -> list[str]:
        """Those with messages, also the ones that no row of the other table knows: SQLite does not insist."""
        ids = select(self._messages.c.session_id).distinct().order_by(self._messages.c.session_id)
        return [str(id) for id in connection.scalars(ids)]

    def _read(self, connection: Connection, key: str) -> Kept:
        entries: list[Entry] = []
        unreadable: list[str] = []
        newest = 0
        rows = connection.execute(self._rows(connection, key))
        for id, data, at, on_main in rows:
            newest = id
            content = _content(data)
            if not on_main:
                unreadable.append(f"row {id}: it is on another branch than {MAIN!r}")
            elif content is None:
                unreadable.append(f"row {id}: it is no item in JSON")
            else:
                entries.append(Entry(content, _moment(at), f"row {id}"))
        version = f"{len(entries) + len(unreadable)} up to {newest}" if newest else None
        return Kept(tuple(entries), tuple(unreadable), version)

    def _rows(self, connection: Connection, key: str) -> Any:
        messages = self._messages
        on_main: Any = literal(True)
        if inspect(connection).has_table(BRANCHES):
            noted = table(BRANCHES, plain("message_id"), plain("branch_id"))
            mine = noted.c.message_id == messages.c.id
            on_main = ~exists().where(mine) | exists().where(mine, noted.c.branch_id == MAIN)
        # Their times are as different as their writers; they are read as they are.
        at: Any = literal_column("created_at")
        columns = (messages.c.id, messages.c.message_data, at, on_main)
        return select(*columns).where(messages.c.session_id == key).order_by(messages.c.id)

    def _extend(self, connection: Connection, key: str, kept: Kept, keep: int, entries: Sequence[Entry]) -> None:
        sessions, messages = self._sessions, self._messages
        self._lock(connection, key)
        if self._read(connection, key).version != kept.version:
            raise Conflict("The conversation has changed since it was read.")
        if superseded := [int(entry.id.removeprefix("row ")) for entry in kept.entries[keep:]]:
            connection.execute(delete(messages).where(messages.c.id.in_(superseded)))
        rows = [{"session_id": key, "message_data": json.dumps(entry.content)} for entry in entries]
        connection.execute(insert(messages), rows)
        connection.execute(update(sessions).where(sessions.c.session_id == key).values(updated_at=func.now()))

    def _lock(self, connection: Connection, key: str) -> None:
        """The session's row, made if there is none, is held until the end of the transaction."""
        sessions = self._sessions
        there = select(literal(key)).where(~exists().where(sessions.c.session_id == key))
        connection.execute(insert(sessions).from_select(["session_id"], there))
        connection.execute(select(sessions.c.session_id).where(sessions.c.session_id == key).with_for_update())


def named(tables: str) -> tuple[str, str]:
    """Two names, written as ``sessions,messages``."""
    names = [name.strip() for name in tables.split(",")]
    if len(names) != 2 or not all(re.fullmatch(r"\w+(\.\w+)?", name) for name in names):
        raise Invalid(
            "--tables names two tables, sessions before messages. Example: --tables agent_sessions,agent_messages"
        )
    return names[0], names[1]


def _tables(sessions_name: str, messages_name: str) -> tuple[Table, Table]:
    """As the SDK creates them."""
    metadata = MetaData()
    sessions_schema, sessions_name = _split(sessions_name)
    messages_schema, messages_name = _split(messages_name)
    sessions = Table(
        sessions_name,
        metadata,
        Column("session_id", String, primary_key=True),
        Column("created_at", TIMESTAMP, server_default=func.now(), nullable=False),
        Column("updated_at", TIMESTAMP, server_default=func.now(), nullable=False),
        schema=sessions_schema,
    )
    messages = Table(
        messages_name,
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=True),
        Column("session_id", String, ForeignKey(sessions.c.session_id, ondelete="CASCADE"), nullable=False),
        Column("message_data", Text, nullable=False),
        Column("created_at", TIMESTAMP, server_default=func.now(), nullable=False),
        Index(f"idx_{messages_name}_session_time", "session_id", "created_at"),
        schema=messages_schema,
        sqlite_autoincrement=True,
    )
    return sessions, messages


def _split(name: str) -> tuple[str | None, str]:
    schema, _, table = name.rpartition(".")
    return schema or None, table


# rows ----------------------------------------------------------------------------------------------------------------


def _content(data: Any) -> Content | None:
    """A stored item in the form in which we keep items, or ``None`` if it cannot be read, or not be stored."""
    try:
        content = storable_json(json.loads(data, parse_constant=lambda _: None))
        orjson.dumps(content)
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    if content.get("id") == PLACEHOLDER_ID:
        del content["id"]
    return content if "type" in content else {"type": "message", **content}


def _moment(at: Any) -> datetime | None:
    """What the database says, taken for UTC."""
    try:
        moment = at if isinstance(at, datetime) else datetime.fromisoformat(at)
    except (TypeError, ValueError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


# databases -----------------------------------------------------------------------------------------------------------


def _engine(url: str, *, writable: bool) -> tuple[str, Engine]:
    """What the database may be called, and the way to it."""
    if re.match(r"postgres(ql)?(\+\w+)?://.", url):
        read_only = {"options": "-c default_transaction_read_only=on"}
        address = postgres_url(url).replace("postgresql://", "postgresql+psycopg://", 1)
        return place(url), create_engine(address, connect_args={} if writable else read_only)
    prefix = re.match(r"sqlite(\+\w+)?:///.", url)
    if prefix is None:
        raise Invalid(f"{place(url)} is no database this works with. Example: sqlite:///conversations.db")
    path = Path(url[prefix.end() - 1 :])
    if not writable and not path.is_file():
        raise Invalid(f"There is no file {path}.")
    return str(path), create_engine("sqlite://", creator=lambda: _sqlite(path, writable=writable), poolclass=NullPool)


def _sqlite(path: Path, *, writable: bool) -> sqlite3.Connection:
    address = path.absolute().as_uri()
    if writable:
        connection = sqlite3.connect(f"{address}?mode=rwc", uri=True, timeout=5)
        connection.execute("PRAGMA journal_mode = WAL")  # as the SDK does
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection
    # One that nobody has open is read in the one way that leaves no files beside it.
    alone = _writes_ahead(path) and not path.with_name(f"{path.name}-wal").exists()
    connection = sqlite3.connect(f"{address}?mode=ro{'&immutable=1' if alone else ''}", uri=True, timeout=5)
    connection.text_factory = lambda text: text.decode(errors="replace")
    return connection


def _writes_ahead(path: Path) -> bool:
    """Whether the file's header says that it has a write-ahead log."""
    with path.open("rb") as file:
        return file.read(20)[18:] == b"\x02\x02"

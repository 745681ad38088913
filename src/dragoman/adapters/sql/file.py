"""A SQLite database as a file: whose it is, who holds it, and its copies."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from dragoman.adapters.sql.migrations import HEAD, VERSION_TABLE
from dragoman.domain.errors import StorageUnavailable

SDK_TABLES = {"agent_sessions", "agent_messages"}
VACUUM_STEP = 1000
"""Pages given back in one go; between two of them others may write."""


# whose it is ---------------------------------------------------------------------------------------------------------


def revision_in(connection: sqlite3.Connection) -> str | None:
    if VERSION_TABLE not in _tables(connection):
        return None
    row = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 - a constant
    return None if row is None else str(row[0])


def too_new(path: Path, revision: str) -> str:
    return (
        f"The database {path} was written by a newer version of Dragoman (schema {revision}, this version"
        f" knows {HEAD}). Upgrade Dragoman, or choose another SESSION_DB_PATH."
    )


def refuse_foreign(path: Path) -> None:
    """A file that holds other people's tables and none of ours stays as it is."""
    if not path.exists() or not path.stat().st_size:
        return
    with reading(path) as connection:
        tables = _tables(connection)
    if not tables or VERSION_TABLE in tables:
        return
    if tables & SDK_TABLES:
        raise StorageUnavailable(
            f"{path} holds sessions of the Agents SDK. It was left as it is; `dragoman import sessions` will take them"
            " over. Until then choose another file with SESSION_DB_PATH."
        )
    raise StorageUnavailable(
        f"{path} holds the tables of another application. It was left as it is; choose another file with"
        " SESSION_DB_PATH."
    )


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


# who holds it --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold the lock file beside the database. The system releases it when the process ends, however it ends."""
    lock = os.open(f"{path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageUnavailable(
                f"Another server is using {path}. On SQLite one server plays the runs; to start more of them, use"
                " PostgreSQL (DATABASE_URL=postgresql://...)."
            ) from None
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot change the file."""
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        yield connection


# its copies ----------------------------------------------------------------------------------------------------------


def backup(path: Path, target: Path) -> int:
    """Copy the database as it is at this moment, whoever is writing to it. Returns the size of the copy."""
    _check_ours(path)
    if target.exists():
        raise StorageUnavailable(f"{target} exists already. It was left as it is; choose another name.")
    unfinished = target.with_name(f"{target.name}.part")
    os.close(os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600))
    with reading(path) as source, contextlib.closing(sqlite3.connect(unfinished)) as copy:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, nothing beside it
    unfinished.replace(target)
    return target.stat().st_size


def restore(path: Path, source: Path) -> None:
    """Replace the content of the database by that of a copy, in one transaction. No server may hold it."""
    _check_ours(source)
    path.parent.mkdir(parents=True, exist_ok=True)
    refuse_foreign(path)
    with held(path), reading(source) as copy:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with contextlib.closing(sqlite3.connect(path)) as database:
            copy.backup(database)
            database.execute("PRAGMA journal_mode = WAL")


def vacuum(path: Path) -> int:
    """Return deleted space to the file system. How many bytes it was. A server may be running."""
    _check_ours(path)
    return sum(iter(lambda: give_space_back(path), 0))


def give_space_back(path: Path) -> int:
    """Return some of the deleted space to the file system, so little that others can write soon. How many bytes it was."""
    with contextlib.closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        before = _size(connection)
        if _pragma(connection, "freelist_count"):
            connection.execute(f"PRAGMA incremental_vacuum({VACUUM_STEP})").fetchall()
        else:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return before - _size(connection)


def _check_ours(path: Path) -> None:
    """A whole database of ours, of this version or an earlier one."""
    if not path.is_file():
        raise StorageUnavailable(f"There is no file {path}.")
    with reading(path) as connection:
        try:
            revision = revision_in(connection)
            sound = connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        except sqlite3.DatabaseError:
            revision, sound = None, False
    if revision is None or not sound:
        raise StorageUnavailable(f"{path} is not a database of Dragoman, or it is damaged.")
    if revision > HEAD:
        raise StorageUnavailable(too_new(path, revision))


def _size(connection: sqlite3.Connection) -> int:
    return _pragma(connection, "page_count") * _pragma(connection, "page_size")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value

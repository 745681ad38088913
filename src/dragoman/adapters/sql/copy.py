"""Copies a SQLite database into a PostgreSQL one, and proves that both hold the same.

A copy can be repeated: rows that are there already are brought up to date. A target that holds anything the source does
not know is left as it is. Everything happens in one transaction, which ends well only if counts and contents agree.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psycopg
from psycopg import sql

from dragoman.adapters.sql.file import held, reading
from dragoman.adapters.sql.schema import postgres_url, unreachable
from dragoman.adapters.sql.tables import metadata
from dragoman.domain.errors import StorageUnavailable

PAGE = 1000

Row = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Content:
    """What a table holds: how many rows, and a digest that does not depend on their order."""

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def names(self, columns: Sequence[str]) -> sql.Composed:
        return sql.SQL(", ").join(map(sql.Identifier, columns))


def copy(source: Path, target: str) -> dict[str, Content]:
    """Copy every table. The source must be at ``HEAD`` and held by no server, the target at ``HEAD``."""
    try:
        with held(source), psycopg.connect(postgres_url(target)) as connection:
            return {table.name: _copy(table, source, connection) for table in _tables()}
    except psycopg.OperationalError as error:
        raise StorageUnavailable(unreachable(target)) from error


def _tables() -> Iterator[_Table]:
    """In an order in which no row comes before what it refers to."""
    for table in metadata.sorted_tables:
        yield _Table(table.name, tuple(table.columns.keys()), tuple(table.primary_key.columns.keys()))


def _copy(table: _Table, source: Path, connection: psycopg.Connection) -> Content:
    given = sql.Identifier(f"given_{table.name}")
    place, columns = sql.Identifier(table.name), table.names(table.columns)
    connection.execute(sql.SQL("CREATE TEMP TABLE {} (LIKE {}) ON COMMIT DROP").format(given, place))
    with connection.cursor().copy(sql.SQL("COPY {} ({}) FROM STDIN").format(given, columns)) as stream:
        for row in _source_rows(table, source):
            stream.write_row(row)
    same = sql.SQL(" AND ").join(sql.SQL("mine.{0} = given.{0}").format(sql.Identifier(name)) for name in table.key)
    unknown = connection.execute(
        sql.SQL("SELECT count(*) FROM {} AS mine WHERE NOT EXISTS (SELECT 1 FROM {} AS given WHERE {})").format(
            place, given, same
        )
    ).fetchone()
    if unknown != (0,):
        raise StorageUnavailable(
            f"The target holds {table.name} that {source} does not know. It was left as it is; copy into an empty"
            " database."
        )
    others = [name for name in table.columns if name not in table.key]
    changes = sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in others)
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT ({}) DO UPDATE SET {}").format(
            place, columns, columns, given, table.names(table.key), changes
        )
    )
    wanted, found = content(_source_rows(table, source)), content(_target_rows(table, connection))
    if wanted != found:
        raise StorageUnavailable(f"The copy of {table.name} differs from its source. Nothing was copied.")
    return found


def content(rows: Iterator[Row]) -> Content:
    count, total = 0, 0
    for row in rows:
        count += 1
        total += int.from_bytes(hashlib.sha256(orjson.dumps(list(row))).digest())
    return Content(count, f"{total % 2**256:064x}")


def _source_rows(table: _Table, source: Path) -> Iterator[Row]:
    names = ", ".join(f'"{name}"' for name in table.columns)
    with reading(source) as connection:
        yield from connection.execute(f'SELECT {names} FROM "{table.name}"')  # noqa: S608 - names of ours


def _target_rows(table: _Table, connection: psycopg.Connection) -> Iterator[Row]:
    query = sql.SQL("SELECT {} FROM {}").format(table.names(table.columns), sql.Identifier(table.name))
    with connection.cursor(name="rows") as cursor:
        cursor.itersize = PAGE
        yield from cursor.execute(query)

"""All that a database holds, row by row."""

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from dragoman.adapters.sql.tables import metadata

Row = tuple[object, ...]
Dump = Counter[Row]

RENEWED = {("runs", "lease_until"), ("runs", "player"), ("api_keys", "last_used_at")}
"""What changes by itself."""


def dump(database: str) -> Dump:
    """Of every table, each row with the table's name before it."""
    read = _sqlite if urlsplit(database).scheme == "" else _postgres
    rows: Dump = Counter()
    for table in metadata.sorted_tables:
        columns = ", ".join(f'"{c.name}"' for c in table.columns if (table.name, c.name) not in RENEWED)
        rows.update((table.name, *row) for row in read(database)(f'SELECT {columns} FROM "{table.name}"'))
    return rows


def about(rows: Dump, marks: set[str]) -> Dump:
    """The rows in which any of these words stands."""
    return Counter({row: n for row, n in rows.items() if any(mark in str(cell) for cell in row for mark in marks)})


def _sqlite(database: str) -> Callable[[str], list[Row]]:
    def read(sql: str) -> list[Row]:
        with contextlib.closing(sqlite3.connect(Path(database))) as connection:
            return connection.execute(sql).fetchall()

    return read


def _postgres(database: str) -> Callable[[str], list[Row]]:
    def read(sql: str) -> list[Row]:
        with psycopg.connect(database) as connection:
            return connection.execute(sql).fetchall()

    return read

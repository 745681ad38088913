"""Where a PostgreSQL database is, and whether its schema is ours. Only changing it imports SQLAlchemy."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from dragoman.adapters.sql import walls
from dragoman.adapters.sql.engine import Script
from dragoman.adapters.sql.migrations import HEAD, upgrade, upgrade_sql
from dragoman.domain.errors import StorageUnavailable

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

LOCK = "SELECT pg_advisory_xact_lock(7021905)"
"""Of two who migrate at once, the second finds nothing left to do. The number is ours alone."""


def postgres_url(url: str) -> str:
    """As libpq wants it, whichever driver it was written for: ``postgres://``, ``postgresql+asyncpg://…?ssl=require``."""
    parts = urlsplit(url)
    query = [("sslmode" if name == "ssl" else name, value) for name, value in parse_qsl(parts.query)]
    return parts._replace(scheme="postgresql", query=urlencode(query)).geturl()


def place(url: str) -> str:
    """Host and name of a database: what may be told of its URL."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2] or 'localhost'}{parts.path}"


def unreachable(url: str) -> str:
    return (
        f"The database {place(url)} cannot be reached, or lets nobody in with these credentials. Check that PostgreSQL is"
        " running, and host, port, name, user and password in DATABASE_URL."
    )


def unfit(revision: str | None) -> str | None:
    """Why a server may not work with a schema of this revision."""
    if revision == HEAD:
        return None
    if revision is None:
        return "The database has no tables of Dragoman yet. Run `dragoman migrate`."
    if revision > HEAD:
        return (
            f"The database was written by a newer version of Dragoman (schema {revision}, this version knows {HEAD})."
            " Upgrade Dragoman; `dragoman migrate` never goes back."
        )
    return f"The database has an older schema ({revision}, this version needs {HEAD}). Run `dragoman migrate`."


def migrate(url: str) -> tuple[str | None, str]:
    """Bring a PostgreSQL database to ``HEAD``. From which revision to which."""
    with transaction(url) as connection:
        connection.exec_driver_sql(LOCK)
        revision = _revision(connection)
        if revision is not None and revision > HEAD:
            raise StorageUnavailable(unfit(revision))
        if revision is None:
            _refuse_foreign(connection, url)
        upgrade(connection)
        _build_walls(connection)
        return revision, HEAD


def migration_sql(url: str) -> str:
    """What ``migrate`` would execute, for review."""
    with transaction(url) as connection:
        revision = _revision(connection)
        plan = _run(connection, walls.plan())
        stands = _stands(connection, plan)
    if revision is not None and revision > HEAD:
        raise StorageUnavailable(unfit(revision))
    written = io.StringIO()
    if revision != HEAD:
        upgrade_sql("postgresql", revision, written)
    if not stands:
        written.writelines(f"{statement};\n\n" for statement in (*plan.roles, *plan.walls))
    return written.getvalue()


@contextmanager
def transaction(url: str) -> "Iterator[Connection]":
    """A SQLAlchemy connection to a PostgreSQL database; commits at the end."""
    from sqlalchemy import create_engine
    from sqlalchemy.exc import OperationalError

    engine = create_engine(postgres_url(url).replace("postgresql://", "postgresql+psycopg://", 1))
    try:
        with engine.begin() as connection:
            yield connection
    except OperationalError as error:
        raise StorageUnavailable(unreachable(url)) from error
    finally:
        engine.dispose()


def _build_walls(connection: "Connection") -> None:
    from sqlalchemy.exc import ProgrammingError

    plan = _run(connection, walls.plan())
    if _stands(connection, plan):
        return
    try:
        for statement in plan.roles:
            connection.exec_driver_sql(statement)
    except ProgrammingError as error:
        raise StorageUnavailable(walls.not_allowed(plan)) from error
    for statement in plan.walls:
        connection.exec_driver_sql(statement.replace("%", "%%"))


def _stands(connection: "Connection", plan: walls.Plan) -> bool:
    with connection.begin_nested() as savepoint:
        standing = _run(connection, walls.standing())
        savepoint.rollback()  # and nobody's request
    return standing == walls.Standing(plan.requests)


def _run(connection: "Connection", script: Script[T]) -> T:
    from sqlalchemy import text

    try:
        sql, params = next(script)
        while True:
            found = connection.execute(text(sql), params)
            sql, params = script.send([tuple(row) for row in found])
    except StopIteration as stop:
        result: T = stop.value
        return result


def _refuse_foreign(connection: "Connection", url: str) -> None:
    from sqlalchemy import inspect

    from dragoman.adapters.sql.tables import metadata

    if taken := sorted(set(inspect(connection).get_table_names()) & set(metadata.tables)):
        raise StorageUnavailable(
            f"{place(url)} holds tables of another application by the names we use ({', '.join(taken)}). It was left as"
            " it is; give Dragoman a database of its own."
        )


def _revision(connection: "Connection") -> str | None:
    from alembic.migration import MigrationContext

    from dragoman.adapters.sql.migrations import VERSION_TABLE

    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()

"""``dragoman migrate``: brings the database to this version's schema, or its content to another database."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dragoman.settings import Settings


def migrate(
    sql: Annotated[bool, typer.Option("--sql", help="Only print the SQL that would be executed.")] = False,
    to: Annotated[
        str | None, typer.Option("--to", help="Copy the SQLite database into this PostgreSQL one (postgresql://…).")
    ] = None,
) -> None:
    """Bring the database to the schema of this version. A server on PostgreSQL never does it by itself."""
    from dragoman.settings import Settings, WrongSettings

    settings = Settings.load()
    if to is not None:
        if sql or settings.postgres_url is not None or Settings.of(database_url=to).postgres_url is None:
            raise WrongSettings("--to copies the configured SQLite database into a PostgreSQL one: postgresql://…")
        _copy(settings, to)
    elif settings.postgres_url is not None:
        _migrate(settings.postgres_url, sql)
    elif sql:
        raise WrongSettings("--sql is for PostgreSQL: a server brings its SQLite file up to date by itself.")
    else:
        asyncio.run(_open(settings))
        typer.echo(f"{settings.sqlite_path} is up to date.")


def _migrate(url: str, only_sql: bool) -> None:
    from dragoman.adapters.sql import schema

    if only_sql:
        typer.echo(schema.migration_sql(url), nl=False)
        return
    before, after = schema.migrate(url)
    typer.echo(
        f"{schema.place(url)}: schema {after}" + (", as before." if before == after else f", was {before or 'empty'}.")
    )


def _copy(settings: "Settings", target: str) -> None:
    from dragoman.adapters.sql import schema
    from dragoman.adapters.sql.copy import copy

    asyncio.run(_open(settings))
    schema.migrate(target)
    for table, content in copy(settings.sqlite_path, target).items():
        typer.echo(f"{table:18} {content.rows:>9} rows  {content.digest[:16]}")
    typer.echo(f"{schema.place(target)} holds all of {settings.sqlite_path}. Set DATABASE_URL to use it.")


async def _open(settings: "Settings") -> None:
    """Opening a SQLite file brings it up to date."""
    from dragoman.bootstrap import sql_store

    store = sql_store(settings)
    await store.start()
    await store.stop()

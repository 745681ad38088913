"""``dragoman db``: copies of the SQLite file, and its deleted space. On PostgreSQL these are the database's own tools."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Look after the SQLite file.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="The copy.")]


@app.command()
def backup(file: File) -> None:
    """Write a copy of the database. A server may be running."""
    from dragoman.adapters.sql import file as sqlite

    path = _path()
    typer.echo(f"{file}: {sqlite.backup(path, file):,} bytes of {path}.")


@app.command()
def restore(file: File) -> None:
    """Replace the database by a copy. No server may be running."""
    from dragoman.adapters.sql import file as sqlite

    path = _path()
    sqlite.restore(path, file)
    typer.echo(f"{path} holds what {file} holds.")


@app.command()
def vacuum() -> None:
    """Give deleted space back to the file system. A server may be running."""
    from dragoman.adapters.sql import file as sqlite

    path = _path()
    typer.echo(f"{path}: {sqlite.vacuum(path):,} bytes given back.")


def _path() -> Path:
    from dragoman.settings import Settings, WrongSettings

    settings = Settings.load()
    if settings.postgres_url is not None:
        raise WrongSettings("DATABASE_URL is PostgreSQL, which has tools of its own: pg_dump, pg_restore, VACUUM.")
    return settings.sqlite_path

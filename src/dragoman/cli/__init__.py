"""The command line. It imports neither the SDK nor the web framework before a command needs them."""

import sys
from typing import Annotated

import typer

from dragoman import __version__
from dragoman.cli import (
    agents,
    approvals,
    budgets,
    cleanup,
    db,
    doctor,
    keys,
    migrate,
    people,
    research,
    runs,
    serve,
    sessions,
    settings,
)

app = typer.Typer(
    name="dragoman",
    help="A self-hosted server for AI agents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("serve")(serve.serve)
app.command("settings")(settings.settings)
app.command("doctor")(doctor.doctor)
app.command("migrate")(migrate.migrate)
app.command("research")(research.research)
app.command("budgets")(budgets.budgets)
app.command("cleanup")(cleanup.cleanup)
app.add_typer(db.app, name="db")
app.add_typer(agents.app, name="agents")
app.add_typer(runs.app, name="runs")
app.add_typer(approvals.app, name="approvals")
app.add_typer(keys.app, name="keys")
app.add_typer(people.app, name="people")
app.command("audit")(keys.audit)
app.add_typer(sessions.imports, name="import")
app.add_typer(sessions.exports, name="export")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"dragoman {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    try:
        app()
    except Exception as error:
        if type(error).__name__ not in REFUSALS:
            raise
        typer.echo(f"dragoman cannot start.\n{error}", err=True)
        sys.exit(2)


REFUSALS = ("WrongSettings", "StorageUnavailable", "Invalid", "NotFound")
"""Told to the operator as they are, without a traceback; by name, because their modules load only when needed."""

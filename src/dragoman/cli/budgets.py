"""``dragoman budgets``: what is spent, reserved and left."""

import asyncio
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dragoman.application.budgets import Status

HEADINGS = ("budget", "period", "tenant", "who", "spent", "reserved", "left", "of", "until")


def budgets(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show how every budget stands that somebody has paid from in its current day or month. A server may be running."""
    records = [_record(status) for status in asyncio.run(_read(tenant))]
    if as_json:
        typer.echo(json.dumps(records, indent=2))
    elif not records:
        typer.echo("Nobody has paid from a budget yet in this day or month.")
    else:
        _show(records)


async def _read(tenant: str | None) -> "list[Status]":
    from dragoman.adapters.sql import SqlStore
    from dragoman.adapters.system import SystemClock
    from dragoman.allowances import read_allowances
    from dragoman.application.budgets import Budgets
    from dragoman.bootstrap import shared_engine
    from dragoman.settings import Settings

    settings = Settings.load()
    store = SqlStore(shared_engine(settings))
    await store.start()
    try:
        return list(await Budgets(store.accounts, SystemClock(), read_allowances(settings).budgets).every(tenant))
    finally:
        await store.stop()


def _record(status: "Status") -> dict[str, Any]:
    from dragoman.domain.usage import money

    return {
        "budget": status.budget.name,
        "period": status.budget.span,
        "tenant": status.account.tenant,
        "who": f"{status.account.payer} {status.account.name}".strip(),
        "spent": money(status.balance.spent),
        "reserved": money(status.balance.reserved),
        "left": money(status.left),
        "of": money(status.budget.ceiling),
        "until": status.until.date().isoformat(),
    }


def _show(records: list[dict[str, Any]]) -> None:
    rows = [HEADINGS, *(tuple(record.values()) for record in records)]
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(HEADINGS))]
    for row in rows:
        typer.echo("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

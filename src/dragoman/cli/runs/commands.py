"""The commands, and how runs look in a terminal."""

import asyncio
import difflib
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragoman.cli.refusals import told_refusals
from dragoman.cli.runs.places import with_source

if TYPE_CHECKING:
    from dragoman.application.replay import Difference, Replayed
    from dragoman.cli.runs.source import Record, Source

app = typer.Typer(help="List, show, follow, cancel and replay runs.", no_args_is_help=True)

RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id.")]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON each.")]
Url = Annotated[str | None, typer.Option(help="A server's address, instead of the configured database.")]
User = Annotated[str, typer.Option(help="In the database: whose runs.")]
Tenant = Annotated[str, typer.Option(help="In the database: the tenant of that user.")]


@app.command("list")
def list_runs(
    *,
    status: Annotated[str | None, typer.Option(help="Only those: queued, in_progress, completed, failed, …")] = None,
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Only those of this conversation, by its id.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    as_json: Json = False,
    url: Url = None,
    user: User = "local",
    tenant: Tenant = "default",
) -> None:
    """List runs in conversations, newest first."""
    given = {"status": status, "agent": agent, "conversation_id": conversation}
    filters = {name: value for name, value in given.items() if value is not None}

    async def work(source: "Source") -> None:
        async for run in source.list(filters, limit):
            typer.echo(json.dumps(run) if as_json else _line(run))

    with_source(work, url, user, tenant)


@app.command()
def show(
    run_id: RunId, *, as_json: Json = False, url: Url = None, user: User = "local", tenant: Tenant = "default"
) -> None:
    """Show how a run stands, or how it ended."""

    async def work(source: "Source") -> None:
        run = await source.show(run_id)
        typer.echo(json.dumps(run) if as_json else _page(run))

    with_source(work, url, user, tenant)


@app.command()
def follow(
    run_id: RunId, *, as_json: Json = False, url: Url = None, user: User = "local", tenant: Tenant = "default"
) -> None:
    """Follow a run from its beginning, live until it ends. Exit code 1 if it does not end well."""
    last: list[Record] = []

    async def work(source: "Source") -> None:
        async for event in source.follow(run_id):
            typer.echo(json.dumps(event) + "\n" if as_json else _shown(event), nl=False)
            last[:] = [event]

    with_source(work, url, user, tenant)
    if not last or last[0]["type"] != "stream_complete" or last[0].get("status") != "completed":
        raise typer.Exit(1)


@app.command()
def cancel(
    run_id: RunId,
    *,
    now: Annotated[bool, typer.Option("--now", help="At once, not after its turn.")] = False,
    as_json: Json = False,
    url: Url = None,
    user: User = "local",
    tenant: Tenant = "default",
) -> None:
    """Ask a run to stop: after its turn, or now. What it said stays in the history."""

    async def work(source: "Source") -> None:
        run = await source.cancel(run_id, now=now)
        ended = run["status"] == "cancelled"
        typer.echo(json.dumps(run) if as_json else f"{run_id} {'is cancelled' if ended else 'was asked to stop'}.")

    with_source(work, url, user, tenant)


@app.command()
def replay(
    run_id: RunId,
    agents: Annotated[list[str] | None, typer.Argument(help="Files or modules with agents, as for serve.")] = None,
    *,
    user: User = "local",
    tenant: Tenant = "default",
) -> None:
    """Play a run that is over again from its log, asking no model and starting no tool. Exit code 1 if it goes otherwise."""
    with told_refusals():
        done = asyncio.run(_replay(run_id, agents or [], user, tenant))
    for difference in done.differences:
        typer.echo(_diff(difference))
    found = len(done.differences)
    told = f"{done.answers} model answers and {done.outputs} outputs of tools were taken from the log"
    typer.echo(f"{run_id}: {told}; {f'{found} differences' if found else 'no difference'}.")
    if found:
        raise typer.Exit(1)


async def _replay(run_id: str, agents: list[str], user: str, tenant: str) -> "Replayed":
    from dragoman.adapters.sql import SqlStore
    from dragoman.application.replay import replay
    from dragoman.bootstrap import build, shared_engine
    from dragoman.domain.identity import Principal
    from dragoman.settings import Settings
    from dragoman.sources import find

    settings = Settings.load()
    store = SqlStore(shared_engine(settings))
    await store.start()
    try:
        run = await store.runs.get(Principal(user, tenant), run_id)
        found = find(agents or settings.agents)
        application = build(settings, agents=found.agents, tools=found.tools, store=store)
        return await replay(application.services.player, run)
    finally:
        await store.stop()


# how they look -------------------------------------------------------------------------------------------------------


def _line(run: "Record") -> str:
    return f"{run['run_id']}  {run['created_at'][:19]}  {run['status']:<15}  {run['agent']:<12}  {run['session_id'] or '-'}"


def _page(run: "Record") -> str:
    lines = [f"{name:<16}{_value(value)}" for name, value in run.items() if value not in (None, {}, [])]
    return "\n".join(lines)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shown(event: "Record") -> str:
    """An event in words; text as it comes."""
    match event:
        case {"type": "raw_response", "event_type": "response.output_text.delta", "delta": delta}:
            return str(delta)
        case {"type": "run_item", "name": "tool_called", "item": item}:
            return f"\n→ {item.get('name')} {item.get('arguments')}\n"
        case {"type": "run_item", "name": "tool_output", "item": item}:
            return f"← {_value(item.get('output'))}\n"
        case {"type": "run_resumed", "attempt": attempt}:
            return f"\n[taken up again, attempt {attempt}; a sentence that was not finished begins anew]\n"
        case {"type": "stream_complete", "status": status}:
            return f"\n[{status}]\n"
        case {"type": "error", "code": code, "message": message}:
            return f"\n[failed: {code}: {message}]\n"
    return ""


def _diff(difference: "Difference") -> str:
    logged, replayed = difference.logged.splitlines(), difference.replayed.splitlines()
    lines = difflib.unified_diff(logged, replayed, f"{difference.about}, logged", "replayed", lineterm="")
    return "\n".join(lines)

"""``dragoman approvals``: what waits for a person, and deciding it, in the configured database or through a server."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dragoman.cli.runs.places import with_source

if TYPE_CHECKING:
    from dragoman.cli.runs.source import Record, Source

app = typer.Typer(help="List, approve and reject what runs wait for.", no_args_is_help=True)

MANY = 10_000
"""Pending approvals among which one is looked for."""

ApprovalId = Annotated[str, typer.Argument(metavar="APPROVAL", help="An approval's id.")]
Message = Annotated[str | None, typer.Option(help="For the model, when the call is not made.")]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON each.")]
Url = Annotated[str | None, typer.Option(help="A server's address, instead of the configured database.")]
Tenant = Annotated[str, typer.Option(help="In the database: whose approvals, everybody's in this tenant.")]


@app.command("list")
def list_approvals(
    *,
    status: Annotated[str, typer.Option(help="pending, approved, rejected, expired, withdrawn; or all.")] = "pending",
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    as_json: Json = False,
    url: Url = None,
    tenant: Tenant = "default",
) -> None:
    """List what waits for a person, newest first."""
    from dragoman.domain.approvals import ApprovalStatus

    if status not in (known := ["all", *ApprovalStatus]):
        raise typer.BadParameter(f"It is one of {', '.join(known)}.", param_hint="--status")

    async def work(source: "Source") -> None:
        async for approval in source.approvals({} if status == "all" else {"status": status}, limit):
            typer.echo(json.dumps(approval) if as_json else _line(approval))

    with_source(work, url, "local", tenant)


@app.command()
def approve(
    approval_id: ApprovalId,
    *,
    arguments: Annotated[str | None, typer.Option(help="A JSON object in place of the model's arguments.")] = None,
    as_json: Json = False,
    url: Url = None,
    tenant: Tenant = "default",
) -> None:
    """Agree to a call. Its run goes on at once."""
    said: dict[str, Any] = {"decision": "approve"}
    if arguments is not None:
        said["arguments"] = _object(arguments)
    _decide(approval_id, said, as_json, url, tenant)


@app.command()
def reject(
    approval_id: ApprovalId,
    *,
    message: Message = None,
    as_json: Json = False,
    url: Url = None,
    tenant: Tenant = "default",
) -> None:
    """Refuse a call. Its run goes on without it."""
    said = {"decision": "reject", **({"message": message} if message else {})}
    _decide(approval_id, said, as_json, url, tenant)


def _decide(approval_id: str, said: dict[str, Any], as_json: bool, url: str | None, tenant: str) -> None:
    from dragoman.cli.refusals import Refused

    async def work(source: "Source") -> None:
        async for approval in source.approvals({"status": "pending"}, MANY):
            if approval["approval_id"] == approval_id:
                decided = await source.decide(approval, said)
                typer.echo(json.dumps(decided) if as_json else f"{approval_id} is {decided['status']}.")
                return
        raise Refused(f"There is no pending approval {approval_id!r}.")

    with_source(work, url, "local", tenant)


def _object(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
    except json.JSONDecodeError:
        given = None
    if not isinstance(given, dict):
        raise typer.BadParameter("It is not a JSON object.", param_hint="--arguments")
    return given


def _line(approval: "Record") -> str:
    asked = f"{approval['tool']} {json.dumps(approval['arguments'], ensure_ascii=False)}"
    return f"{approval['approval_id']}  {approval['requested_at'][:19]}  {approval['status']:<9}  {approval['agent']:<12}  {asked}"

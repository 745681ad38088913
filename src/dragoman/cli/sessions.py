"""``dragoman import sessions`` and ``dragoman export sessions``: conversations from and to the Agents SDK's own tables."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dragoman.adapters.sql.sdk_sessions import SdkSessions
    from dragoman.application.transfer import Target, Transferred
    from dragoman.domain.identity import Principal
    from dragoman.ports.transfer import Shelf
    from dragoman.settings import Settings

imports = typer.Typer(help="Take over what another application has kept.", no_args_is_help=True)
exports = typer.Typer(help="Hand over what is kept here.", no_args_is_help=True)

DEFAULT_TABLES = "agent_sessions,agent_messages"
Tables = Annotated[str, typer.Option(help="The SDK's two tables: sessions, then messages.")]
Tenant = Annotated[str, typer.Option(help="The tenant of that user.")]


@imports.command("sessions")
def import_sessions(
    source: Annotated[str, typer.Option("--from", help="sqlite:///conversations.db or postgresql://…; only read.")],
    *,
    tables: Tables = DEFAULT_TABLES,
    user: Annotated[str, typer.Option(help="Whose the conversations will be.")] = "local",
    user_from: Annotated[
        str | None, typer.Option(help="Finds the user in a session's id instead: 'user_(?P<user>[^_]+)_.*'.")
    ] = None,
    agent: Annotated[str, typer.Option(help="The agent that new conversations belong to.")] = "chat",
    tenant: Tenant = "default",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")] = False,
) -> None:
    """Import what sessions of the Agents SDK have kept. A server may be running; it can be repeated."""
    asyncio.run(_import(source, tables, _owner(user, user_from, tenant), agent, dry_run=dry_run))


@exports.command("sessions")
def export_sessions(
    to: Annotated[str, typer.Option("--to", help="sqlite:///conversations.db or postgresql://…")],
    tables: Tables = DEFAULT_TABLES,
    user: Annotated[str, typer.Option(help="Whose conversations.")] = "local",
    tenant: Tenant = "default",
) -> None:
    """Export a user's conversations for sessions of the Agents SDK: of each its current branch. It can be repeated."""
    from dragoman.domain.identity import Principal

    asyncio.run(_export(to, tables, Principal(user, tenant)))


async def _import(
    source: str, tables: str, owner: "Callable[[str], tuple[Principal, str]]", agent: str, *, dry_run: bool
) -> None:
    async with _theirs(source, tables) as theirs, _ours(agent, dry_run=dry_run) as ours:

        def target(key: str) -> "tuple[Shelf, str]":
            principal, name = owner(key)
            return ours(principal), name

        await _transfer(theirs, target, dry_run=dry_run)


async def _export(to: str, tables: str, principal: "Principal") -> None:
    async with _ours() as ours, _theirs(to, tables, writable=True) as theirs:
        await _transfer(ours(principal), lambda key: (theirs, key))


async def _transfer(source: "Shelf", target: "Target", *, dry_run: bool = False) -> None:
    from dragoman.application.transfer import transfer

    all_of_them = []
    async for conversation in transfer(source, target, dry_run=dry_run):
        typer.echo(_line(conversation))
        for skipped in conversation.skipped:
            typer.echo(f"    skipped {skipped}")
        all_of_them.append(conversation)
    typer.echo(_total(all_of_them, dry_run=dry_run))
    if not all(conversation.complete for conversation in all_of_them):
        raise typer.Exit(1)


def _line(conversation: "Transferred") -> str:
    counts = (("added", conversation.added), ("known", conversation.known), ("repaired", conversation.repaired))
    told = ", ".join(f"{count} {what}" for what, count in counts if count)
    return " ".join(
        filter(None, (f"{conversation.key}: {conversation.result}", told and f"({told})", conversation.reason))
    )


def _total(conversations: "list[Transferred]", *, dry_run: bool) -> str:
    added, known, repaired = (sum(getattr(c, name) for c in conversations) for name in ("added", "known", "repaired"))
    skipped = sum(len(conversation.skipped) for conversation in conversations)
    left = sum(not conversation.complete for conversation in conversations)
    return (
        f"{len(conversations)} conversations: {added} items {'to add' if dry_run else 'added'}, {known} known,"
        f" {repaired} repaired, {skipped} skipped; {left} conversations not complete."
    )


def _owner(user: str, user_from: str | None, tenant: str) -> "Callable[[str], tuple[Principal, str]]":
    """Whose a session of the source is, and under which name."""
    from dragoman.domain.errors import Invalid
    from dragoman.domain.identity import Principal

    if user_from is None:
        return lambda key: (Principal(user, tenant), key)
    try:
        pattern = re.compile(user_from)
    except re.error:
        pattern = None
    if pattern is None or "user" not in pattern.groupindex:
        raise Invalid("--user-from is a regular expression with a group named user. Example: 'user_(?P<user>[^_]+)_.*'")

    def owner(key: str) -> "tuple[Principal, str]":
        found = pattern.fullmatch(key)
        if found is None or not found["user"]:
            raise Invalid("Its id names no user in the way --user-from says.")
        return Principal(found["user"], tenant), found.groupdict().get("key") or key

    return owner


@contextlib.asynccontextmanager
async def _ours(agent: str = "", *, dry_run: bool = False) -> "AsyncIterator[Callable[[Principal], Shelf]]":
    """The configured database, by whose conversations."""
    from dragoman.adapters.sql.shelf import SqlShelf
    from dragoman.application.transfer import Nowhere
    from dragoman.bootstrap import shared_engine
    from dragoman.settings import Settings

    settings = Settings.load()
    if dry_run and _is_new(settings):
        yield lambda _: Nowhere()
        return
    engine = shared_engine(settings)
    await engine.start()
    try:
        yield lambda principal: SqlShelf(engine, principal, agent)
    finally:
        await engine.stop()


def _is_new(settings: "Settings") -> bool:
    return settings.postgres_url is None and not settings.sqlite_path.exists()


@contextlib.asynccontextmanager
async def _theirs(url: str, tables: str, *, writable: bool = False) -> "AsyncIterator[SdkSessions]":
    from dragoman.adapters.sql.sdk_sessions import SdkSessions, named

    sessions = SdkSessions(url, named(tables), writable=writable)
    try:
        yield sessions
    finally:
        await sessions.aclose()

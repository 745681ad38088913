"""``dragoman keys``: make, list and revoke API keys. ``dragoman audit``: who did what."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dragoman.adapters.sql import SqlStore
    from dragoman.application.keys import Keys
    from dragoman.domain.keys import ApiKey

app = typer.Typer(help="API keys. A server may be running.", no_args_is_help=True)

PAGE = 500


@app.command()
def create(
    user: Annotated[str, typer.Option(help="Whose key: whoever shows it is this user.")],
    tenant: Annotated[str, typer.Option(help="The tenant of that user.")] = "default",
    scope: Annotated[
        list[str] | None, typer.Option(help="What it may be used for; may be repeated. Without: what users may do.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="How long it is good: 12h, 90d, 1y. Without: until revoked.")
    ] = None,
    name: Annotated[str, typer.Option(help="What it is for, so that you know it again.")] = "",
) -> None:
    """Make a key and print it, this once: only a digest is kept. What else is known of it goes to standard error."""
    key, shown = asyncio.run(_create(user, tenant, scope, expires, name))
    typer.echo(_line(key), err=True)
    typer.echo(shown)


@app.command("list")
def list_keys(
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
) -> None:
    """List the keys, newest first: whose, what for, and whether they are still good."""
    asyncio.run(_list(user, tenant))


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="Its id, or the key itself.")]) -> None:
    """Make a key good for nothing. Running servers know within five seconds."""
    typer.echo(_line(asyncio.run(_revoke(key_id))))


def audit(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this user did; @operator is this command line.")] = None,
    limit: Annotated[int, typer.Option(help="How many entries.", min=1)] = 50,
) -> None:
    """Show what administrators did and what was done to keys, newest first, one line of JSON each."""
    asyncio.run(_audit(tenant, actor, limit))


async def _create(
    user: str, tenant: str, scopes: list[str] | None, expires: str | None, name: str
) -> "tuple[ApiKey, str]":
    from dragoman.domain.identity import OPERATOR
    from dragoman.domain.keys import lifetime

    good_for = None if expires is None else lifetime(expires)
    async with _store() as store:
        return await _keys(store).create(
            OPERATOR, user, tenant=tenant, scopes=scopes or None, name=name, lifetime=good_for
        )


async def _list(user: str | None, tenant: str | None) -> None:
    from dragoman.domain.identity import OPERATOR

    after = None
    async with _store() as store:
        while True:
            page = await _keys(store).list(OPERATOR, tenant=tenant, user=user, after=after, limit=PAGE)
            for key in page.keys:
                typer.echo(_line(key))
            if (after := page.next) is None:
                return


async def _revoke(key_id: str) -> "ApiKey":
    from dragoman.domain.identity import OPERATOR

    async with _store() as store:
        return await _keys(store).revoke(OPERATOR, key_id, tenant=None)


async def _audit(tenant: str | None, actor: str | None, limit: int) -> None:
    import orjson

    from dragoman.adapters.system import SystemClock
    from dragoman.application.audit import Audit
    from dragoman.domain.identity import OPERATOR

    async with _store() as store:
        verbs = Audit(store.audit, SystemClock())
        page = await verbs.page(OPERATOR, tenant=tenant, actor=actor, limit=limit)
    for entry in page.entries:
        typer.echo(orjson.dumps(entry).decode())


def _keys(store: "SqlStore") -> "Keys":
    from dragoman.adapters.system import SystemClock
    from dragoman.application.keys import Keys

    return Keys(store.keys, store.audit, SystemClock())


@contextlib.asynccontextmanager
async def _store() -> "AsyncIterator[SqlStore]":
    from dragoman.adapters.sql import SqlStore
    from dragoman.bootstrap import shared_engine
    from dragoman.settings import Settings

    store = SqlStore(shared_engine(Settings.load()))
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


def _line(key: "ApiKey") -> str:
    parts = [key.id, f"{key.owner}@{key.tenant}", ",".join(sorted(key.scopes)), key.name, _state(key)]
    return "  ".join(filter(None, parts))


def _state(key: "ApiKey") -> str:
    used = f"used {_day(key.last_used_at)}" if key.last_used_at else "never used"
    if key.revoked_at is not None:
        return f"revoked {_day(key.revoked_at)}, {used}"
    return f"expires {_day(key.expires_at)}, {used}" if key.expires_at else used


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"

"""``dragoman people``: everything of one person, exported or erased, in the configured database or through a server."""

import asyncio
import contextlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from dragoman.cli.refusals import Refused, told_refusals

if TYPE_CHECKING:
    from dragoman.application.people import People

app = typer.Typer(help="Export or erase everything of one person.", no_args_is_help=True)

User = Annotated[str, typer.Argument(metavar="USER", help="The name of the user, as tokens and keys have it.")]
Tenant = Annotated[str, typer.Option(help="In the database: the tenant of that user.")]
Url = Annotated[str | None, typer.Option(help="A server's address, instead of the configured database.")]


@app.command()
def export(
    user: User,
    *,
    out: Annotated[Path, typer.Option(help="FILE.zip, or a folder, which must be empty or new.")],
    tenant: Tenant = "default",
    url: Url = None,
) -> None:
    """Write everything of a person to files of JSON, with a manifest of their digests. Anybody may be at work meanwhile."""
    with told_refusals():
        _export(user, tenant, out, url)
    typer.echo(f"{out}: everything of {user}.")


@app.command()
def erase(
    user: User,
    *,
    tenant: Tenant = "default",
    url: Url = None,
    yes: Annotated[bool, typer.Option("--yes", help="Really.")] = False,
    despite_holds: Annotated[
        bool, typer.Option("--despite-holds", help="Also conversations that are on hold.")
    ] = False,
) -> None:
    """Stop what of theirs is under way and remove everything of a person, for good; say what that was. If it breaks off, do
    it again."""
    if not yes:
        typer.echo(f"This removes everything of {user} for good. Say --yes.", err=True)
        raise typer.Exit(2)
    with told_refusals():
        erased = asyncio.run(_erase(user, tenant, url, despite_holds=despite_holds))
    typer.echo(json.dumps(erased, indent=2))


def _export(user: str, tenant: str, out: Path, url: str | None) -> None:
    """Into a file beside its place first, so that nothing that broke off looks like an export."""
    from dragoman.domain.errors import Invalid

    folder = out.suffix != ".zip"
    if out.exists() and (not folder or not out.is_dir() or any(out.iterdir())):
        raise Invalid(f"{out} is there already.", field="out")
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(suffix=".part", dir=out.parent)  # readable for nobody else
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            asyncio.run(_fill(file, user, tenant, url))
        if folder:
            _unpack(part, out)
        else:
            part.replace(out)
    finally:
        part.unlink(missing_ok=True)


async def _fill(file: BinaryIO, user: str, tenant: str, url: str | None) -> None:
    async with contextlib.aclosing(_archive(user, tenant, url)) as chunks:
        async for chunk in chunks:
            file.write(chunk)


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    with zipfile.ZipFile(archive) as files:
        for name in files.namelist():
            with files.open(name) as source, (folder / Path(name).name).open("wb") as target:
                shutil.copyfileobj(source, target)


async def _archive(user: str, tenant: str, url: str | None) -> AsyncGenerator[bytes, None]:
    from dragoman.domain.identity import OPERATOR
    from dragoman.settings import Settings
    from dragoman.surfaces.rest.archive import zipped

    if address := url or Settings.load().url:
        async with _asking("GET", address, f"/admin/people/{_quoted(user)}/export") as answer:
            async for chunk in answer.content.iter_any():
                yield chunk
        return
    async with _people() as people:
        async for chunk in zipped(await people.export(OPERATOR, user, tenant=tenant)):
            yield chunk


async def _erase(user: str, tenant: str, url: str | None, *, despite_holds: bool) -> Any:
    from dragoman.domain.identity import OPERATOR
    from dragoman.settings import Settings
    from dragoman.surfaces.rest.people import erased_record

    if address := url or Settings.load().url:
        query = "?despite_holds=true" if despite_holds else ""
        async with _asking("DELETE", address, f"/admin/people/{_quoted(user)}{query}") as answer:
            return await answer.json()
    async with _people() as people:
        return erased_record(user, await people.erase(OPERATOR, user, tenant=tenant, despite_holds=despite_holds))


@contextlib.asynccontextmanager
async def _people() -> "AsyncIterator[People]":
    from dragoman.adapters.sql import SqlStore
    from dragoman.adapters.system import SystemClock
    from dragoman.application.people import People
    from dragoman.bootstrap import shared_engine
    from dragoman.settings import Settings

    store = SqlStore(shared_engine(Settings.load()))
    await store.start()
    try:
        yield People(store.people, store.audit, SystemClock())
    finally:
        await store.stop()


@contextlib.asynccontextmanager
async def _asking(method: str, address: str, path: str) -> AsyncIterator[Any]:
    """A server's answer; what it refuses is told."""
    import aiohttp
    from yarl import URL

    from dragoman.cli.runs.server import check
    from dragoman.settings import Settings

    key = Settings.load().api_key
    headers = {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    patience = aiohttp.ClientTimeout(total=None, sock_connect=10)  # to erase a lot takes as long as it takes
    url = URL(address.rstrip("/") + path, encoded=True)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=patience) as http,
            http.request(method, url) as answer,
        ):
            await check(answer)
            yield answer
    except aiohttp.ClientConnectionError as error:
        raise Refused(f"{address} cannot be reached.") from error
    except aiohttp.ClientPayloadError as error:
        raise Refused(f"{address} broke off.") from error


def _quoted(user: str) -> str:
    from urllib.parse import quote

    return quote(user, safe="")

"""Where the command line looks: into the configured database, or at a server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from dragoman.cli.refusals import told_refusals

if TYPE_CHECKING:
    from dragoman.cli.runs.source import Source
    from dragoman.settings import Settings


def with_source(work: "Callable[[Source], Awaitable[None]]", url: str | None, user: str, tenant: str) -> None:
    async def at_it() -> None:
        async with _source(url, user, tenant) as source:
            await work(source)

    with told_refusals():
        asyncio.run(at_it())


@contextlib.asynccontextmanager
async def _source(url: str | None, user: str, tenant: str) -> "AsyncIterator[Source]":
    from dragoman.settings import Settings

    settings = Settings.load()
    address = url or settings.url
    async with _server(address, settings) if address else _database(settings, user, tenant) as source:
        yield source


@contextlib.asynccontextmanager
async def _server(url: str, settings: "Settings") -> "AsyncIterator[Source]":
    import aiohttp

    from dragoman.cli.runs.server import PATIENCE, ServerRuns

    key = settings.api_key
    headers = {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}
    async with aiohttp.ClientSession(headers=headers, timeout=PATIENCE) as http:
        yield ServerRuns(http, url.rstrip("/"))


@contextlib.asynccontextmanager
async def _database(settings: "Settings", user: str, tenant: str) -> "AsyncIterator[Source]":
    from dragoman.adapters.sql import SqlStore
    from dragoman.bootstrap import shared_engine
    from dragoman.cli.runs.database import DatabaseRuns
    from dragoman.domain.identity import Principal

    store = SqlStore(shared_engine(settings))
    await store.start()
    try:
        yield DatabaseRuns(store, Principal(user, tenant))
    finally:
        await store.stop()

"""``dragoman doctor``: are the database and the model endpoints what a server needs?"""

import asyncio
import fnmatch
import os
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from dragoman.endpoints import ModelSetup
    from dragoman.settings import Settings

Line = tuple[bool, str, str]
"""Whether a part is fine, which, and what was found."""


def doctor() -> None:
    """Look at the database, at who is asked for tokens, at tenants, and at every model endpoint and MCP server, and say what to do. Exit code 1 if something is wrong."""
    from dragoman.endpoints import read_models
    from dragoman.settings import Settings

    settings = Settings.load()
    if not asyncio.run(_report(settings, read_models(settings))):
        raise typer.Exit(1)


async def _report(settings: "Settings", models: "ModelSetup") -> bool:
    well = True
    for lines in (_database(settings), _identity(settings), _tenants(settings), _endpoints(models), _mcp(settings)):
        async for fine, part, text in lines:
            typer.echo(f"{'ok  ' if fine else 'FAIL'}  {part}: {text}")
            well = well and fine
    return well


async def _database(settings: "Settings") -> AsyncIterator[Line]:
    from dragoman.bootstrap import shared_engine
    from dragoman.domain.errors import StorageUnavailable

    if settings.postgres_url is None and not settings.sqlite_path.exists():
        folder = settings.sqlite_path.absolute().parent
        if folder.exists() and not os.access(folder, os.W_OK):
            yield False, "database", f"{settings.sqlite_path} cannot be made: the folder cannot be written to"
        else:
            yield True, "database", f"{settings.sqlite_path} will be made at the first start"
        return
    engine = shared_engine(settings)
    try:
        await engine.start()
    except StorageUnavailable as error:
        yield False, "database", error.detail
        return
    try:
        trouble = await engine.check()
    finally:
        await engine.stop()
    kind = "PostgreSQL" if settings.postgres_url else str(settings.sqlite_path)
    yield trouble is None, "database", trouble or f"{kind} can be read and written"


async def _identity(settings: "Settings") -> AsyncIterator[Line]:
    from dragoman.adapters.identity.jwks import algorithms_at
    from dragoman.adapters.identity.tokens import HS256_KEY
    from dragoman.domain.errors import IdentityUnavailable

    part = "identity"
    if not settings.tokens:
        yield True, part, "everybody is the one local user"
    elif (url := settings.jwt_jwks_url) is not None:
        try:
            algorithms = await algorithms_at(url)
        except IdentityUnavailable:
            yield False, part, f"{url} does not answer with a key set; check JWT_JWKS_URL"
            return
        found = f"has keys for {', '.join(algorithms)}" if algorithms else "has no key that can be used here"
        yield bool(algorithms), part, f"{url} {found}"
    elif any(len(secret.encode()) < HS256_KEY for secret in settings.jwt_secrets):
        yield False, part, f"the secret that tokens are signed with may be guessed; use {HS256_KEY} random bytes"
    else:
        yield True, part, "JWTs signed with a shared secret, and API keys" if settings.jwt_secrets else "API keys only"


async def _tenants(settings: "Settings") -> AsyncIterator[Line]:
    from dragoman.endpoints import read_tenants

    tenants = read_tenants(settings).by_name
    if not tenants:
        return
    yield True, "tenants", ", ".join(tenants)
    served = _agents(settings) if any(tenant.agents is not None for tenant in tenants.values()) else []
    for name, tenant in tenants.items():
        for pattern in tenant.agents or ():
            if not fnmatch.filter(served, pattern):
                yield False, "tenants", f"{name} may ask {pattern}, and there is no such agent"


def _agents(settings: "Settings") -> list[str]:
    """The keys of all that a server with these settings would have."""
    from dragoman.bootstrap import builtin_agents
    from dragoman.sources import find, keyed

    found = find(settings.agents)
    return list(keyed(builtin_agents(settings), found.agents, found))


async def _mcp(settings: "Settings") -> AsyncIterator[Line]:
    from dragoman.bootstrap import build_servers, build_web
    from dragoman.domain.identity import LOCAL

    servers = build_servers(settings, build_web(settings))
    await servers.start()
    try:
        for name in servers.names:
            await servers.tools("", [name], LOCAL)
            state = servers.states()[name]
            yield state.trouble is None, f"mcp {name}", state.trouble or f"answers, and has {state.tools} tools"
    finally:
        await servers.stop()


async def _endpoints(models: "ModelSetup") -> AsyncIterator[Line]:
    if not models.endpoints:
        yield True, "models", "no endpoint is configured; the demo model answers"
        return
    from dragoman.providers.openai.config import place_of
    from dragoman.providers.openai.doctor import examine

    used = [models.model, *models.fallbacks] if models.model else []
    places = [place for model in used if (place := place_of(model, models.endpoints))]
    for endpoint in models.endpoints:
        wanted = dict.fromkeys(model for at, model in places if at is endpoint)
        async for finding in examine(endpoint, list(wanted)):
            yield finding.fine, endpoint.name, finding.text

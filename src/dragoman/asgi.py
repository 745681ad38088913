"""The server as an ASGI application: on its own, mounted into another, or as a router inside one.

``app`` (for ``uvicorn dragoman.asgi:app``) is built from the environment when it is first asked for.
"""

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from types import FrameType
from typing import Any, Self

from fastapi import APIRouter
from starlette.types import Receive, Scope, Send

from dragoman.application.runs import StartRun
from dragoman.application.services import Services
from dragoman.bootstrap import Application, build
from dragoman.domain.identity import LOCAL, Principal
from dragoman.domain.items import Content
from dragoman.domain.runs import Run, RunOptions
from dragoman.settings import LOOPBACK, Settings
from dragoman.sources import find, key_of
from dragoman.surfaces.http.app import Access, HttpOptions, create_http_app
from dragoman.surfaces.openai import ENVELOPES, openai_routers
from dragoman.surfaces.rest import create_agent_routes, native_routers


class Dragoman:
    """All agents as one application. It starts with the server's lifespan or, mounted elsewhere, with its first use."""

    def __init__(self, application: Application) -> None:
        self.application = application
        self.http = create_http_app(
            application.services,
            options=_options(application.settings),
            lifespan=self._lifespan,
            routers=[] if application.settings.role == "worker" else _routers(application.services),
            envelopes=ENVELOPES,
        )
        self._starting = asyncio.Lock()
        self._keeper: asyncio.Task[None] | None = None
        self._holders = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._ensure_started()
        await self.http(scope, receive, send)

    async def run(
        self,
        agent: str,
        input: str | list[Content],
        *,
        user: str = LOCAL.user,
        tenant: str = LOCAL.tenant,
        session_id: str | None = None,
        context: dict[str, Any] | None = None,
        options: RunOptions | None = None,
    ) -> Run:
        """Run an agent from the same process and wait for its end. The run says how it ended; nothing is raised for that."""
        await self._ensure_started()
        principal, runs = Principal(user, tenant), self.application.services.runs
        run = await runs.start(principal, StartRun(agent, input, session_id, context or {}, options or RunOptions()))
        return await runs.wait(principal, run)

    async def __aenter__(self) -> Self:
        await self._ensure_started()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        await self.application.stop()

    @contextlib.asynccontextmanager
    async def _lifespan(self, _: Any) -> AsyncIterator[None]:
        async with _draining_on_signals(self.application):
            if not self.application.started:
                await self.application.start()
            try:
                yield
            finally:
                await self.application.stop()

    @contextlib.asynccontextmanager
    async def shared_lifespan(self, _: Any) -> AsyncIterator[None]:
        """For an application that includes several routers of this one: the first starts it, the last stops it."""
        self._holders += 1
        try:
            async with self._lifespan(None) if self._holders == 1 else contextlib.nullcontext():
                yield
        finally:
            self._holders -= 1

    async def _ensure_started(self) -> None:
        if self.application.started:
            return
        async with self._starting:
            if not self.application.started:
                await self.application.start()
                self._keeper = asyncio.get_running_loop().create_task(self._keep(), name="dragoman")

    async def _keep(self) -> None:
        """Nobody told us when to stop: stop when the event loop ends, which cancels its tasks."""
        async with _draining_on_signals(self.application):
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                await self.application.stop()


@contextlib.asynccontextmanager
async def _draining_on_signals(application: Application) -> AsyncIterator[None]:
    """A server that is told to stop waits for open responses, and ours last as long as their runs. So whenever the server
    hears a signal, we hear it too: streams end with a hint to reconnect, and runs get their time to finish."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    draining: list[asyncio.Task[None]] = []

    def drain() -> None:
        if not draining and application.started:
            draining.append(loop.create_task(application.drain(), name="drain"))

    previous = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def hear(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(drain)
        handler = previous[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    servers = {n: h for n, h in previous.items() if callable(h) and h is not signal.default_int_handler}
    for number in servers:
        signal.signal(number, hear)
    try:
        yield
    finally:
        for number, handler in servers.items():
            if signal.getsignal(number) is hear:
                signal.signal(number, handler)
        if draining:
            await asyncio.wait(draining)


def create_app(
    agents: Iterable[Any] | Mapping[str, Any] = (), *, settings: Settings | None = None, **overrides: Any
) -> Dragoman:
    """A server for these agents (SDK agents, ``AgentSpec``s, or a mapping of keys to either).

    ``settings`` come from the environment unless given; ``overrides`` add ``tools`` or replace parts, as in
    ``bootstrap.build``.
    """
    return Dragoman(build(settings or Settings.load(), agents=agents, **overrides))


def create_agent_router(
    agent: Any,
    *,
    prefix: str | None = None,
    agent_name: str | None = None,
    settings: Settings | None = None,
) -> APIRouter:
    """The routes of one agent, for an application that has its own: ``app.include_router(create_agent_router(agent))``.

    ``agent_name`` is its key (by default from its name) and ``/{agent_name}`` the default prefix. All routers made with the
    same settings are one server, because one process plays the runs of a database.
    """
    settings = settings or Settings.load()
    key = agent_name or key_of(agent)
    shared = _shared.get(settings)
    if shared is None:
        shared = _shared[settings] = create_app(settings=settings)
    shared.application.add_agent(key, agent)
    router = create_agent_routes(shared.application.services, key, f"/{key}" if prefix is None else prefix)
    router.lifespan_context = shared.shared_lifespan
    return router


_shared: dict[Settings, Dragoman] = {}


def _routers(services: Services) -> list[APIRouter]:
    """Those of every surface. The native ones come last: an agent's short form hides nothing."""
    return [*openai_routers(services), *native_routers(services)]


def _options(settings: Settings) -> HttpOptions:
    hosts = frozenset((*LOOPBACK, "[::1]", *settings.allowed_hosts))
    access = Access(hosts=hosts, json_only=True) if settings.loopback_only else Access()
    return HttpOptions(access=access, body_limit=settings.body_limit, origins=settings.cors_origins)


def _app_from_environment() -> Dragoman:
    from dragoman.adapters.telemetry import logs

    settings = Settings.load()
    logs.configure(settings.log_level, settings.log_format)
    found = find(settings.agents)
    return create_app(found.agents, tools=found.tools, settings=settings)


def __getattr__(name: str) -> Any:
    if name == "app":
        app = globals()["app"] = _app_from_environment()
        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

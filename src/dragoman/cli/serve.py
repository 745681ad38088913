"""``dragoman serve``: the server in this process, or in several."""

import asyncio
import contextlib
import functools
import gc
import logging
import os
import signal
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import uvicorn

    from dragoman.asgi import Dragoman
    from dragoman.cli.reload import Reloader
    from dragoman.settings import Settings

logger = logging.getLogger(__name__)


def serve(
    agents: Annotated[list[str] | None, typer.Argument(help="Files, folders or modules with agents.")] = None,
    host: Annotated[str | None, typer.Option(help="The address to listen on (HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on (PORT).")] = None,
    workers: Annotated[int | None, typer.Option(help="Worker processes (WEB_CONCURRENCY).")] = None,
    role: Annotated[str | None, typer.Option(help="api, worker or both (DRAGOMAN_ROLE).")] = None,
    reload: Annotated[bool, typer.Option("--reload", help="Serve changed agents and tools without a restart.")] = False,
    timeout_keep_alive: Annotated[int, typer.Option(help="Seconds an idle connection is kept.")] = 5,
) -> None:
    """Serve the built-in agents and every agent found in AGENTS."""
    from dragoman.endpoints import read_models
    from dragoman.settings import Settings

    given = tuple(agents) if agents else None
    settings = Settings.load(host=host, port=port, workers=workers, role=role, agents=given)
    read_models(settings)  # so that a wrong one is refused here, in a sentence, and not by a process started later

    import uvicorn

    from dragoman.adapters.telemetry import logs

    logs.configure(settings.log_level, settings.log_format)
    options = {**server_options(settings), "timeout_keep_alive": timeout_keep_alive}
    # A new process reads the environment again, after every change or as one of several.
    os.environ.update(
        {"DRAGOMAN_AGENTS": ",".join(settings.agents), "HOST": settings.host, "DRAGOMAN_ROLE": settings.role}
    )
    if settings.workers > 1 and not reload:
        asyncio.run(_refuse_early(settings))
        uvicorn.run("dragoman.asgi:app", workers=settings.workers, timeout_worker_healthcheck=30, **options)
    else:
        _run(settings, options, reload=reload)


def server_options(settings: "Settings") -> dict[str, Any]:
    """What Uvicorn is told."""
    from dragoman.cli.protocol import LimitedHead

    return {
        "host": settings.host,
        "port": settings.port,
        "timeout_graceful_shutdown": int(settings.shutdown_grace) + 5,
        "log_config": None,
        "access_log": False,  # ours is written by the application
        "server_header": False,
        "ws": "websockets-sansio",
        "ws_max_size": settings.body_limit,
        "http": LimitedHead,
    }


async def _refuse_early(settings: "Settings") -> None:
    """A database that cannot be used is refused here, once, and not by every process that is then started again."""
    from dragoman.bootstrap import sql_store

    store = sql_store(settings)
    await store.start()
    await store.stop()


def _run(settings: "Settings", options: dict[str, Any], *, reload: bool) -> None:
    from dragoman.asgi import create_app
    from dragoman.bootstrap import refuse_mistakes
    from dragoman.cli.reload import Reloader
    from dragoman.sources import find

    found = find(settings.agents)
    refuse_mistakes(settings, found)
    app = create_app(found.agents, tools=found.tools, settings=settings)
    run(app, options, Reloader(app.application, settings.agents) if reload else None)


def run(app: "Dragoman", options: dict[str, Any], reloader: "Reloader | None" = None) -> None:
    """Serve an application from this process, with these options for Uvicorn, until it is told to stop."""
    import uvicorn

    from dragoman.domain.identity import LOCAL

    config = uvicorn.Config(app, **options)

    async def start_and_serve() -> None:
        await app.application.start()  # before the server, so that a refusal is a sentence and not its traceback
        server = uvicorn.Server(config)
        signal.signal(signal.SIGTERM, functools.partial(_stop, server))
        logger.info("serving %s", ", ".join(card.key for card in app.application.services.catalog.list(LOCAL)))
        _settle_garbage()
        async with _watching(reloader) if reloader else contextlib.nullcontext():
            await server.serve()

    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner, contextlib.suppress(KeyboardInterrupt):
        runner.run(start_and_serve())


@contextlib.asynccontextmanager
async def _watching(reloader: "Reloader") -> AsyncIterator[None]:
    watching = asyncio.create_task(reloader.watch(), name="reload")
    try:
        yield
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


def _stop(server: "uvicorn.Server", *_: object) -> None:
    """Before Uvicorn listens to SIGTERM, this does: it will stop as soon as it has started. Afterwards, having stopped, it raises
    it again, for whoever was there before: for us, all is done by then."""
    server.should_exit = True


def _settle_garbage() -> None:
    """What was loaded stays loaded: the collector need not look through it again. It has enough to do with runs, whose
    results are circles. Looking each time a few hundred objects have come is a quarter of a run's work; a few thousand
    belong to each run in flight, so looking before some dozens of those have ended is still a tenth of it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 10, 10)

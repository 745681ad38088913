"""Is it alive, is it ready, and how does it feel: for orchestrators, load balancers and people."""

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import APIRouter, Depends

from dragoman.application.services import Check, Services
from dragoman.domain.errors import NotAuthenticated, StorageUnavailable
from dragoman.ports.tools import ServerState
from dragoman.surfaces.http.deps import Given, NativeRoute, give, needs
from dragoman.surfaces.http.openapi import Responses, example, failures
from dragoman.surfaces.http.responses import JSONResponse

PATIENCE = 2.0
"""Seconds a part may take to say how it is."""


@dataclass(frozen=True, slots=True)
class Part:
    ready: bool
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Health:
    services: Services

    async def parts(self) -> dict[str, Part]:
        checks = self.services.checks
        answers = await asyncio.gather(*(_asked(check) for check in checks.values()))
        return {
            **dict(zip(checks, answers, strict=True)),
            **{f"mcp {name}": _degraded(state) for name, state in self.services.servers.states().items()},
            "log": _part(self._log_trouble()),
            "dispatcher": _part(self._dispatcher_trouble()),
            "scheduler": _part(None if self.services.scheduler.alive else "The scheduler is not running."),
        }

    async def schedules(self) -> dict[str, Any]:
        """When which job is due, and how it went the last time, in whichever process that was."""
        try:
            schedules = await self.services.scheduler.schedules()
        except StorageUnavailable:
            return {}
        return {
            one.name: {"due_at": one.due_at, "ended_at": one.ended_at, "failures": one.failures, "result": one.result}
            for one in schedules
        }

    def _log_trouble(self) -> str | None:
        log = self.services.log
        if not log.alive:
            return "The log's writer is not running."
        if log.health.failing_since is not None:
            seconds = asyncio.get_running_loop().time() - log.health.failing_since
            return f"Events cannot be stored since {seconds:.0f} seconds; they wait in memory."
        return None

    def _dispatcher_trouble(self) -> str | None:
        dispatcher = self.services.dispatcher
        if not dispatcher.alive:
            return "The dispatcher is not running."
        return None if dispatcher.accepting else "The server is going away."


def _part(trouble: str | None) -> Part:
    return Part(trouble is None, trouble)


def _degraded(state: ServerState) -> Part:
    """A server that brings tools may be away: the rest works without it."""
    return Part(True, state.trouble and f"Not connected: {state.trouble}.")


async def _asked(check: Check) -> Part:
    try:
        async with asyncio.timeout(PATIENCE):
            return _part(await check())
    except TimeoutError:
        return _part("It does not answer.")


LIVE = {"status": "ok"}
_PARTS = {"database": {"ready": True, "detail": None}, "log": {"ready": True, "detail": None}}
READY = {"status": "ready", "parts": _PARTS}
_TURN = {
    "due_at": "2026-01-01T12:10:00Z",
    "ended_at": "2026-01-01T12:00:00Z",
    "failures": 0,
    "result": "0 bytes given back",
}
WELL = {
    **READY,
    "version": "1.0.0",
    "runs": {"active": 2, "ended": {"completed": 40}},
    "readers": 3,
    "schedules": {"deleted_space": _TURN},
}


def health_routes(services: Services, version: str) -> APIRouter:
    health = Health(services)
    router = APIRouter(route_class=NativeRoute, tags=["operations"], default_response_class=JSONResponse)

    async def live() -> JSONResponse:
        """The process runs and its event loop turns. Says nothing about the parts."""
        return JSONResponse(LIVE)

    async def ready() -> JSONResponse:
        """Whether this process should get requests, part by part: the database, the log's writer, the dispatcher, the scheduler."""
        parts = await health.parts()
        return JSONResponse(*_summary(parts))

    async def well() -> JSONResponse:
        """Both of them, with what is going on at the moment."""
        body, status = _summary(await health.parts())
        body["version"] = version
        body["runs"] = {"active": services.dispatcher.active, "ended": services.player.endings}
        body["readers"] = services.log.readers
        body["schedules"] = await health.schedules()
        return JSONResponse(body, status)

    unready: Responses = {503: example({"status": "not_ready", "parts": _PARTS}, "A part is not ready.")}
    router.add_api_route("/livez", live, summary="Alive?", operation_id="livez", responses={200: example(LIVE)})
    router.add_api_route(
        "/readyz", ready, summary="Ready?", operation_id="readyz", responses={200: example(READY), **unready}
    )
    router.add_api_route(
        "/health",
        well,
        summary="How it feels",
        operation_id="health",
        dependencies=[Depends(give(Given(services))), needs("metrics:read")],
        responses={200: example(WELL), **unready, **failures(NotAuthenticated, statuses=(403,))},
    )
    return router


def _summary(parts: dict[str, Part]) -> tuple[dict[str, Any], int]:
    ready = all(part.ready for part in parts.values())
    body = {
        "status": "ready" if ready else "not_ready",
        "parts": {name: asdict(part) for name, part in parts.items()},
    }
    return body, 200 if ready else 503

"""The HTTP application: what all protocols share, around the routers they bring."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from prometheus_client import CollectorRegistry
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

import dragoman
from dragoman.application.services import Services
from dragoman.surfaces.http import problems
from dragoman.surfaces.http.health import health_routes
from dragoman.surfaces.http.metrics import HttpMetrics, metrics_routes
from dragoman.surfaces.http.middleware import Access, BodyLimit, LocalOnly, Surroundings
from dragoman.surfaces.http.openapi import named_problems
from dragoman.surfaces.http.reference import reference_routes
from dragoman.surfaces.http.responses import JSONResponse

__all__ = ["Access", "HttpOptions", "create_http_app"]

DESCRIPTION = """A run answers one message. Start one with an agent, follow its log as it is written, pick it up again
from any position. Errors are `application/problem+json` with a stable `code`."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
NO_ENVELOPES: Mapping[str, problems.Envelope] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class HttpOptions:
    access: Access = field(default_factory=Access)
    body_limit: int = 4 * 1024 * 1024  # bytes
    origins: tuple[str, ...] = ()  # of web pages that may call


def create_http_app(
    services: Services,
    *,
    options: HttpOptions,
    lifespan: Lifespan,
    routers: Sequence[APIRouter],
    envelopes: Mapping[str, problems.Envelope] = NO_ENVELOPES,
) -> FastAPI:
    metrics = HttpMetrics(CollectorRegistry())
    app = FastAPI(
        title="Dragoman",
        version=dragoman.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        default_response_class=JSONResponse,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},  # we have our own
        exception_handlers=dict.fromkeys(problems.HANDLED, problems.handle),
        middleware=[
            Middleware(Surroundings, metrics=metrics, envelopes=envelopes),
            *([_cross_origin(options.origins)] if options.origins else ()),
            Middleware(LocalOnly, access=options.access),
            Middleware(BodyLimit, limit=options.body_limit),
        ],
    )
    for router in (health_routes(services, app.version), metrics_routes(services, metrics), reference_routes(app)):
        app.include_router(router)
    for router in routers:
        app.include_router(router)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _cross_origin(origins: Sequence[str]) -> Middleware:
    """Web pages of these origins may call, with a token that they hold; cookies mean nothing here."""
    return Middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=["*"],  # official clients send many of their own
        expose_headers=["location", "retry-after", "www-authenticate", "x-request-id"],
        max_age=600,
    )


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=TAGS
        )
        app.openapi_schema = named_problems(schema)
    return app.openapi_schema


TAGS = [
    {"name": "agents", "description": "Run an agent, stream it, ask what it is, read or clear a conversation with it."},
    {"name": "conversations", "description": "List, search, read, arrange, branch and delete what was said."},
    {"name": "threads", "description": "Talk to the coaches, in threads: conversations under another name."},
    {"name": "runs", "description": "Follow, await, list and cancel runs."},
    {"name": "research", "description": "Ask for a report: planned, searched in parallel, written, with its sources."},
    {"name": "approvals", "description": "What agents may do only once a person has agreed: list what waits, decide."},
    {"name": "usage", "description": "What model calls used, and what they cost."},
    {"name": "me", "description": "Everything of one's own: export it, erase it."},
    {"name": "administration", "description": "For administrators of a tenant."},
    {"name": "operations", "description": "For those who keep the server running."},
]

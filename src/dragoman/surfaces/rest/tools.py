"""The route of the tools: what agents can do here."""

from typing import Any

from fastapi import APIRouter, Depends

from dragoman.application.services import Services
from dragoman.application.tools import ListedTool
from dragoman.domain import errors
from dragoman.surfaces.http.deps import Caller, Given, NativeRoute, Verbs, give, needs
from dragoman.surfaces.http.openapi import example, failures
from dragoman.surfaces.http.responses import JSONResponse
from dragoman.surfaces.rest import examples


async def list_tools(verbs: Verbs, caller: Caller) -> JSONResponse:
    """The tools that agents may use for you: what each does, its arguments, its limits, whether a person must agree to a
    call, and which agents use it."""
    return JSONResponse({"tools": [_record(verbs, listed) for listed in verbs.tools.list(caller)]})


def _record(verbs: Services, listed: ListedTool) -> dict[str, Any]:
    card, tool = listed.card, listed.tool
    return {
        "name": card.name,
        "description": card.description,
        "parameters": card.parameters,
        "needs_approval": card.needs_approval,
        "timeout": (tool.timeout or verbs.tools.limits.timeout) if tool else None,
        "concurrency": tool.concurrency if tool else None,
        "agents": listed.agents,
    }


_COMMON = (errors.NotAuthenticated, errors.Invalid, errors.StorageUnavailable)


def tools_router(given: Given) -> APIRouter:
    router = APIRouter(
        route_class=NativeRoute,
        default_response_class=JSONResponse,
        tags=["agents"],
        dependencies=[Depends(give(given))],
    )
    router.add_api_route(
        "/tools",
        list_tools,
        summary="The tools",
        operation_id="list_tools",
        dependencies=[needs("runs:read")],
        responses={200: example(examples.TOOLS), **failures(*_COMMON, statuses=(403, 500))},
    )
    return router

"""The routes of a run: how it stands, its log, cancelling it, all of them."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from dragoman.application.runs import PAGE
from dragoman.application.services import Services
from dragoman.domain import errors
from dragoman.domain.events import TERMINAL
from dragoman.domain.identity import Principal
from dragoman.domain.runs import Run, RunStatus
from dragoman.surfaces.http.deps import Caller, Given, NativeRoute, Setting, Verbs, give, needs
from dragoman.surfaces.http.openapi import Responses, event_stream, example, failures
from dragoman.surfaces.http.responses import JSONResponse
from dragoman.surfaces.http.stream import EventStream
from dragoman.surfaces.rest import examples
from dragoman.surfaces.rest.approvals import pending
from dragoman.surfaces.rest.bodies import CANCEL_EXAMPLES, CancelBody
from dragoman.surfaces.rest.waiting import waiting
from dragoman.surfaces.rest.wire import WireEvent, frames, run_record, wire_events

BEGINNING = -1
"""Before the first position."""

RunPath = Annotated[str, Path(description="A run's id.", examples=["run_01jd4w4fcs7kse2mzz7hn3g8p5"])]


async def get_run(
    verbs: Verbs,
    caller: Caller,
    run_id: RunPath,
    wait: Annotated[
        float, Query(ge=0, le=300, description="Wait up to so many seconds for its end.", examples=[30])
    ] = 0,
) -> JSONResponse:
    """How a run stands, or how it ended. A run that failed answers 200 here, with its `error`, one that waits for a person
    with its `approvals`."""
    run = await verbs.runs.get(caller, run_id)
    if wait:
        run = await verbs.runs.wait(caller, run, wait)
    ahead = await verbs.runs.ahead(run)
    record = run_record(run, sessions_enabled=verbs.runs.sessions_enabled, ahead=ahead)
    return JSONResponse({**record, **await pending(verbs, caller, run)})


async def events(
    *,
    request: Request,
    caller: Caller,
    setting: Setting,
    run_id: RunPath,
    last_event_id: Annotated[
        int | None, Header(ge=BEGINNING, description="The position of the last event you have.", examples=[7])
    ] = None,
    after: Annotated[
        int, Query(ge=BEGINNING, description="The same, where headers are hard to set.", examples=[7])
    ] = BEGINNING,
) -> Response:
    """The log of a run as server-sent events, from its beginning or after a position; goes on live while the run does.
    Any number of readers may follow. With `Accept: application/json` the answer is a page of what is stored; `next` is
    the `after` of the following page, and null when there is none."""
    verbs = setting.services
    run = await verbs.runs.get(caller, run_id)
    position = after if last_event_id is None else last_event_id
    if _wants_json(request):
        return JSONResponse(await _page(verbs, caller, run, position))
    if run.status.ended and not await verbs.runs.events.read(caller, run.id, position, 1):
        return Response(status_code=204)  # an EventSource stops asking
    follow = verbs.runs.follow(caller, run, position)
    return EventStream(follow, frames, silence=setting.silence, waiting=waiting(verbs.runs, caller, run))


def _wants_json(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and EventStream.media_type not in accepted


async def _page(verbs: Services, caller: Principal, run: Run, after: int) -> dict[str, Any]:
    recorded = await verbs.runs.events.read(caller, run.id, after, PAGE)
    over = run.status.ended and (not recorded or isinstance(recorded[-1].event, TERMINAL))
    last = recorded[-1].position if recorded else after
    return {
        "events": [{"id": position, **event} for position, event in wire_events(recorded)],
        "next": None if over else last,
    }


async def cancel_run(
    verbs: Verbs,
    caller: Caller,
    run_id: RunPath,
    body: Annotated[CancelBody | None, Body(openapi_examples=CANCEL_EXAMPLES)] = None,
) -> JSONResponse:
    """Asks a run to stop: after its turn (at the latest some seconds later), or now. What it said stays in the history,
    marked incomplete; what it used counts."""
    mode = (body or CancelBody()).mode
    run = await verbs.runs.cancel(caller, run_id, mode)
    return JSONResponse(run_record(run, sessions_enabled=verbs.runs.sessions_enabled), 202)


async def list_runs(
    *,
    verbs: Verbs,
    caller: Caller,
    status: Annotated[RunStatus | None, Query(examples=["completed"])] = None,
    agent: Annotated[str | None, Query(examples=["chat"])] = None,
    conversation_id: Annotated[str | None, Query(examples=["conv_01jd4w4fcs"])] = None,
    after: Annotated[str | None, Query(description="The `next` of an earlier page.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, examples=[20])] = 20,
) -> JSONResponse:
    """Your runs in conversations, newest first."""
    page = await verbs.runs.list(
        caller, status=status, agent=agent, conversation_id=conversation_id, after=after, limit=limit
    )
    enabled = verbs.runs.sessions_enabled
    return JSONResponse({"runs": [run_record(run, sessions_enabled=enabled) for run in page.runs], "next": page.next})


_COMMON = (errors.NotAuthenticated, errors.Invalid, errors.StorageUnavailable)
_ONE: Responses = failures(*_COMMON, errors.NotFound, statuses=(403, 500))
_FOLLOWED = event_stream(WireEvent, examples.STREAM, "One frame per event; its data is one of these.")
_FOLLOWED["content"]["application/json"] = {"example": examples.PAGE}
_EVENTS: Responses = {
    200: _FOLLOWED,
    204: {"description": "The run has ended, and you have all of it."},
    **_ONE,
}


def runs_router(given: Given) -> APIRouter:
    router = APIRouter(
        route_class=NativeRoute,
        default_response_class=JSONResponse,
        tags=["runs"],
        dependencies=[Depends(give(given))],
    )
    router.add_api_route(
        "/runs",
        list_runs,
        summary="Your runs",
        operation_id="list_runs",
        dependencies=[needs("runs:read")],
        responses={200: example(examples.RUNS), **failures(*_COMMON, statuses=(403, 500))},
    )
    router.add_api_route(
        "/runs/{run_id}",
        get_run,
        summary="How a run stands",
        operation_id="get_run",
        dependencies=[needs("runs:read")],
        responses={200: example(examples.RECORD), **_ONE},
    )
    router.add_api_route(
        "/runs/{run_id}/events",
        events,
        summary="Follow a run",
        operation_id="run_events",
        dependencies=[needs("runs:read")],
        response_class=EventStream,
        status_code=200,
        responses=_EVENTS,
    )
    router.add_api_route(
        "/runs/{run_id}/cancel",
        cancel_run,
        methods=["POST"],
        status_code=202,
        summary="Cancel a run",
        operation_id="cancel_run",
        dependencies=[needs("runs:write")],
        responses={
            202: example(examples.RECORD, "It will stop."),
            **failures(*_COMMON, errors.NotFound, errors.RunEnded, statuses=(403, 413, 415, 500)),
        },
    )
    return router

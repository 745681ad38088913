"""The routes of research: those of any agent, with options of its own, and one that answers with the report itself."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from dragoman.domain import errors
from dragoman.domain.runs import Run, RunStatus
from dragoman.surfaces.http import problems
from dragoman.surfaces.http.deps import Caller, Given, Idempotency, NativeRoute, Setting, Trace, Verbs, give, needs
from dragoman.surfaces.http.openapi import Responses, event_stream, example, failures
from dragoman.surfaces.http.responses import JSONResponse
from dragoman.surfaces.http.stream import EventStream
from dragoman.surfaces.rest import agents, examples
from dragoman.surfaces.rest.bodies import RESEARCH_EXAMPLES, ResearchBody
from dragoman.surfaces.rest.wire import WireEvent, report_response

KEY = "research"


async def _start(
    *,
    verbs: Verbs,
    caller: Caller,
    idempotency: Idempotency,
    trace: Trace,
    body: Annotated[ResearchBody, Body(openapi_examples=RESEARCH_EXAMPLES)],
) -> Run:
    return await verbs.runs.start(caller, body.to_domain(KEY, idempotency, trace))


async def _start_asked(
    *,
    verbs: Verbs,
    caller: Caller,
    idempotency: Idempotency,
    trace: Trace,
    query: Annotated[str | None, Query(description="The question, if it is not in the body.")] = None,
    body: Annotated[ResearchBody | None, Body(openapi_examples=RESEARCH_EXAMPLES)] = None,
) -> Run:
    asked = (body or ResearchBody()).asking(query)
    return await verbs.runs.start(caller, asked.to_domain(KEY, idempotency, trace))


Started = Annotated[Run, Depends(_start)]
Asked = Annotated[Run, Depends(_start_asked)]


async def research(request: Request, verbs: Verbs, caller: Caller, run: Asked) -> Response:
    """Plans searches, makes them side by side, writes a report, and answers with it. A search that fails is reported and
    survived. With `background` the answer comes at once, with status 202 and the address of the run."""
    if run.options.background:
        return await agents.accepted(request, verbs, run)
    ended = await agents.until_ended(request, verbs, caller, run)
    if ended is None:
        return Response(status_code=agents.CLIENT_LEFT)
    if ended.status is RunStatus.FAILED:
        return problems.of_run(request.scope, ended)
    if not isinstance(ended.final_output, dict):  # there is no report yet
        return await agents.accepted(request, verbs, ended)
    return JSONResponse(report_response(ended))


async def run(request: Request, verbs: Verbs, caller: Caller, run: Started) -> Response:
    """Researches a question and answers as every agent does, with the report as `final_output`."""
    return await agents.run(request, verbs, caller, run)


async def stream(caller: Caller, run: Started, setting: Setting) -> Response:
    """Researches a question and streams the log: `progress` says where the work is, `run_item` events with a `path` are what
    its agents have said and found, and the last event holds the report."""
    return await agents.stream(caller, run, setting)


_FAILURES = (*agents.STARTING, *agents.ENDING, errors.SearchFailed)
_REPORT: Responses = {
    200: example(examples.REPORT, "The report."),
    202: example(examples.QUEUED, "The run goes on in the background; `Location` says where."),
    **failures(*_FAILURES, statuses=(403, 413, 415)),
}
_RUN: Responses = {**_REPORT, 200: example({**examples.RUN, "final_output": examples.REPORT}, "The run has ended.")}
_STREAM: Responses = {
    200: event_stream(WireEvent, examples.STREAM, "One frame per event; its data is one of these."),
    **failures(*agents.STARTING, statuses=(403, 413, 415, 500)),
}


def research_router(given: Given) -> APIRouter:
    router = APIRouter(
        route_class=NativeRoute,
        default_response_class=JSONResponse,
        tags=["research"],
        dependencies=[Depends(give(given)), Depends(agents.always(KEY))],
    )

    def add(path: str, endpoint: Any, summary: str, name: str, **more: Any) -> None:
        scope = [needs("runs:write")]
        router.add_api_route(
            path, endpoint, methods=["POST"], summary=summary, operation_id=name, dependencies=scope, **more
        )

    add("/research", research, "Research a question", "research", responses=_REPORT)
    for prefix, name in (("/research", "research"), ("/agents/research", "agent_research")):
        streams: dict[str, Any] = {"response_class": EventStream, "status_code": 200, "responses": _STREAM}
        add(f"{prefix}/run", run, "Research a question, as a run", f"{name}_run", responses=_RUN)
        add(f"{prefix}/stream", stream, "Research a question and watch", f"{name}_stream", **streams)
    return router

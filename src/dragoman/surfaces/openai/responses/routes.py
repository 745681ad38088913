"""The routes of the Responses API: create, retrieve, cancel, delete, what it was given, count, compact."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from dragoman.application.runs import StartRun
from dragoman.application.services import Services
from dragoman.domain.errors import Interrupted, Invalid, NotFound, RunEnded
from dragoman.domain.events import Recorded, RunResumed
from dragoman.domain.identity import Principal
from dragoman.domain.items import message
from dragoman.domain.runs import ModelChoices, Run, RunOptions, RunStatus
from dragoman.surfaces.http import problems
from dragoman.surfaces.http.deps import Caller, Given, Idempotency, Setting, Trace, Verbs, give, needs
from dragoman.surfaces.http.responses import JSONResponse, dump
from dragoman.surfaces.http.stream import EventStream
from dragoman.surfaces.openai.models import choose
from dragoman.surfaces.openai.responses import compaction
from dragoman.surfaces.openai.responses.bodies import CompactBody, CountBody, ResponseBody, checked_items
from dragoman.surfaces.openai.responses.ids import response_id, run_id
from dragoman.surfaces.openai.responses.starting import as_items, previous_run, said_until, start, whole_input
from dragoman.surfaces.openai.responses.telling import SILENT, Telling
from dragoman.surfaces.openai.responses.wire import Json, input_items, response, usage_record

CANCEL_PATIENCE = 10.0
"""Seconds that a request to cancel waits for the end."""
BYTES_PER_TOKEN = 4
"""About. Who counts exactly is the endpoint, and it does so when it is asked for the answer."""


async def create_response(
    *,
    request: Request,
    verbs: Verbs,
    caller: Caller,
    idempotency: Idempotency,
    trace: Trace,
    setting: Setting,
    body: ResponseBody,
) -> Response:
    run = await start(verbs, caller, body, idempotency, trace)
    if body.stream:
        return _stream(verbs, caller, run, setting.silence)
    if body.background:
        return JSONResponse(await _as_it_stands(verbs, caller, run))
    telling = await _told(verbs, caller, run)
    if telling.ended is None:
        raise Interrupted
    if telling.ended["status"] == RunStatus.FAILED:
        return problems.of_run(request.scope, await verbs.runs.wait(caller, run))
    return JSONResponse(telling.ended)


async def retrieve_response(
    *,
    verbs: Verbs,
    caller: Caller,
    setting: Setting,
    id: str,
    stream: bool = False,
    starting_after: Annotated[int, Query(ge=-1, lt=SILENT)] = -1,
) -> Response:
    run = await _run(verbs, caller, id)
    if stream:
        return _stream(verbs, caller, run, setting.silence, starting_after)
    return JSONResponse(await _as_it_stands(verbs, caller, run))


async def cancel_response(verbs: Verbs, caller: Caller, id: str) -> JSONResponse:
    """At once. One that has ended is left as it is."""
    run = await _run(verbs, caller, id)
    with contextlib.suppress(RunEnded):
        await verbs.runs.cancel(caller, run.id, "now")
    return JSONResponse(await _as_it_stands(verbs, caller, await verbs.runs.wait(caller, run, CANCEL_PATIENCE)))


async def delete_response(verbs: Verbs, caller: Caller, id: str) -> JSONResponse:
    run = await _run(verbs, caller, id)
    await verbs.runs.delete(caller, run.id)
    return JSONResponse({"id": response_id(run.id), "object": "response", "deleted": True})


async def list_input_items(
    *,
    verbs: Verbs,
    caller: Caller,
    id: str,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> JSONResponse:
    items = input_items(await _run(verbs, caller, id))
    if order == "desc":
        items.reverse()
    if after is not None:
        place = next((i for i, item in enumerate(items) if item["id"] == after), None)
        if place is None:
            raise Invalid("There is no such item in the input of this response.", field="after")
        items = items[place + 1 :]
    page = items[:limit]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": "", "last_id": ""}
    return JSONResponse({"object": "list", "data": page, **ends, "has_more": len(items) > limit})


async def count_input_tokens(verbs: Verbs, caller: Caller, body: CountBody) -> JSONResponse:
    """A guess, as good as knowing nothing of the model's tokens allows."""
    own = choose(verbs.catalog, caller, body.model).agent.instructions if body.model else None
    given = as_items(checked_items(body.input or []))
    told = [own, body.instructions, body.tools, await whole_input(verbs, caller, body, given)]
    size = sum(len(dump(part)) for part in told if part)
    return JSONResponse({"object": "response.input_tokens", "input_tokens": -(-size // BYTES_PER_TOKEN)})


async def compact_response(
    *, request: Request, verbs: Verbs, caller: Caller, idempotency: Idempotency, trace: Trace, body: CompactBody
) -> Response:
    """The agent itself says what was said. The answer stands for all of it at the beginning of another input."""
    chosen = choose(verbs.catalog, caller, body.model)
    given = as_items(checked_items(body.input or []))
    if body.previous_response_id is not None:
        previous = await previous_run(verbs, caller, body.previous_response_id)
        given = [*await said_until(verbs, caller, previous), *given]
    if not given:
        raise Invalid("There is nothing to compact: give an input or a previous response.", field="input")
    options = RunOptions(model=chosen.model, instructions=body.instructions, choices=ModelChoices(tool_choice="none"))
    asked = StartRun(
        chosen.agent.key,
        [*given, message("user", compaction.REQUEST)],
        options=options,
        idempotency=idempotency,
        trace=trace,
    )
    run = await verbs.runs.wait(caller, await verbs.runs.start(caller, asked))
    if run.status is RunStatus.FAILED:
        return problems.of_run(request.scope, run)
    if run.status is not RunStatus.COMPLETED:
        raise Interrupted
    return JSONResponse(_compaction(run))


def _compaction(run: Run) -> Json:
    summary = run.final_output if isinstance(run.final_output, str) else dump(run.final_output).decode()
    return {
        "id": response_id(run.id),
        "object": "response.compaction",
        "created_at": int(run.created_at.timestamp()),
        "output": [compaction.compacted(summary)],
        "usage": usage_record(run.usage),
    }


# A run --------------------------------------------------------------------------------------------------------------


async def _run(verbs: Services, caller: Principal, id: str) -> Run:
    try:
        return await verbs.runs.get(caller, run_id(id))
    except NotFound:
        raise NotFound("response", id) from None


async def _as_it_stands(verbs: Services, caller: Principal, run: Run) -> Json:
    if not run.status.ended and run.status is not RunStatus.REQUIRES_ACTION:
        return response(run, status=run.status)
    return (await _told(verbs, caller, run)).ended or response(run, status=run.status, usage=run.usage, error=run.error)


async def _told(verbs: Services, caller: Principal, run: Run) -> Telling:
    """A run that was followed to its end, without a word."""
    telling = Telling(run, SILENT)
    async for batch in verbs.runs.follow(caller, run):
        telling.tell(batch)
    return telling


def _stream(verbs: Services, caller: Principal, run: Run, silence: float, after: int = -1) -> EventStream:
    follow = one_attempt(verbs.runs.follow(caller, run), run.attempt)
    return EventStream(follow, Telling(run, after).frames, silence=silence)


async def one_attempt(
    follow: AsyncGenerator[Sequence[Recorded], None], known: int
) -> AsyncGenerator[Sequence[Recorded], None]:
    """A log as far as the attempt in which it is being written. Who has read half an item of that one would take the next
    for its continuation: the stream closes, and who comes back is told."""
    try:
        async for batch in follow:
            cut = next((i for i, entry in enumerate(batch) if _resumes(entry, known)), len(batch))
            if cut:
                yield batch[:cut]
            if cut < len(batch):
                return
    finally:
        await follow.aclose()


def _resumes(entry: Recorded, known: int) -> bool:
    return isinstance(entry.event, RunResumed) and entry.event.attempt > known


def responses_router(given: Given) -> APIRouter:
    router = APIRouter(prefix="/v1/responses", include_in_schema=False, dependencies=[Depends(give(given))])
    read: dict[str, Any] = {"methods": ["GET"], "dependencies": [needs("runs:read")]}
    write: dict[str, Any] = {"methods": ["POST"], "dependencies": [needs("runs:write")]}
    router.add_api_route("", create_response, **write)
    router.add_api_route("/input_tokens", count_input_tokens, **{**write, "dependencies": [needs("runs:read")]})
    router.add_api_route("/compact", compact_response, **write)
    router.add_api_route("/{id}", retrieve_response, **read)
    router.add_api_route("/{id}", delete_response, **{**write, "methods": ["DELETE"]})
    router.add_api_route("/{id}/cancel", cancel_response, **write)
    router.add_api_route("/{id}/input_items", list_input_items, **read)
    return router

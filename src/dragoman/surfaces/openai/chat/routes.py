"""``POST /v1/chat/completions``. Its clients cannot come back to a run, so a run that nobody waits for any more is
cancelled, unless an idempotency key lets them ask for it again."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends
from starlette.requests import Request
from starlette.responses import Response

from dragoman.application.runs import Runs, StartRun
from dragoman.domain.errors import Interrupted, RunEnded, ShuttingDown
from dragoman.domain.events import Delta, Recorded, RunFailed, RunResumed
from dragoman.domain.identity import Principal
from dragoman.domain.runs import Run, RunError
from dragoman.surfaces.http import problems
from dragoman.surfaces.http.deps import Caller, Given, Idempotency, Setting, Trace, Verbs, give, needs
from dragoman.surfaces.http.responses import JSONResponse
from dragoman.surfaces.http.stream import EventStream, unless_gone
from dragoman.surfaces.openai.chat.parameters import ChatRequest, read
from dragoman.surfaces.openai.chat.wire import Chunks, Told
from dragoman.surfaces.openai.models import choose

CLIENT_LEFT = 499  # read by nobody but the access log
GOING_AWAY = RunError(ShuttingDown.code, ShuttingDown.message, retryable=True)
TAKEN_BACK = RunFailed(Interrupted.code, Interrupted.message, retryable=True)

Events = AsyncGenerator[Sequence[Recorded], None]


@dataclass(frozen=True, slots=True)
class Started:
    request: ChatRequest
    run: Run


async def _start(
    verbs: Verbs, caller: Caller, idempotency: Idempotency, trace: Trace, body: Annotated[dict[str, Any], Body()]
) -> Started:
    request = read(body)
    chosen = choose(verbs.catalog, caller, request.asked.model)
    options = replace(
        request.options, model=chosen.model, on_disconnect="cancel" if idempotency is None else "continue"
    )
    start = StartRun(chosen.agent.key, request.input, options=options, idempotency=idempotency, trace=trace)
    return Started(request, await verbs.runs.start(caller, start))


async def create_completion(
    request: Request, setting: Setting, caller: Caller, started: Annotated[Started, Depends(_start)]
) -> Response:
    runs, run, asked = setting.services.runs, started.run, started.request.asked
    if started.request.stream:
        chunks = Chunks(run, asked)
        events = _until_taken_back(runs, caller, run)
        return EventStream(events, chunks, silence=setting.silence, farewell=chunks.failure(GOING_AWAY))
    told = await unless_gone(request.receive, _listen(runs.follow(caller, run), Told(asked)))
    if told is None:
        return Response(status_code=CLIENT_LEFT)
    if told.end is None:
        raise ShuttingDown
    if isinstance(told.end, RunError):
        return problems.told(request.scope, problems.failed(run.id, told.end))
    return JSONResponse(told.completion(run, told.end))


async def _listen(events: Events, told: Told) -> Told:
    async for batch in events:
        for entry in batch:
            told.add(entry.event)
    return told


async def _until_taken_back(runs: Runs, caller: Principal, run: Run) -> Events:
    """The events of a run. If a later attempt takes back what was shown already, they end with a failure: this protocol
    cannot say so."""
    shown = -1
    async with contextlib.aclosing(runs.follow(caller, run)) as events:
        async for batch in events:
            for i, entry in enumerate(batch):
                if isinstance(entry.event, Delta) and not entry.event.path:
                    shown = entry.position
                elif isinstance(entry.event, RunResumed) and entry.event.discard_after < shown:
                    yield [*batch[:i], Recorded(entry.position, TAKEN_BACK)]
                    if run.options.on_disconnect == "cancel":
                        await _stop(runs, caller, run)
                    return
            yield batch


async def _stop(runs: Runs, caller: Principal, run: Run) -> None:
    with contextlib.suppress(RunEnded):
        await runs.cancel(caller, run.id, "now")


def chat_router(given: Given) -> APIRouter:
    router = APIRouter(include_in_schema=False, dependencies=[Depends(give(given)), needs("runs:write")])
    router.add_api_route("/v1/chat/completions", create_completion, methods=["POST"])
    return router

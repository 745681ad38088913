"""The routes of an agent: run, stream, info, session. Under ``/agents/{agent}``, and at the root unless the name is taken."""

from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from dragoman.application.services import Services
from dragoman.domain import errors
from dragoman.domain.agents import AgentCard
from dragoman.domain.events import Recorded
from dragoman.domain.identity import Principal, Scope
from dragoman.domain.runs import Run, RunOptions, RunStatus
from dragoman.surfaces.http import problems
from dragoman.surfaces.http.deps import Caller, Given, Idempotency, NativeRoute, Setting, Trace, Verbs, give, needs
from dragoman.surfaces.http.openapi import Responses, event_stream, example, failures
from dragoman.surfaces.http.responses import JSONResponse
from dragoman.surfaces.http.stream import EventStream, unless_gone
from dragoman.surfaces.rest import examples
from dragoman.surfaces.rest.approvals import pending
from dragoman.surfaces.rest.bodies import START_EXAMPLES, StartBody
from dragoman.surfaces.rest.waiting import waiting
from dragoman.surfaces.rest.wire import WireEvent, frames, run_response, session_message

RESERVED = frozenset(
    {
        *("agents", "runs", "conversations", "livez", "readyz", "health", "metrics"),
        *("docs", "redoc", "openapi.json", "v1", "console", "static", "favicon.ico", "robots.txt", ".well-known"),
        *("ag-ui", "mcp", "realtime", "admin", "auth", "approvals", "usage", "tools", "me"),
    }
)
"""First segments of routes that are ours, now or soon. An agent with such a key has only the long form."""

CLIENT_LEFT = 499  # read by nobody but the access log

# Which agent ------------------------------------------------------------------------------------------------------

AgentPath = Annotated[str, Path(description="An agent's key.", examples=["chat"])]


async def _named(request: Request, agent: AgentPath) -> None:
    request.state.agent = agent


async def _named_at_root(request: Request, agent: AgentPath) -> None:
    if agent in RESERVED:
        raise errors.NotFound("agent", agent)
    request.state.agent = agent


def always(key: str) -> Callable[[Request], Coroutine[Any, Any, None]]:
    async def provide(request: Request) -> None:
        request.state.agent = key

    return provide


async def _card(request: Request, verbs: Verbs, caller: Caller) -> AgentCard:
    return verbs.catalog.find(caller, request.state.agent)


Agent = Annotated[AgentCard, Depends(_card)]

# Run and stream ---------------------------------------------------------------------------------------------------


async def _start(
    *,
    agent: Agent,
    verbs: Verbs,
    caller: Caller,
    idempotency: Idempotency,
    trace: Trace,
    body: Annotated[StartBody, Body(openapi_examples=START_EXAMPLES)],
) -> Run:
    return await verbs.runs.start(caller, body.to_domain(agent.key, idempotency, trace))


Started = Annotated[Run, Depends(_start)]


async def run(request: Request, verbs: Verbs, caller: Caller, run: Started) -> Response:
    """Runs the agent to its end and answers with what it said. With `background` the answer comes at once, with status
    202 and the address of the run. Without `session_id` nothing is remembered."""
    if run.options.background:
        return await accepted(request, verbs, run)
    ended = await until_ended(request, verbs, caller, run)
    if ended is None:
        return Response(status_code=CLIENT_LEFT)
    if ended.status is RunStatus.FAILED:
        return problems.of_run(request.scope, ended)
    if not ended.status.ended and ended.status is not RunStatus.REQUIRES_ACTION:  # the server is going away
        return await accepted(request, verbs, ended)
    response = run_response(ended, sessions_enabled=verbs.runs.sessions_enabled)
    return JSONResponse({**response, **await pending(verbs, caller, ended)})


async def stream(caller: Caller, run: Started, setting: Setting) -> Response:
    """Runs the agent and streams its log as server-sent events. The `id` of a frame is its position: whoever loses the
    connection picks the run up at `GET /runs/{run_id}/events` with `Last-Event-ID`. Leaving does not stop the run unless
    `on_disconnect` says so."""
    runs = setting.services.runs
    return EventStream(runs.follow(caller, run), frames, silence=setting.silence, waiting=waiting(runs, caller, run))


async def until_ended(request: Request, verbs: Services, caller: Principal, run: Run) -> Run | None:
    """The run as it ended; ``None`` if the client has left. Only one that asked to be missed counts as a reader."""
    if run.options.on_disconnect != "cancel":
        return await verbs.runs.wait(caller, run)
    if not await unless_gone(request.receive, _read_to_the_end(verbs.runs.follow(caller, run))):
        return None
    return await verbs.runs.wait(caller, run)


async def _read_to_the_end(follow: AsyncGenerator[Sequence[Recorded], None]) -> bool:
    async for _ in follow:
        pass
    return True


async def accepted(request: Request, verbs: Services, run: Run) -> Response:
    ahead = await verbs.runs.ahead(run)
    body = run_response(run, sessions_enabled=verbs.runs.sessions_enabled, ahead=ahead)
    mounted_at = request.scope.get("root_path", "")
    return JSONResponse(body, 202, {"location": f"{mounted_at}/runs/{run.id}"})


# Info -------------------------------------------------------------------------------------------------------------


async def info(request: Request, verbs: Verbs, agent: Agent) -> JSONResponse:
    """What the agent is, what it can use, and where it is reached. Its instructions only if the operator allows it."""
    return JSONResponse(_info(verbs, agent, request.url.path.removesuffix("/info")))


async def catalogue(request: Request, verbs: Verbs, caller: Caller) -> JSONResponse:
    """The agents you can talk to."""
    root = request.url.path.removesuffix("/agents")
    cards = verbs.catalog.list(caller)
    return JSONResponse({"agents": [_info(verbs, card, root + _short_path(card.key)) for card in cards]})


def _short_path(key: str) -> str:
    return f"/agents/{key}" if key in RESERVED else f"/{key}"


def _info(verbs: Services, card: AgentCard, base: str) -> dict[str, Any]:
    habits = RunOptions().or_else(card.habits, verbs.runs.habits)
    memory = card.memory.or_else(verbs.player.memory)
    described = {
        "name": card.name,
        "agent_name": card.key,
        "description": card.description,
        "model": card.model,
        "tools": [{"name": tool.name, "description": tool.description} for tool in card.tools],
        "tools_count": len(card.tools),
        "handoffs": card.handoffs,
        "handoffs_count": len(card.handoffs),
        "capabilities": card.capabilities,
        "endpoints": {
            "run": f"{base}/run",
            "stream": f"{base}/stream",
            "info": f"{base}/info",
            "session": f"{base}/session/{{session_id}}",
        },
        "session_config": {
            "sessions_enabled": verbs.runs.sessions_enabled,
            "history_limit": memory.limit,
            "history_tokens": memory.tokens,
            "history_outputs": memory.outputs,
            "history_summary": bool(memory.summarize),
            "on_busy": habits.on_busy,
            "on_disconnect": habits.on_disconnect,
        },
    }
    if verbs.catalog.show_instructions:
        described["instructions"] = card.instructions
    return described


# Session ----------------------------------------------------------------------------------------------------------

SessionPath = Annotated[str, Path(description="The name you gave the conversation.", examples=["user_sarah_123"])]


async def session(
    *,
    verbs: Verbs,
    caller: Caller,
    session_id: SessionPath,
    limit: Annotated[int, Query(ge=1, le=500, description="How many items.", examples=[50])] = 50,
    before: Annotated[
        str | None, Query(description="An item's id: the items before it.", examples=["item_01jd4w4f"])
    ] = None,
) -> JSONResponse:
    """The newest items of your conversation of that name, oldest first. Conversations belong to you, not to an agent:
    every agent shows the same one."""
    page = await verbs.conversations.page(caller, session_id, limit=limit, before=before)
    messages = [session_message(item) for item in page.items]
    body = {
        "session_id": session_id,
        "conversation_id": page.conversation.id,
        "messages": messages,
        "message_count": len(messages),
        "has_more": page.has_more,
        "before": messages[0]["id"] if page.has_more else None,
    }
    return JSONResponse(body)


async def clear_session(verbs: Verbs, caller: Caller, session_id: SessionPath) -> Response:
    """Removes the conversation with everything in it. Its runs are stopped, and the name may be used again."""
    await verbs.conversations.delete(caller, session_id)
    return Response(status_code=204)


# Routers ----------------------------------------------------------------------------------------------------------

_ANYONE = failures(errors.NotAuthenticated, errors.Invalid, errors.StorageUnavailable, statuses=(403, 500))
_AGENT: Responses = {**_ANYONE, **failures(errors.NotFound)}
_SESSION: Responses = {**_AGENT, **failures(errors.SessionsDisabled)}
STARTING = (
    *(errors.NotAuthenticated, errors.NotFound, errors.ConversationBusy, errors.Invalid, errors.IdempotencyMismatch),
    *(errors.StorageUnavailable, errors.ShuttingDown),
)
ENDING = (
    *(
        errors.GuardrailBlocked,
        errors.BudgetExhausted,
        errors.MaxTurnsExceeded,
        errors.RunTimedOut,
        errors.ConversationDeleted,
    ),
    *(errors.RunFailure, errors.ModelRefused, errors.ModelBroken, errors.ToolFailed),
    *(errors.ModelRateLimited, errors.ModelUnavailable, errors.Interrupted),
)
_RUN: Responses = {
    200: example(examples.RUN, "The run has ended."),
    202: example(examples.QUEUED, "The run goes on in the background; `Location` says where."),
    **failures(*STARTING, *ENDING, statuses=(403, 413, 415)),
}
_STREAM: Responses = {
    200: event_stream(
        WireEvent,
        examples.STREAM,
        "One frame per event; its data is one of these. A stream that closes without `stream_complete` or `error` means: "
        "reconnect.",
    ),
    **failures(*STARTING, statuses=(403, 413, 415, 500)),
}


def _add_agent(router: APIRouter, prefix: str, name: str) -> None:
    def add(path: str, endpoint: Callable[..., Any], method: str, scope: Scope, summary: str, **more: Any) -> None:
        router.add_api_route(
            prefix + path,
            endpoint,
            methods=[method],
            summary=summary,
            operation_id=f"{name}_{endpoint.__name__}",
            dependencies=[needs(scope), *more.pop("dependencies", ())],
            **more,
        )

    add("/run", run, "POST", "runs:write", "Run the agent and wait for its answer", responses=_RUN)
    streams = {"response_class": EventStream, "status_code": 200, "responses": _STREAM}
    add("/stream", stream, "POST", "runs:write", "Run the agent and stream it", **streams)
    add("/info", info, "GET", "runs:read", "What the agent is", responses={200: example(examples.INFO), **_AGENT})
    path, known = "/session/{session_id}", [Depends(_card)]
    read: Responses = {200: example(examples.SESSION), **_SESSION}
    write: dict[str, Any] = {"status_code": 204, "responses": _SESSION}
    add(path, session, "GET", "conversations:read", "Read a conversation", dependencies=known, responses=read)
    add(path, clear_session, "DELETE", "conversations:write", "Clear a conversation", dependencies=known, **write)


def catalogue_router(given: Given) -> APIRouter:
    router = _router(given)
    router.add_api_route(
        "/agents",
        catalogue,
        methods=["GET"],
        summary="The agents",
        operation_id="agents",
        dependencies=[needs("runs:read")],
        responses={200: example(examples.AGENTS), **_ANYONE},
    )
    return router


def agents_router(given: Given) -> APIRouter:
    """The long form."""
    router = _router(given, Depends(_named))
    _add_agent(router, "/agents/{agent}", "agent")
    return router


def root_router(given: Given) -> APIRouter:
    """The short form. Comes last, so that it hides no other route."""
    router = _router(given, Depends(_named_at_root))
    _add_agent(router, "/{agent}", "root_agent")
    return router


def agent_router(given: Given, key: str, prefix: str) -> APIRouter:
    """One agent alone, for an application that has its own routes."""
    router = _router(given, Depends(always(key)))
    _add_agent(router, prefix, key)
    return router


def _router(given: Given, *dependencies: Any) -> APIRouter:
    return APIRouter(
        route_class=NativeRoute,
        default_response_class=JSONResponse,
        tags=["agents"],
        dependencies=[Depends(give(given)), *dependencies],
    )

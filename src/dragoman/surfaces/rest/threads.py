"""Conversations as the coaching application names them: threads, and a chat with coaches."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path
from starlette.requests import Request
from starlette.responses import Response

from dragoman.application.coaches import domain_of
from dragoman.domain import errors
from dragoman.domain.conversations import Conversation
from dragoman.domain.ids import is_conversation_id
from dragoman.domain.runs import RunStatus
from dragoman.surfaces.http import problems
from dragoman.surfaces.http.deps import Caller, Given, Idempotency, NativeRoute, Trace, Verbs, give, needs
from dragoman.surfaces.http.openapi import Responses, example, failures
from dragoman.surfaces.http.responses import JSONResponse
from dragoman.surfaces.rest import examples
from dragoman.surfaces.rest.agents import ENDING, STARTING, accepted
from dragoman.surfaces.rest.bodies import CHAT_EXAMPLES, ChatBody
from dragoman.surfaces.rest.conversations import After, Before, Items, Limit
from dragoman.surfaces.rest.wire import session_message

ThreadPath = Annotated[str, Path(description="Its id.", examples=["conv_01jd4w4fct0d9v1w6x2y8z3a4b"])]


async def chat(
    *,
    request: Request,
    verbs: Verbs,
    caller: Caller,
    idempotency: Idempotency,
    trace: Trace,
    body: Annotated[ChatBody, Body(openapi_examples=CHAT_EXAMPLES)],
) -> Response:
    """Says something to a coach and answers with what the coach said. Without `thread_id` a thread begins. Without `domain`
    the coach who spoke last in it goes on, at first the general one; another `domain` hands the thread on to its coach."""
    run = await verbs.coaches.start(
        caller,
        body.message,
        domain=body.domain,
        conversation_id=body.thread_id,
        idempotency=idempotency,
        trace=trace,
    )
    ended = await verbs.runs.wait(caller, run)
    if ended.status is RunStatus.FAILED:
        return problems.of_run(request.scope, ended)
    if not ended.status.ended and ended.status is not RunStatus.REQUIRES_ACTION:  # the server is going away
        return await accepted(request, verbs, ended)
    return JSONResponse(
        {
            "response": ended.final_output,
            "thread_id": ended.conversation_id,
            "domain": domain_of(ended.agent),
            "run_id": ended.id,
        }
    )


async def list_threads(verbs: Verbs, caller: Caller, after: After = None, limit: Limit = 20) -> JSONResponse:
    """Your threads, those with the latest message first. Every conversation is one, whichever way it began; `domain` is null
    where no coach spoke last."""
    page = await verbs.conversations.list(caller, after=after, limit=limit)
    agents = await verbs.conversations.speakers(caller, [each.id for each in page.conversations])
    return JSONResponse({"threads": [_thread(each, agents) for each in page.conversations], "next": page.next})


async def get_thread(
    *, verbs: Verbs, caller: Caller, thread_id: ThreadPath, limit: Items = 50, before: Before = None
) -> JSONResponse:
    """A thread with its newest messages, oldest first. `before` is what the page before this one begins with."""
    if not is_conversation_id(thread_id):
        raise errors.NotFound("thread", thread_id)
    page = await verbs.conversations.page(caller, thread_id, limit=limit, before=before)
    agents = await verbs.conversations.speakers(caller, [thread_id])
    messages = [session_message(item) for item in page.items]
    body = {
        **_thread(page.conversation, agents),
        "messages": messages,
        "has_more": page.has_more,
        "before": messages[0]["id"] if page.has_more else None,
    }
    return JSONResponse(body)


def _thread(conversation: Conversation, agents: Mapping[str, str]) -> dict[str, Any]:
    agent = agents.get(conversation.id, conversation.agent or None)
    return {
        "thread_id": conversation.id,
        "assistant_id": agent,
        "domain": domain_of(agent),
        "is_active": conversation.status == "active",
        "title": conversation.title,
        "metadata": conversation.metadata,
        "last_message_at": conversation.last_message_at,
        "created_at": conversation.created_at,
    }


_ANYONE = failures(
    errors.NotAuthenticated, errors.Invalid, errors.SessionsDisabled, errors.StorageUnavailable, statuses=(403, 500)
)
_CHAT: Responses = {
    200: example(examples.CHAT, "The coach has answered."),
    202: example(examples.QUEUED, "The server is going away, the run is not; `Location` says where it is."),
    **failures(*STARTING, *ENDING, statuses=(403, 413, 415)),
}


def threads_router(given: Given) -> APIRouter:
    router = APIRouter(
        route_class=NativeRoute,
        default_response_class=JSONResponse,
        tags=["threads"],
        dependencies=[Depends(give(given))],
    )
    router.add_api_route(
        "/agents/chat",
        chat,
        methods=["POST"],
        summary="Talk to a coach",
        operation_id="chat",
        dependencies=[needs("runs:write")],
        responses=_CHAT,
    )
    router.add_api_route(
        "/agents/threads",
        list_threads,
        summary="Your threads",
        operation_id="list_threads",
        dependencies=[needs("conversations:read")],
        responses={200: example(examples.THREADS), **_ANYONE},
    )
    router.add_api_route(
        "/agents/threads/{thread_id}",
        get_thread,
        summary="Read a thread",
        operation_id="get_thread",
        dependencies=[needs("conversations:read")],
        responses={200: example(examples.THREAD), **_ANYONE, **failures(errors.NotFound)},
    )
    return router

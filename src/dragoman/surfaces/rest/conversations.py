"""The routes of conversations: list, create, read, change, delete; their items; their branches."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query
from starlette.responses import Response

from dragoman.domain import errors
from dragoman.domain.conversations import ConversationStatus
from dragoman.surfaces.http.deps import Caller, Given, NativeRoute, Verbs, give, needs
from dragoman.surfaces.http.openapi import Responses, example, failures
from dragoman.surfaces.http.responses import JSONResponse
from dragoman.surfaces.rest import examples
from dragoman.surfaces.rest.bodies import (
    CHANGE_EXAMPLES,
    CONVERSATION_EXAMPLES,
    FORK_EXAMPLES,
    ChangeBody,
    ConversationBody,
    ForkBody,
)
from dragoman.surfaces.rest.wire import branch_record, conversation_record, session_message

ConversationPath = Annotated[
    str,
    Path(description="Its id, or the name you gave it.", examples=["conv_01jd4w4fct0d9v1w6x2y8z3a4b"]),
]
After = Annotated[str | None, Query(max_length=100, description="The `next` of an earlier page.")]
Limit = Annotated[int, Query(ge=1, le=100, examples=[20])]
Items = Annotated[int, Query(ge=1, le=500, description="How many items.", examples=[50])]
Before = Annotated[str | None, Query(description="An item's id: the items before it.", examples=["item_01jd4w4f"])]
BRANCH = "branch_01jd4w4fcs7kse2mzz7hn3g8p5"
BranchQuery = Annotated[str | None, Query(description="A branch's id; the current one if left out.", examples=[BRANCH])]


async def list_conversations(
    *,
    verbs: Verbs,
    caller: Caller,
    q: Annotated[
        str | None,
        Query(max_length=1000, description="Words to look for in titles and messages.", examples=["river jord"]),
    ] = None,
    status: Annotated[ConversationStatus | None, Query(examples=["active"])] = None,
    agent: Annotated[str | None, Query(examples=["chat"])] = None,
    tag: Annotated[str | None, Query(description="One of its tags.", examples=["school"])] = None,
    after: After = None,
    limit: Limit = 20,
) -> JSONResponse:
    """Your conversations, those with the latest message first. With `q`, those whose title or one of whose messages, on any
    branch, has all these words; the last word may be unfinished."""
    page = await verbs.conversations.list(
        caller, query=q, status=status, agent=agent, tag=tag, after=after, limit=limit
    )
    found = [conversation_record(conversation) for conversation in page.conversations]
    return JSONResponse({"conversations": found, "next": page.next})


async def create_conversation(
    verbs: Verbs,
    caller: Caller,
    body: Annotated[ConversationBody | None, Body(openapi_examples=CONVERSATION_EXAMPLES)] = None,
) -> JSONResponse:
    """A conversation in which nothing is said yet. Runs find it by its `session_id`, or by its id in the same place. There
    is no need to create one: a run with a new `session_id` does."""
    body = body or ConversationBody()
    agent = verbs.catalog.find(caller, body.agent).key if body.agent else ""
    conversation = await verbs.conversations.create(
        caller, session_id=body.session_id, agent=agent, title=body.title, tags=body.tags, metadata=body.metadata
    )
    return JSONResponse(conversation_record(conversation), 201)


async def get_conversation(verbs: Verbs, caller: Caller, conversation_id: ConversationPath) -> JSONResponse:
    """What is known of a conversation, without its items."""
    return JSONResponse(conversation_record(await verbs.conversations.get(caller, conversation_id)))


async def change_conversation(
    verbs: Verbs,
    caller: Caller,
    conversation_id: ConversationPath,
    body: Annotated[ChangeBody, Body(openapi_examples=CHANGE_EXAMPLES)],
) -> JSONResponse:
    """Rename it, tag it, put it away (`inactive`; a message makes it active again), or switch to another of its branches:
    new messages go there, while runs that were begun stay on theirs."""
    return JSONResponse(
        conversation_record(await verbs.conversations.change(caller, conversation_id, body.to_domain()))
    )


async def delete_conversation(verbs: Verbs, caller: Caller, conversation_id: ConversationPath) -> Response:
    """Removes the conversation with everything in it. Its runs are stopped, and its name may be used again. One that is on hold stays."""
    await verbs.conversations.delete(caller, conversation_id)
    return Response(status_code=204)


async def list_items(
    *,
    verbs: Verbs,
    caller: Caller,
    conversation_id: ConversationPath,
    branch: BranchQuery = None,
    limit: Items = 50,
    before: Before = None,
) -> JSONResponse:
    """The newest items of the current branch, or of another one, oldest first. `before` is what the page before this one
    begins with."""
    page = await verbs.conversations.page(caller, conversation_id, limit=limit, before=before, branch=branch)
    items = [session_message(item) for item in page.items]
    body = {
        "conversation_id": page.conversation.id,
        "branch": branch or page.conversation.branch,
        "items": items,
        "has_more": page.has_more,
        "before": items[0]["id"] if page.has_more else None,
    }
    return JSONResponse(body)


async def fork_conversation(
    verbs: Verbs,
    caller: Caller,
    conversation_id: ConversationPath,
    body: Annotated[ForkBody, Body(openapi_examples=FORK_EXAMPLES)],
) -> JSONResponse:
    """Begins a branch at an item and makes it the current one: the next message follows that item. Nothing is copied, and
    the other branches stay as they are."""
    return JSONResponse(branch_record(await verbs.conversations.fork(caller, conversation_id, body.at)), 201)


async def list_branches(
    verbs: Verbs, caller: Caller, conversation_id: ConversationPath, after: After = None, limit: Limit = 20
) -> JSONResponse:
    """The branches of a conversation, newest first: where each ends, and what was said last on it."""
    page = await verbs.conversations.branches(caller, conversation_id, after=after, limit=limit)
    return JSONResponse({"branches": [branch_record(branch) for branch in page.branches], "next": page.next})


async def compare_branches(
    *,
    verbs: Verbs,
    caller: Caller,
    conversation_id: ConversationPath,
    other: Annotated[str, Query(description="The branch to compare with.", examples=[BRANCH])],
    branch: BranchQuery = None,
    limit: Items = 50,
) -> JSONResponse:
    """Where two branches part: the last item they share, and the newest items of each since then, oldest first."""
    found = await verbs.conversations.compare(caller, conversation_id, branch, other, limit=limit)
    body = {
        "common": found.common and session_message(found.common),
        "branches": [
            {"branch_id": found.branch, "items": [session_message(item) for item in found.items]},
            {"branch_id": found.other, "items": [session_message(item) for item in found.other_items]},
        ],
    }
    return JSONResponse(body)


_ALWAYS = (errors.NotAuthenticated, errors.Invalid, errors.SessionsDisabled, errors.StorageUnavailable)
_READ: Responses = failures(*_ALWAYS, statuses=(403, 500))
_READ_ONE: Responses = failures(*_ALWAYS, errors.NotFound, statuses=(403, 500))
_WRITE_ONE: Responses = failures(*_ALWAYS, errors.NotFound, statuses=(403, 413, 415, 500))
_DELETE: Responses = failures(*_ALWAYS, errors.NotFound, errors.OnHold, statuses=(403, 500))
_CREATE: Responses = failures(*_ALWAYS, errors.NotFound, errors.NameTaken, statuses=(403, 413, 415, 500))


def conversations_router(given: Given) -> APIRouter:
    router = APIRouter(
        route_class=NativeRoute,
        default_response_class=JSONResponse,
        tags=["conversations"],
        dependencies=[Depends(give(given))],
    )

    def add(
        method: str, path: str, endpoint: Callable[..., Any], summary: str, responses: Responses, **more: Any
    ) -> None:
        router.add_api_route(
            "/conversations" + path,
            endpoint,
            methods=[method],
            summary=summary,
            operation_id=endpoint.__name__,
            dependencies=[needs("conversations:read" if method == "GET" else "conversations:write")],
            responses=responses,
            **more,
        )

    one = "/{conversation_id}"
    record = example(examples.CONVERSATION)
    created = {201: example(examples.CONVERSATION, "It is there."), **_CREATE}
    forked = {201: example(examples.BRANCH, "The new branch."), **_WRITE_ONE}
    add("GET", "", list_conversations, "Your conversations", {200: example(examples.CONVERSATIONS), **_READ})
    add("POST", "", create_conversation, "Create a conversation", created, status_code=201)
    add("GET", one, get_conversation, "What a conversation is", {200: record, **_READ_ONE})
    add("PATCH", one, change_conversation, "Change a conversation", {200: record, **_WRITE_ONE})
    add("DELETE", one, delete_conversation, "Delete a conversation", _DELETE, status_code=204)
    add("GET", one + "/items", list_items, "Read a conversation's items", {200: example(examples.ITEMS), **_READ_ONE})
    add("POST", one + "/fork", fork_conversation, "Begin a branch", forked, status_code=201)
    branches = {200: example(examples.BRANCHES), **_READ_ONE}
    add("GET", one + "/branches", list_branches, "The branches of a conversation", branches)
    compared = {200: example(examples.COMPARISON), **_READ_ONE}
    add("GET", one + "/compare", compare_branches, "Compare two branches", compared)
    return router

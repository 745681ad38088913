"""Conversations and their items: the same as everywhere else, by the same ids. Lists are of the current branch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Len, MaxLen
from fastapi import APIRouter, Depends, Query
from pydantic import ConfigDict

from dragoman.domain.conversations import START, Change, Conversation
from dragoman.domain.errors import Invalid
from dragoman.domain.identity import Scope
from dragoman.surfaces.http.deps import Caller, Given, Verbs, give, needs
from dragoman.surfaces.http.responses import JSONResponse
from dragoman.surfaces.openai.bodies import STRICT, Metadata
from dragoman.surfaces.openai.items import item_object, item_page

Json = dict[str, Any]
MAX_ITEMS = 20
"""As many as OpenAI takes in one request; its clients send more in several."""


@dataclass(frozen=True, slots=True)
class ConversationBody:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    items: Annotated[list[Json], MaxLen(MAX_ITEMS)] | None = None
    metadata: Metadata | None = None


@dataclass(frozen=True, slots=True)
class ChangeBody:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    metadata: Metadata | None


@dataclass(frozen=True, slots=True)
class ItemsBody:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    items: Annotated[list[Json], Len(1, MAX_ITEMS)]


# Conversations ----------------------------------------------------------------------------------------------------


async def create_conversation(verbs: Verbs, caller: Caller, body: ConversationBody | None = None) -> JSONResponse:
    body = body or ConversationBody()
    conversation = await verbs.conversations.create(caller, metadata=dict(body.metadata or {}), items=body.items or ())
    return JSONResponse(_conversation(conversation))


async def get_conversation(verbs: Verbs, caller: Caller, conversation_id: str) -> JSONResponse:
    return JSONResponse(_conversation(await verbs.conversations.get(caller, conversation_id)))


async def change_conversation(verbs: Verbs, caller: Caller, conversation_id: str, body: ChangeBody) -> JSONResponse:
    change = Change(metadata=dict(body.metadata or {}))
    return JSONResponse(_conversation(await verbs.conversations.change(caller, conversation_id, change)))


async def delete_conversation(verbs: Verbs, caller: Caller, conversation_id: str) -> JSONResponse:
    conversation = await verbs.conversations.get(caller, conversation_id)
    await verbs.conversations.delete(caller, conversation.id)
    return JSONResponse({"id": conversation.id, "object": "conversation.deleted", "deleted": True})


def _conversation(conversation: Conversation) -> Json:
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": int(conversation.created_at.timestamp()),
        "metadata": conversation.metadata,
    }


# Items ------------------------------------------------------------------------------------------------------------


async def list_items(
    *,
    verbs: Verbs,
    caller: Caller,
    conversation_id: str,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> JSONResponse:
    """``after`` is meant in the order of the list. Whatever ``include`` asks for is there already, if it is kept."""
    place = {"after": after or START} if order == "asc" else {"before": after}
    try:
        page = await verbs.conversations.page(caller, conversation_id, limit=limit, **place)
    except Invalid as error:
        raise Invalid(error.detail, field="after") from None
    items = page.items if order == "asc" else page.items[::-1]
    return JSONResponse(item_page([item_object(item) for item in items], has_more=page.has_more))


async def create_items(verbs: Verbs, caller: Caller, conversation_id: str, body: ItemsBody) -> JSONResponse:
    items = await verbs.conversations.add(caller, conversation_id, body.items)
    return JSONResponse(item_page([item_object(item) for item in items], has_more=False))


async def get_item(verbs: Verbs, caller: Caller, conversation_id: str, item_id: str) -> JSONResponse:
    return JSONResponse(item_object(await verbs.conversations.item(caller, conversation_id, item_id)))


async def delete_item(verbs: Verbs, caller: Caller, conversation_id: str, item_id: str) -> JSONResponse:
    return JSONResponse(_conversation(await verbs.conversations.remove(caller, conversation_id, item_id)))


def conversations_router(given: Given) -> APIRouter:
    router = APIRouter(include_in_schema=False, dependencies=[Depends(give(given))])

    def add(method: str, path: str, endpoint: Callable[..., Any]) -> None:
        scope: Scope = "conversations:read" if method == "GET" else "conversations:write"
        path = f"/v1/conversations{path}"
        router.add_api_route(path, endpoint, methods=[method], dependencies=[needs(scope)])

    one, items = "/{conversation_id}", "/{conversation_id}/items"
    add("POST", "", create_conversation)
    add("GET", one, get_conversation)
    add("POST", one, change_conversation)
    add("DELETE", one, delete_conversation)
    add("GET", items, list_items)
    add("POST", items, create_items)
    add("GET", items + "/{item_id}", get_item)
    add("DELETE", items + "/{item_id}", delete_item)
    return router

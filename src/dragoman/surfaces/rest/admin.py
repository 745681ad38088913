"""The routes of administrators: API keys, people, holds and the audit log of their tenant."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query
from starlette.responses import Response

from dragoman.domain import errors
from dragoman.domain.audit import AuditAction, AuditEntry
from dragoman.domain.conversations import Conversation
from dragoman.domain.keys import ApiKey, lifetime
from dragoman.surfaces.http.deps import Caller, Given, NativeRoute, Verbs, give, needs
from dragoman.surfaces.http.openapi import Responses, example, failures
from dragoman.surfaces.http.responses import JSONResponse
from dragoman.surfaces.rest import examples
from dragoman.surfaces.rest.archive import ARCHIVE, archive
from dragoman.surfaces.rest.bodies import KEY_EXAMPLES, KeyBody
from dragoman.surfaces.rest.people import erased_record

KeyPath = Annotated[str, Path(description="A key's id.", examples=["key_01jd4w4fcs7kse2mzz7hn3g8p5"])]
ConversationId = Annotated[str, Path(description="Its id.", examples=["conv_01jd4w4fct0d9v1w6x2y8z3a4b"])]
UserPath = Annotated[str, Path(description="A user of your tenant.", examples=["alice"])]
After = Annotated[str | None, Query(description="The `next` of an earlier page.")]
Limit = Annotated[int, Query(ge=1, le=500, description="How many.", examples=[50])]


async def create_key(
    verbs: Verbs, caller: Caller, body: Annotated[KeyBody, Body(openapi_examples=KEY_EXAMPLES)]
) -> JSONResponse:
    """Makes an API key for a user of your tenant. `key` is shown this once: what is kept is a digest of it."""
    key, shown = await verbs.keys.create(
        caller,
        body.user,
        tenant=caller.tenant,
        scopes=body.scopes,
        name=body.name,
        lifetime=None if body.expires is None else lifetime(body.expires),
    )
    return JSONResponse({"key": shown, **key_record(key)}, 201)


async def list_keys(
    *,
    verbs: Verbs,
    caller: Caller,
    user: Annotated[str | None, Query(description="Only this user's.", examples=["alice"])] = None,
    after: After = None,
    limit: Limit = 20,
) -> JSONResponse:
    """The keys of your tenant, newest first, revoked and expired ones included. `last_used_at` is some minutes late."""
    page = await verbs.keys.list(caller, tenant=caller.tenant, user=user, after=after, limit=limit)
    return JSONResponse({"keys": [key_record(key) for key in page.keys], "next": page.next})


async def revoke_key(verbs: Verbs, caller: Caller, key_id: KeyPath) -> JSONResponse:
    """Makes a key good for nothing, on every server within five seconds. It stays in the list."""
    return JSONResponse(key_record(await verbs.keys.revoke(caller, key_id, tenant=caller.tenant)))


async def read_audit(
    *,
    verbs: Verbs,
    caller: Caller,
    actor: Annotated[str | None, Query(description="Only what this user did.", examples=["alice"])] = None,
    action: Annotated[AuditAction | None, Query(description="Only this.", examples=["key.revoked"])] = None,
    after: After = None,
    limit: Limit = 50,
) -> JSONResponse:
    """What administrators did in your tenant and what was done to its keys, newest first. Reading it is in it as well."""
    page = await verbs.audit.page(caller, tenant=caller.tenant, actor=actor, action=action, after=after, limit=limit)
    return JSONResponse({"entries": [audit_record(entry) for entry in page.entries], "next": page.next})


async def hold_conversation(verbs: Verbs, caller: Caller, conversation_id: ConversationId) -> JSONResponse:
    """From now on a conversation of anybody in your tenant must be kept: no retention removes it, it does not become
    inactive, and its owner cannot delete it."""
    return JSONResponse(hold_record(await verbs.conversations.hold(caller, conversation_id, hold=True)))


async def release_conversation(verbs: Verbs, caller: Caller, conversation_id: ConversationId) -> JSONResponse:
    """It need not be kept any more."""
    return JSONResponse(hold_record(await verbs.conversations.hold(caller, conversation_id, hold=False)))


async def export_person(verbs: Verbs, caller: Caller, user: UserPath) -> Response:
    """A ZIP archive of everything of a user of your tenant: a file of JSON for every kind of thing, and `manifest.json` with
    the number of things, the size and the SHA-256 digest of each file."""
    return archive(await verbs.people.export(caller, user, tenant=caller.tenant))


async def erase_person(
    verbs: Verbs,
    caller: Caller,
    user: UserPath,
    despite_holds: Annotated[bool, Query(description="Also conversations that are on hold.")] = False,
) -> JSONResponse:
    """Stops what of theirs is under way and removes everything of a user of your tenant, in steps. What others own and the
    audit log name a pseudonym afterwards. If it breaks off, make it again. They should have no way to come back
    before: their API keys go at once, tokens are for whoever issues them."""
    found = await verbs.people.erase(caller, user, tenant=caller.tenant, despite_holds=despite_holds)
    return JSONResponse(erased_record(user, found))


def hold_record(conversation: Conversation) -> dict[str, Any]:
    return {"conversation_id": conversation.id, "user": conversation.owner, "hold": conversation.hold}


def key_record(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": key.id,
        "user": key.owner,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
    }


def audit_record(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at,
        "actor": entry.actor,
        "key_id": entry.key,
        "action": entry.action,
        "target": entry.target,
        "detail": entry.detail,
    }


_ALWAYS = (errors.NotAuthenticated, errors.Forbidden, errors.Invalid, errors.StorageUnavailable)
_READ: Responses = failures(*_ALWAYS, statuses=(500,))
_ONE: Responses = failures(*_ALWAYS, errors.NotFound, statuses=(500,))
_ERASE: Responses = failures(*_ALWAYS, errors.OnHold, statuses=(500,))
_ONE_CONVERSATION: Responses = failures(*_ALWAYS, errors.NotFound, errors.SessionsDisabled, statuses=(500,))
_WRITE: Responses = failures(*_ALWAYS, statuses=(413, 415, 500))


def admin_router(given: Given) -> APIRouter:
    router = APIRouter(
        route_class=NativeRoute,
        default_response_class=JSONResponse,
        tags=["administration"],
        dependencies=[Depends(give(given)), needs("admin")],
    )

    def add(
        method: str, path: str, endpoint: Callable[..., Any], summary: str, responses: Responses, **more: Any
    ) -> None:
        router.add_api_route(
            "/admin" + path,
            endpoint,
            methods=[method],
            summary=summary,
            operation_id=endpoint.__name__,
            responses=responses,
            **more,
        )

    created = {201: example(examples.NEW_KEY, "It is shown this once."), **_WRITE}
    add("POST", "/keys", create_key, "Create an API key", created, status_code=201)
    add("GET", "/keys", list_keys, "The API keys", {200: example(examples.KEYS), **_READ})
    add("DELETE", "/keys/{key_id}", revoke_key, "Revoke an API key", {200: example(examples.REVOKED_KEY), **_ONE})
    held = {200: example(examples.HOLD), **_ONE_CONVERSATION}
    add("PUT", "/conversations/{conversation_id}/hold", hold_conversation, "Put a conversation on hold", held)
    released = {200: example({**examples.HOLD, "hold": False}), **_ONE_CONVERSATION}
    add("DELETE", "/conversations/{conversation_id}/hold", release_conversation, "Release a conversation", released)
    exported = {200: ARCHIVE, **_READ}
    add(
        "GET",
        "/people/{user:path}/export",
        export_person,
        "Export everything of a user",
        exported,
        response_class=Response,
    )
    erased = {200: example(examples.ERASED), **_ERASE}
    add("DELETE", "/people/{user:path}", erase_person, "Erase everything of a user", erased)
    add("GET", "/audit", read_audit, "The audit log", {200: example(examples.AUDIT), **_READ})
    return router

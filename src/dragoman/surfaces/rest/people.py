"""The routes of whoever wants to have, or to remove, everything that is their own."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from dragoman.application.people import Erased
from dragoman.domain import errors
from dragoman.domain.errors import Invalid
from dragoman.surfaces.http.deps import Caller, Given, NativeRoute, Verbs, give, needs
from dragoman.surfaces.http.openapi import Responses, example, failures
from dragoman.surfaces.http.responses import JSONResponse
from dragoman.surfaces.rest import examples
from dragoman.surfaces.rest.archive import ARCHIVE, archive

Confirm = Annotated[
    str, Query(description="Your own user name, so that nobody does this by mistake.", examples=["alice"])
]


async def export_me(verbs: Verbs, caller: Caller) -> Response:
    """A ZIP archive of everything that is yours: a file of JSON for every kind of thing, and `manifest.json` with the number
    of things, the size and the SHA-256 digest of each file."""
    return archive(await verbs.people.export(caller, caller.user, tenant=caller.tenant))


async def erase_me(verbs: Verbs, caller: Caller, confirm: Confirm) -> JSONResponse:
    """Stops what of yours is under way and removes everything that is yours, for good. If it breaks off, make it again."""
    if confirm != caller.user:
        raise Invalid("To erase everything of yours, confirm it with your own user name.", field="confirm")
    return JSONResponse(erased_record(caller.user, await verbs.people.erase(caller, caller.user, tenant=caller.tenant)))


def erased_record(user: str, erased: Erased) -> dict[str, Any]:
    return {"user": user, "removed": erased.removed, "renamed": erased.renamed, "pseudonym": erased.pseudonym}


_ALWAYS = (errors.NotAuthenticated, errors.Forbidden, errors.Invalid, errors.StorageUnavailable)
_READ: Responses = failures(*_ALWAYS, statuses=(500,))
_ERASE: Responses = failures(*_ALWAYS, errors.OnHold, statuses=(500,))


def people_router(given: Given) -> APIRouter:
    router = APIRouter(
        route_class=NativeRoute,
        default_response_class=JSONResponse,
        tags=["me"],
        dependencies=[Depends(give(given)), needs("me")],
    )
    exported = {200: ARCHIVE, **_READ}
    router.add_api_route(
        "/me/export",
        export_me,
        methods=["GET"],
        summary="Export everything of yours",
        operation_id=export_me.__name__,
        responses=exported,
        response_class=Response,
    )
    erased = {200: example(examples.ERASED), **_ERASE}
    router.add_api_route(
        "/me",
        erase_me,
        methods=["DELETE"],
        summary="Erase everything of yours",
        operation_id=erase_me.__name__,
        responses=erased,
    )
    return router

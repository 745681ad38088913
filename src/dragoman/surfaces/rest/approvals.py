"""The routes of approvals: the inbox, and deciding."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query

from dragoman.application.services import Services
from dragoman.domain import errors
from dragoman.domain.approvals import ApprovalStatus
from dragoman.domain.identity import Principal
from dragoman.domain.runs import Run, RunStatus
from dragoman.surfaces.http.deps import Caller, Given, NativeRoute, Verbs, give, needs
from dragoman.surfaces.http.openapi import example, failures
from dragoman.surfaces.http.responses import JSONResponse
from dragoman.surfaces.rest import examples
from dragoman.surfaces.rest.bodies import DECISION_EXAMPLES, DecisionBody
from dragoman.surfaces.rest.wire import approval_record

MANY = 1000
"""Pending approvals of one run that are told with it."""


async def list_approvals(
    *,
    verbs: Verbs,
    caller: Caller,
    status: Annotated[ApprovalStatus | None, Query(examples=["pending"])] = None,
    run_id: Annotated[
        str | None, Query(description="Of this run only.", examples=["run_01jd4w4fcs7kse2mzz7hn3g8p5"])
    ] = None,
    after: Annotated[str | None, Query(description="The `next` of an earlier page.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, examples=[20])] = 20,
) -> JSONResponse:
    """What runs wait for, newest first: your own runs, those whose tools ask for a scope you have, and for an administrator
    all of the tenant."""
    page = await verbs.approvals.list(caller, status=status, run_id=run_id, after=after, limit=limit)
    approvals = [approval_record(approval) for approval in page.approvals]
    return JSONResponse({"approvals": approvals, "next": page.next})


async def decide(
    verbs: Verbs,
    caller: Caller,
    run_id: Annotated[str, Path(description="A run's id.", examples=["run_01jd4w4fcs7kse2mzz7hn3g8p5"])],
    approval_id: Annotated[str, Path(description="An approval's id.", examples=["appr_01jd4w4fcs7kse2mzz7hn3g8p5"])],
    body: Annotated[DecisionBody, Body(openapi_examples=DECISION_EXAMPLES)],
) -> JSONResponse:
    """Agree to a call, agree to it with other arguments, or refuse it. The first decision counts, every other is 409. The run
    goes on at once, wherever there is room; follow it at `GET /runs/{run_id}/events`."""
    approval = await verbs.approvals.decide(
        caller, run_id, approval_id, body.decision, arguments=body.arguments, message=body.message
    )
    return JSONResponse(approval_record(approval))


async def pending(verbs: Services, caller: Principal, run: Run) -> dict[str, Any]:
    """What a run waits for, as part of its record."""
    if run.status is not RunStatus.REQUIRES_ACTION:
        return {}
    page = await verbs.approvals.list(caller, status=ApprovalStatus.PENDING, run_id=run.id, limit=MANY)
    return {"approvals": [approval_record(approval) for approval in reversed(page.approvals)]}


_COMMON = (errors.NotAuthenticated, errors.Invalid, errors.StorageUnavailable)


def approvals_router(given: Given) -> APIRouter:
    router = APIRouter(
        route_class=NativeRoute,
        default_response_class=JSONResponse,
        tags=["approvals"],
        dependencies=[Depends(give(given))],
    )
    router.add_api_route(
        "/approvals",
        list_approvals,
        summary="What waits for a person",
        operation_id="list_approvals",
        dependencies=[needs("runs:read")],
        responses={200: example(examples.APPROVALS), **failures(*_COMMON, statuses=(403, 500))},
    )
    router.add_api_route(
        "/runs/{run_id}/approvals/{approval_id}",
        decide,
        methods=["POST"],
        summary="Decide",
        operation_id="decide",
        dependencies=[needs("runs:write")],
        responses={
            200: example(examples.APPROVAL, "It is decided, and the run goes on."),
            **failures(*_COMMON, errors.NotFound, errors.AlreadyDecided, statuses=(403, 413, 415, 500)),
        },
    )
    return router

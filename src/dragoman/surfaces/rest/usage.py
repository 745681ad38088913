"""The routes of usage: what a period used and cost, and every request to a model that a run made."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from dragoman.application.budgets import Status
from dragoman.domain import errors
from dragoman.domain.ledger import Entry, GroupBy, Sum
from dragoman.domain.usage import money, total
from dragoman.surfaces.http.deps import Caller, Given, NativeRoute, Verbs, give, needs
from dragoman.surfaces.http.openapi import example, failures
from dragoman.surfaces.http.responses import JSONResponse
from dragoman.surfaces.rest.runs import RunPath

_GROUP_NAMES: dict[GroupBy, str] = {
    "day": "day",
    "agent": "agent",
    "model": "model",
    "conversation": "conversation_id",
}


async def usage(
    *,
    verbs: Verbs,
    caller: Caller,
    since: Annotated[
        datetime | None,
        Query(
            alias="from", description="From here on, UTC unless it says otherwise; 30 days before `to` unless given."
        ),
    ] = None,
    until: Annotated[
        datetime | None, Query(alias="to", description="Up to here, itself not included; now unless given.")
    ] = None,
    group_by: Annotated[GroupBy, Query(description="What each group stands for.", examples=["model"])] = "day",
) -> JSONResponse:
    """What your model calls used: answered, failed, cancelled and repeated ones, whether their conversations still exist or
    not. Tokens that no endpoint counted are estimated and in `estimated_requests`. `cost` is exact, of the requests whose
    price is known; the others are in `unpriced_requests`, and where no price is known, `cost` is null."""
    period, report = await verbs.usage.report(caller, _utc(since), _utc(until), group_by)
    name = _GROUP_NAMES[group_by]
    return JSONResponse(
        {
            "from": period.since,
            "to": period.until,
            "group_by": group_by,
            "total": report.total,
            "groups": [{name: group, **asdict(sums)} for group, sums in report.groups],
        }
    )


async def budgets(verbs: Verbs, caller: Caller) -> JSONResponse:
    """The budgets that your model calls are paid from, as a user, by your key or as a tenant: what is spent since the day or the
    month began, what calls that are under way have reserved, and what is left. Budgets of agents are not among them."""
    return JSONResponse({"budgets": [budget_record(status) for status in await verbs.budgets.status(caller)]})


def budget_record(status: Status) -> dict[str, Any]:
    return {
        "name": status.budget.name,
        "per": status.budget.per,
        "period": status.budget.span,
        "ceiling": money(status.budget.ceiling),
        "spent": money(status.balance.spent),
        "reserved": money(status.balance.reserved),
        "left": money(status.left),
        "currency": "USD",
        "since": status.account.since,
        "until": status.until,
    }


async def run_usage(verbs: Verbs, caller: Caller, run_id: RunPath) -> JSONResponse:
    """Every request to a model endpoint that a run made, in order: which endpoint and model, how it ended and why, what it
    used and cost. Requests with the same `path` and `ordinal` are tries of one call; the last of them answered, or none."""
    entries = await verbs.usage.of_run(caller, run_id)
    return JSONResponse(
        {
            "run_id": run_id,
            "usage": total(entry.usage for entry in entries),
            "requests": [_request(entry) for entry in entries],
        }
    )


def _utc(given: datetime | None) -> datetime | None:
    if given is None or given.tzinfo is not None:
        return given
    return given.replace(tzinfo=UTC)


def _request(entry: Entry) -> dict[str, Any]:
    used = entry.usage
    return {
        "path": entry.path,
        "ordinal": entry.ordinal,
        "agent": entry.agent,
        "endpoint": entry.endpoint,
        "model": entry.model,
        "status": entry.status,
        "code": entry.code,
        "latency_ms": entry.latency_ms,
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "total_tokens": used.total_tokens,
        "cached_input_tokens": used.cached_input_tokens,
        "reasoning_tokens": used.reasoning_tokens,
        "estimated": entry.estimated,
        "cost": used.cost,
        "currency": used.currency,
    }


_RUN_ID = "run_01jd4w4fcs7kse2mzz7hn3g8p5"
_SUM = asdict(Sum(2, 1, 0, 0, 24, 4, 28, 0, 0, "0.000031"))
_REPORT = {
    "from": "2026-11-01T00:00:00Z",
    "to": "2026-12-01T00:00:00Z",
    "group_by": "day",
    "total": _SUM,
    "groups": [{"day": "2026-11-20", **_SUM}],
}
_REQUESTS = {
    "run_id": _RUN_ID,
    "usage": {"requests": 1, "input_tokens": 12, "output_tokens": 4, "total_tokens": 16, "cost": "0.000031"},
    "requests": [
        {
            "path": "",
            "ordinal": 0,
            "agent": "chat",
            "endpoint": "openai",
            "model": "gpt-5-mini",
            "status": "answered",
            "code": None,
            "latency_ms": 830,
            "input_tokens": 12,
            "output_tokens": 4,
            "total_tokens": 16,
            "cached_input_tokens": 0,
            "reasoning_tokens": 0,
            "estimated": False,
            "cost": "0.000031",
            "currency": "USD",
        }
    ],
}
_BUDGETS = {
    "budgets": [
        {
            "name": "people",
            "per": "user",
            "period": "day",
            "ceiling": "2",
            "spent": "0.000031",
            "reserved": "0",
            "left": "1.999969",
            "currency": "USD",
            "since": "2026-11-20T00:00:00Z",
            "until": "2026-11-21T00:00:00Z",
        }
    ]
}
_COMMON = (errors.NotAuthenticated, errors.Invalid, errors.StorageUnavailable)


def usage_router(given: Given) -> APIRouter:
    router = APIRouter(
        route_class=NativeRoute,
        default_response_class=JSONResponse,
        tags=["usage"],
        dependencies=[Depends(give(given))],
    )
    router.add_api_route(
        "/usage",
        usage,
        summary="What you used",
        operation_id="usage",
        dependencies=[needs("usage:read")],
        responses={200: example(_REPORT), **failures(*_COMMON, statuses=(403, 500))},
    )
    router.add_api_route(
        "/usage/budgets",
        budgets,
        summary="Your budgets",
        operation_id="budgets",
        dependencies=[needs("usage:read")],
        responses={200: example(_BUDGETS), **failures(*_COMMON, statuses=(403, 500))},
    )
    router.add_api_route(
        "/runs/{run_id}/usage",
        run_usage,
        summary="What a run used",
        operation_id="run_usage",
        dependencies=[needs("usage:read")],
        responses={200: example(_REQUESTS), **failures(*_COMMON, errors.NotFound, statuses=(403, 500))},
    )
    return router

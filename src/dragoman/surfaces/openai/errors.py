"""Errors as clients of OpenAI read them: one envelope for everything under ``/v1``, and headers that say whether to retry."""

import re
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from dragoman.domain import errors
from dragoman.surfaces.http.problems import Problem, retry_after
from dragoman.surfaces.http.responses import JSONResponse

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
RETRIED = frozenset({408, 409, 429})
"""Statuses below 500 at which the official clients try again unless they are told not to."""

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class ModelNotFound(errors.NotFound):
    code = "model_not_found"

    def __init__(self, model: str) -> None:
        super().__init__("model", model)


PARAMS = {ModelNotFound.code: "model"}


def as_openai_error(problem: Problem, request_id: str) -> Response:  # noqa: ARG001 - a header says it
    """``problems.Envelope``."""
    status = _status(problem)
    return JSONResponse({"error": error_object(problem)}, status, {**problem.headers, **_retrying(problem, status)})


def error_object(problem: Problem) -> dict[str, Any]:
    status = _status(problem)
    error = {
        "message": problem.detail,
        "type": TYPES.get(status, "invalid_request_error" if status < 500 else "server_error"),
        "param": _param(problem),
        "code": problem.code,
    }
    return error if problem.run_id is None else {**error, "run_id": problem.run_id}


def _status(problem: Problem) -> int:
    """What makes no sense is 400 there, never 422."""
    return 400 if problem.status == 422 else problem.status


def _param(problem: Problem) -> str | None:
    """Which parameter is wrong, as they write it: ``messages[0].content``."""
    if not problem.fields:
        return PARAMS.get(problem.code)
    return re.sub(r"\.(\d+)", r"[\1]", problem.fields[0].field) or None


def _retrying(problem: Problem, status: int) -> dict[str, str]:
    headers = retry_after(problem)
    if problem.retry_after is not None:
        headers["retry-after-ms"] = str(round(problem.retry_after * 1000))
    if status in RETRIED or status >= 500:
        headers["x-should-retry"] = "true" if problem.retryable else "false"
    return headers


def unknown_router() -> APIRouter:
    """What nothing else under ``/v1`` answers. Comes last."""
    router = APIRouter(include_in_schema=False)

    async def unknown(request: Request) -> None:
        raise errors.NotFound("address", f"{request.method} {request.url.path}")

    router.add_api_route("/v1", unknown, methods=METHODS)
    router.add_api_route("/v1/{rest:path}", unknown, methods=METHODS)
    return router

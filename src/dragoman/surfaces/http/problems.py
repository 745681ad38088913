"""What went wrong, as its client is told. One table says which status a domain error has.

A problem is told as ``application/problem+json`` (RFC 9457), unless the protocol that was spoken has an envelope of its
own. It never holds the text of an exception that is not ours.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from dragoman.domain import errors
from dragoman.domain.errors import DragomanError
from dragoman.domain.ids import request_id as new_request_id
from dragoman.domain.runs import Run, RunError
from dragoman.surfaces.http.responses import dump

MEDIA_TYPE = "application/problem+json"


class Row(NamedTuple):
    status: int
    title: str
    retry_after: float | None = None  # when the error itself does not know


TABLE: dict[type[DragomanError], Row] = {
    errors.DragomanError: Row(500, "Internal error"),
    errors.NotAuthenticated: Row(401, "Not authenticated"),
    errors.TokenExpired: Row(401, "Token expired"),
    errors.InvalidToken: Row(401, "Invalid token"),
    errors.Forbidden: Row(403, "Forbidden"),
    errors.UnknownTenant: Row(403, "Unknown tenant"),
    errors.NotFound: Row(404, "Not found"),
    errors.Invalid: Row(422, "Invalid request"),
    errors.IdempotencyMismatch: Row(422, "Idempotency key reused"),
    errors.UrlRefused: Row(422, "Address refused"),
    errors.Conflict: Row(409, "Conflict"),
    errors.ConversationBusy: Row(409, "Conversation busy"),
    errors.RunEnded: Row(409, "Run ended"),
    errors.RunCancelled: Row(409, "Run cancelled"),
    errors.ApprovalRequired: Row(409, "Approval required"),
    errors.AlreadyDecided: Row(409, "Already decided"),
    errors.NameTaken: Row(409, "Name taken"),
    errors.OnHold: Row(409, "On hold"),
    errors.SessionsDisabled: Row(409, "Sessions disabled"),
    errors.Unavailable: Row(503, "Unavailable", retry_after=2),
    errors.StorageUnavailable: Row(503, "Storage unavailable", retry_after=2),
    errors.IdentityUnavailable: Row(503, "Identity unavailable", retry_after=5),
    errors.ShuttingDown: Row(503, "Shutting down", retry_after=5),
    errors.ModelError: Row(502, "Model failed"),
    errors.ModelRateLimited: Row(503, "Model rate limited", retry_after=10),
    errors.ModelUnavailable: Row(503, "Model unavailable", retry_after=5),
    errors.ModelRefused: Row(502, "Model refused the request"),
    errors.ModelBroken: Row(502, "Model's answer is broken"),
    errors.FetchFailed: Row(502, "Fetch failed"),
    errors.BudgetExhausted: Row(402, "Budget exhausted"),
    errors.LimitExceeded: Row(429, "Limit reached", retry_after=5),
    errors.TooManyRequests: Row(429, "Too many requests", retry_after=5),
    errors.TooManyRuns: Row(429, "Too many runs", retry_after=5),
    errors.TokensUsedUp: Row(429, "Tokens used up", retry_after=60),
    errors.RunFailure: Row(500, "Run failed"),
    errors.MaxTurnsExceeded: Row(422, "Too many turns"),
    errors.RunTimedOut: Row(504, "Too slow"),
    errors.ToolFailed: Row(502, "Tool failed"),
    errors.GuardrailBlocked: Row(400, "Blocked by a guardrail"),
    errors.Interrupted: Row(503, "Interrupted", retry_after=2),
    errors.SearchFailed: Row(502, "Search failed"),
    errors.ReplayDiverged: Row(409, "Agents changed"),
    errors.ConversationDeleted: Row(409, "Conversation deleted"),
    errors.LogFull: Row(500, "Run too long"),
}

BY_CODE = {error.code: row for error, row in TABLE.items()}

OF_HTTP: dict[int, tuple[str, str, str]] = {
    400: ("bad_request", "Bad request", "The body cannot be read."),
    403: ("forbidden", "Forbidden", "This server answers only its own machine."),
    404: ("not_found", "Not found", "There is nothing at this address."),
    405: ("method_not_allowed", "Method not allowed", "This address does not know that method."),
    413: ("body_too_large", "Body too large", "The body is larger than this server accepts."),
    415: ("unsupported_media_type", "Unsupported media type", "The body must be application/json."),
    500: (DragomanError.code, TABLE[DragomanError].title, DragomanError.message),
}
"""Code, title and detail of what fails before any verb is reached, or through a fault of ours."""


@dataclass(frozen=True, slots=True)
class FieldError:
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    title: str
    code: str
    detail: str
    retryable: bool = False
    run_id: str | None = None
    fields: Sequence[FieldError] | None = None
    retry_after: float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


Envelope = Callable[[Problem, str], Response]
"""How a protocol tells a problem; the text is the id of the request."""


def of_error(scope: Scope, error: DragomanError, *, run_id: str | None = None) -> Response:
    row = row_of(type(error))
    fields = [FieldError(error.field or "", error.detail)] if isinstance(error, errors.Invalid) else None
    return told(
        scope,
        Problem(
            *(row.status, row.title, error.code, error.detail, error.retryable),
            run_id=run_id,
            fields=fields,
            retry_after=error.retry_after or row.retry_after,
            headers=_challenge(error),
        ),
    )


def _challenge(error: DragomanError) -> dict[str, str]:
    """How to ask again, as RFC 6750 says it."""
    match error:
        case errors.InvalidToken() | errors.TokenExpired():
            return {"www-authenticate": f'Bearer error="invalid_token", error_description="{error.detail}"'}
        case errors.NotAuthenticated():
            return {"www-authenticate": "Bearer"}
        case errors.Forbidden(scope=str(scope)):
            return {"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'}
        case _:
            return {}


def of_run(scope: Scope, run: Run) -> Response:
    """A run that failed, to somebody who waited for it."""
    return told(scope, failed(run.id, run.error or RunError(errors.RunFailure.code, errors.RunFailure.message)))


def of_status(scope: Scope, status: int, headers: dict[str, str] | None = None) -> Response:
    code, title, detail = OF_HTTP.get(status) or (f"http_{status}", "Error", "The request cannot be answered.")
    return told(scope, Problem(status, title, code, detail, headers=headers or {}))


def of_fields(scope: Scope, error: RequestValidationError) -> Response:
    if isinstance(error.body, bytes):  # it was not even read as JSON
        return of_status(scope, 415)
    row = TABLE[errors.Invalid]
    fields = [FieldError(_field(found["loc"]), _REASONS.get(found["type"], found["msg"])) for found in error.errors()]
    detail = f"{fields[0].field}: {fields[0].reason}."
    return told(scope, Problem(row.status, row.title, errors.Invalid.code, detail, fields=fields))


_REASONS = {
    "dataclass_type": "Input should be an object",
    "unexpected_keyword_argument": "There is no such field",
    "json_invalid": "It is not valid JSON",
}
"""Where pydantic speaks of Python."""


def failed(run_id: str, error: RunError) -> Problem:
    row = BY_CODE.get(error.code, TABLE[errors.RunFailure])
    return Problem(
        *(row.status, row.title, error.code, error.message, error.retryable),
        run_id=run_id,
        retry_after=error.retry_after or row.retry_after,
    )


def row_of(error: type[DragomanError]) -> Row:
    return next(TABLE[cls] for cls in error.__mro__ if cls in TABLE)


async def handle(request: Request, error: Exception) -> Response:
    """The exception handler of all routes."""
    match error:
        case DragomanError():
            return of_error(request.scope, error)
        case RequestValidationError():
            return of_fields(request.scope, error)
        case HTTPException():
            return of_status(request.scope, error.status_code, dict(error.headers or {}))
        case _:
            raise error


HANDLED = (DragomanError, RequestValidationError, HTTPException)


# Telling ----------------------------------------------------------------------------------------------------------


def told(scope: Scope, problem: Problem) -> Response:
    """The answer that tells it, in the envelope of the protocol that was spoken."""
    state = scope.get("state", {})
    envelope: Envelope = state.get("envelope", as_problem_json)
    return envelope(problem, state.get("request_id") or new_request_id())


def as_problem_json(problem: Problem, request_id: str) -> Response:
    body: dict[str, Any] = {
        "type": f"urn:dragoman:problem:{problem.code}",
        "title": problem.title,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        "request_id": request_id,
    }
    if problem.run_id is not None:
        body["run_id"] = problem.run_id
    if problem.fields is not None:
        body["errors"] = problem.fields
    return Response(dump(body), problem.status, {**problem.headers, **retry_after(problem)}, MEDIA_TYPE)


def retry_after(problem: Problem) -> dict[str, str]:
    return {} if problem.retry_after is None else {"retry-after": str(math.ceil(problem.retry_after))}


_BRANCH = re.compile(r"(constrained-)?str|list\[.*")
"""How pydantic names the branches of ``text or a list`` in a location; a caller knows only the field."""


def _field(location: Sequence[int | str]) -> str:
    where, *path = location
    names = [str(part) for part in path if isinstance(part, int) or not _BRANCH.fullmatch(part)]
    return ".".join(names) if path and isinstance(path[0], str) else str(where)

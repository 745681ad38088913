"""Every error looks the same to a client, and every class of error has a status chosen for it."""

import inspect
import json

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from dragoman.domain import errors
from dragoman.domain.runs import Run, RunError, RunStatus
from dragoman.surfaces.http import problems
from dragoman.surfaces.http.openapi import PROBLEM

ERRORS = [found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, errors.DragomanError)]
SCOPE = {"type": "http", "state": {"request_id": "req_1"}}


def make(error):
    match error:
        case errors.NotFound:
            return error("run", "run_1")
        case errors.Invalid:
            return error("It makes no sense.", field="input")
        case _:
            return error()


def read(response):
    assert response.headers["content-type"] == "application/problem+json"
    body = json.loads(response.body)
    assert set(PROBLEM["required"]) <= set(body) <= set(PROBLEM["properties"])
    assert body["status"] == response.status_code
    assert body["type"].endswith(body["code"])
    assert body["request_id"] == "req_1"
    assert all(isinstance(body[name], str) and body[name] for name in ("type", "title", "code", "detail"))
    return body


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_has_a_row_of_its_own_and_the_one_shape(error):
    assert error in problems.TABLE
    body = read(problems.of_error(SCOPE, make(error)))
    assert (body["code"], body["status"]) == (error.code, problems.TABLE[error].status)


def test_no_two_errors_share_a_code():
    assert len({error.code for error in ERRORS}) == len(ERRORS)


@pytest.mark.parametrize("error", ERRORS)
def test_a_run_that_failed_looks_like_the_error_it_failed_with(error):
    failed = RunError(error.code, error.message, error.retryable)
    run = Run("run_1", "t", "o", "chat", "scripted", None, None, (), None, RunStatus.FAILED, error=failed)
    body = read(problems.of_run(SCOPE, run))
    assert (body["run_id"], body["code"], body["status"]) == ("run_1", error.code, problems.TABLE[error].status)


def test_a_run_that_failed_with_a_code_of_its_provider_is_a_failed_run():
    failed = RunError("a_code_of_its_own", "It went wrong in a way of its own.")
    run = Run("run_1", "t", "o", "chat", "scripted", None, None, (), None, RunStatus.FAILED, error=failed)
    assert read(problems.of_run(SCOPE, run))["status"] == 500


@pytest.mark.parametrize("error", ERRORS)
def test_what_may_be_tried_again_later_says_when(error):
    row = problems.row_of(error)
    assert (row.status in (429, 503)) == (row.retry_after is not None)
    if row.retry_after is not None:
        assert int(problems.of_error(SCOPE, make(error)).headers["retry-after"]) > 0


def test_an_error_without_a_row_has_that_of_its_nearest_ancestor():
    class Flooded(errors.StorageUnavailable):
        code = "flooded"

    assert problems.row_of(Flooded) is problems.TABLE[errors.StorageUnavailable]


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 415, 418, 500])
async def test_errors_of_http_itself_have_the_shape_too(status):
    from starlette.requests import Request

    body = read(await problems.handle(Request(SCOPE), HTTPException(status, "internal words")))
    assert body["status"] == status
    assert "internal words" not in json.dumps(body)


async def test_wrong_fields_are_listed_with_their_reason():
    wrong = [{"type": "missing", "loc": ("body", "input"), "msg": "Field required", "input": "secret"}]
    body = read(problems.of_fields(SCOPE, RequestValidationError(wrong)))
    assert body["errors"] == [{"field": "input", "reason": "Field required"}]
    assert "secret" not in json.dumps(body)

"""Exceptions of the client and the SDK become errors of ours, without their text."""

import agents
import httpx2
import openai
import pytest

from dragoman.domain import errors as ours
from dragoman.providers.openai.errors import OutOfQuota, failure_called, model_failure, run_failure

REQUEST = httpx2.Request("POST", "http://127.0.0.1/v1")


def status(code, *, body=None, **headers):
    response = httpx2.Response(code, request=REQUEST, headers={k.replace("_", "-"): v for k, v in headers.items()})
    return openai.APIStatusError("secret", response=response, body=body)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (status(400), ours.ModelRefused),
        (status(401), ours.ModelRefused),
        (status(404), ours.ModelRefused),
        (status(422), ours.ModelRefused),
        (status(408), ours.ModelUnavailable),
        (status(500), ours.ModelUnavailable),
        (status(529), ours.ModelUnavailable),
        (status(429), ours.ModelRateLimited),
        (status(429, body={"code": "insufficient_quota"}), OutOfQuota),
        (openai.APITimeoutError(request=REQUEST), ours.ModelUnavailable),
        (openai.APIConnectionError(request=REQUEST), ours.ModelUnavailable),
        (openai.APIError("secret", REQUEST, body={"code": "rate_limit_exceeded"}), ours.ModelRateLimited),
        (openai.APIError("secret", REQUEST, body=None), ours.ModelBroken),
        (TimeoutError("secret"), ours.ModelUnavailable),
        (agents.UserError("secret"), ours.ModelRefused),
        (agents.ModelBehaviorError("secret"), ours.ModelBroken),
        (ValueError("secret"), None),
    ],
)
def test_a_failed_model_call_has_a_meaning(error, kind):
    failure = model_failure(error, begun=False)
    assert (kind is None and failure is None) or type(failure) is kind
    assert "secret" not in str(failure)


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("soon", None), ("-1", None), ("inf", None)])
def test_a_rate_limit_says_when_it_ends_if_it_can(header, seconds):
    assert model_failure(status(429, retry_after=header), begun=False).retry_after == seconds


def test_a_connection_lost_half_way_is_half_an_answer():
    lost = openai.APIConnectionError(request=REQUEST)
    assert type(model_failure(lost, begun=True)) is ours.ModelBroken


def test_a_failure_inside_a_stream_goes_by_its_code():
    assert type(failure_called("server_error")) is ours.ModelUnavailable
    assert type(failure_called("rate_limit_exceeded")) is ours.ModelRateLimited
    assert type(failure_called(None)) is ours.ModelBroken


def test_a_nested_models_failure_is_found_behind_the_tool_that_may_not_fail():
    error = agents.UserError("secret")
    error.__cause__ = ours.ModelRateLimited()
    assert run_failure(error) is error.__cause__
    assert type(run_failure(agents.UserError("secret"))) is ours.ToolFailed


def test_our_own_faults_stay_what_they_are():
    assert run_failure(RuntimeError("secret")) is None

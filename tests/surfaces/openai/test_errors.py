"""Errors under /v1 have OpenAI's envelope, wherever they come from, and tell its clients whether to try again."""

import json
import logging

import httpx
import openai
import pytest
from fastapi import FastAPI

from dragoman.domain.errors import NotAuthenticated, StorageUnavailable
from dragoman.surfaces.http.app import Access, HttpOptions
from dragoman.surfaces.http.problems import FieldError, Problem
from dragoman.surfaces.openai.errors import as_openai_error
from tests.surfaces.house import house
from tests.surfaces.openai.clients import official


class Refusing:
    def __init__(self, error):
        self.error = error

    async def authenticate(self, _):
        raise self.error


def read(response):
    assert response.headers["content-type"] == "application/json"
    (error,) = response.json().values()
    assert set(error) - {"run_id"} == {"message", "type", "param", "code"}
    return error


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1", 404, "not_found"),
        ("GET", "/v1/", 404, "not_found"),
        ("GET", "/v1/nowhere", 404, "not_found"),
        ("POST", "/v1/chat/nowhere/at/all", 404, "not_found"),
        ("DELETE", "/v1/models", 404, "not_found"),
        ("GET", "/v1/models/none", 404, "model_not_found"),
        ("POST", "/v1/run", 404, "not_found"),
    ],
)
async def test_what_nothing_answers_is_told_in_the_envelope(method, path, status, code):
    async with house() as at:
        answer = await at.client.request(method, path)
    assert (answer.status_code, read(answer)["code"]) == (status, code)
    assert answer.headers["x-request-id"]


async def test_what_stands_before_every_route_speaks_it_as_well():
    options = HttpOptions(access=Access(hosts=frozenset({"localhost"}), json_only=True), body_limit=10)
    async with house(options=options) as at:
        form = await at.client.post("/v1/models", data={"a": "b"})
        large = await at.client.post("/v1/models", json={"input": "more than ten bytes"})
        elsewhere = await at.client.get("/v1/models", headers={"host": "evil.example"})
        native = await at.client.get("/agents", headers={"host": "evil.example"})
    assert (form.status_code, read(form)["code"]) == (415, "unsupported_media_type")
    assert (large.status_code, read(large)["code"]) == (413, "body_too_large")
    assert (elsewhere.status_code, read(elsewhere)["type"]) == (403, "permission_error")
    assert native.headers["content-type"] == "application/problem+json"


async def test_a_fault_of_ours_says_nothing_of_itself_and_is_not_worth_another_try(caplog):
    with caplog.at_level(logging.CRITICAL):
        async with house(authenticator=Refusing(RuntimeError("the password is hunter2"))) as at:
            answer = await at.client.get("/v1/models")
    error = read(answer)
    assert (answer.status_code, error["type"], error["code"]) == (500, "server_error", "internal_error")
    assert "hunter2" not in answer.text
    assert answer.headers["x-should-retry"] == "false"


async def test_the_official_client_raises_its_own_errors_with_all_they_hold():
    async with house(authenticator=Refusing(NotAuthenticated("Token expired"))) as at:
        with pytest.raises(openai.AuthenticationError) as refused:
            await official(at).models.list()
    async with house() as at:
        with pytest.raises(openai.NotFoundError) as unknown:
            await official(at).models.retrieve("none")
    assert refused.value.body == {
        "message": "Token expired",
        "type": "authentication_error",
        "param": None,
        "code": "not_authenticated",
    }
    assert refused.value.request_id.startswith("req_")
    assert (unknown.value.param, unknown.value.code) == ("model", "model_not_found")


async def test_the_official_client_tries_again_when_it_is_told_to_and_only_then():
    class Counting(Refusing):
        asked = 0

        async def authenticate(self, _):
            Counting.asked += 1
            raise self.error

    for error, tries in [(StorageUnavailable(retry_after=0.001), 3), (RuntimeError("ours"), 1)]:
        Counting.asked = 0
        async with house(authenticator=Counting(error)) as at:
            with pytest.raises(openai.InternalServerError):
                await official(at, max_retries=2).models.list()
        assert Counting.asked == tries


def test_when_to_come_back_is_said_in_seconds_and_more_exactly():
    told = as_openai_error(Problem(503, "Busy", "busy", "Later.", retryable=True, retry_after=1.25), "req_1")
    assert told.headers["retry-after"] == "2"
    assert told.headers["retry-after-ms"] == "1250"
    assert told.headers["x-should-retry"] == "true"


def test_a_wrong_field_is_the_param_written_their_way_and_the_status_400():
    fields = [FieldError("messages.0.content.1.text", "Field required"), FieldError("model", "Field required")]
    told = as_openai_error(Problem(422, "Invalid", "invalid_request", "Wrong.", fields=fields), "req_1")
    assert told.status_code == 400
    assert json.loads(told.body)["error"]["param"] == "messages[0].content[1].text"
    assert "x-should-retry" not in told.headers


async def test_mounted_into_another_application_it_speaks_the_same():
    host = FastAPI()
    async with house() as at:
        host.mount("/ai", at.app)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(host), base_url="http://elsewhere") as client:
            listed = await client.get("/ai/v1/models")
            unknown = await client.get("/ai/v1/nowhere")
            native = await client.get("/ai/nowhere")
    assert listed.json()["data"][0]["id"] == "chat"
    assert read(unknown)["code"] == "not_found"
    assert native.headers["content-type"] == "application/problem+json"

"""Errors as problems: what becomes of an error on its way out. The shape itself is tested in tests/project."""

import logging

import httpx
import pytest
from fastapi import FastAPI

from dragoman.domain.errors import ModelRateLimited, NotAuthenticated
from dragoman.providers.scripted.script import fail
from dragoman.surfaces.rest import create_agent_routes
from tests.surfaces.house import house


class Broken:
    async def authenticate(self, _):
        raise RuntimeError("the password is hunter2")


class Choosy:
    async def authenticate(self, _):
        raise NotAuthenticated("Token expired")


async def test_a_fault_of_ours_is_a_500_that_keeps_its_text_to_the_log(caplog):
    with caplog.at_level(logging.ERROR):
        async with house(authenticator=Broken()) as at:
            answer = await at.client.get("/chat/info")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["content-type"] == "application/problem+json"
    assert "hunter2" not in answer.text
    assert "hunter2" in caplog.text


async def test_a_problem_carries_the_id_of_its_request():
    async with house() as at:
        answer = await at.client.get("/nowhere", headers={"x-request-id": "mine-17"})
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "mine-17"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/chat/nowhere", 404, "not_found"),
        ("PUT", "/chat/run", 405, "method_not_allowed"),
        ("GET", "/chat/info/", 404, "not_found"),
    ],
)
async def test_what_no_route_answers_is_a_problem_too(method, path, status, code):
    async with house() as at:
        answer = await at.client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ("allow" in answer.headers) == (status == 405)


async def test_who_is_told_to_try_again_is_told_when():
    script = [fail(ModelRateLimited(retry_after=3.2))]
    async with house({"chat": script}) as at:
        limited = await at.client.post("/chat/run", json={"input": "Hello"})
        at.services.dispatcher.accepting = False
        leaving = await at.client.post("/chat/run", json={"input": "Hello"})
    assert (limited.status_code, limited.headers["retry-after"]) == (503, "4")
    assert (leaving.status_code, leaving.json()["code"]) == (503, "shutting_down")
    assert int(leaving.headers["retry-after"]) > 0


async def test_the_sentence_of_the_error_is_the_detail():
    async with house(authenticator=Choosy()) as at:
        answer = await at.client.get("/agents")
    assert (answer.json()["detail"], answer.headers["www-authenticate"]) == ("Token expired", "Bearer")


async def test_a_router_inside_a_foreign_application_answers_the_same_problems():
    foreign = FastAPI()
    async with house() as at:
        foreign.include_router(create_agent_routes(at.services, "chat", "/helpers/chat"))
        transport = httpx.ASGITransport(foreign)
        async with httpx.AsyncClient(transport=transport, base_url="http://elsewhere") as client:
            good = await client.post("/helpers/chat/run", json={"input": "Hello"})
            info = await client.get("/helpers/chat/info")
            bad = await client.post("/helpers/chat/run", json={})
            gone = await client.get("/helpers/chat/session/none")
            document = (await client.get("/openapi.json")).json()
    assert good.json()["final_output"] == "You said: Hello"
    assert info.json()["endpoints"]["stream"] == "/helpers/chat/stream"
    assert (bad.status_code, bad.json()["code"], bad.json()["errors"][0]["field"]) == (422, "invalid_request", "input")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    assert "#/components/schemas/Problem" not in str(document)


async def test_mounted_into_another_application_addresses_say_where_it_is():
    host = FastAPI()
    async with house() as at:
        host.mount("/ai", at.app)
        transport = httpx.ASGITransport(host)
        async with httpx.AsyncClient(transport=transport, base_url="http://elsewhere") as client:
            info = (await client.get("/ai/chat/info")).json()
            listed = (await client.get("/ai/agents")).json()["agents"][0]
            accepted = await client.post("/ai/chat/run", json={"input": "Hello", "options": {"background": True}})
            ended = await client.get(accepted.headers["location"], params={"wait": 5})
            measures = await client.get("/ai/metrics")
            page = await client.get("/ai/docs")
    assert info["endpoints"]["run"] == listed["endpoints"]["run"] == "/ai/chat/run"
    assert ended.json()["status"] == "completed"
    assert 'route="/{agent}/run"' in measures.text
    assert page.status_code == 200

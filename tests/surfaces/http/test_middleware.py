"""What surrounds every request, and the guard of a local server."""

import logging

import pytest

from dragoman.application.logging import current_log_fields
from dragoman.domain.identity import Principal
from dragoman.surfaces.http.app import Access, HttpOptions
from tests.surfaces.house import house, served

LOCAL = HttpOptions(access=Access(hosts=frozenset({"127.0.0.1", "localhost", "::1"}), json_only=True))
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("path", ["/livez", "/chat/info", "/nowhere"])
async def test_every_answer_has_a_request_id(path):
    async with house() as at:
        made = (await at.client.get(path)).headers["x-request-id"]
        kept = (await at.client.get(path, headers={"x-request-id": "from-proxy.7"})).headers["x-request-id"]
        replaced = (await at.client.get(path, headers={"x-request-id": "a b" * 100})).headers["x-request-id"]
    assert made.startswith("req_")
    assert kept == "from-proxy.7"
    assert replaced.startswith("req_")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (TRACE, TRACE),
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", None),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
        ("nonsense", None),
    ],
)
async def test_a_trace_is_passed_on_to_the_run_if_it_is_one(given, kept):
    async with house() as at:
        answer = await at.client.post("/chat/run", json={"input": "Hello"}, headers={"traceparent": given})
        run = await at.services.runs.get(Principal("local"), answer.json()["run_id"])
    assert run.trace == kept


async def test_each_request_leaves_one_line_that_names_it_without_its_query(caplog):
    class Fields(logging.Filter):
        def filter(self, record):
            record.request = current_log_fields().get("request")
            return True

    caplog.handler.addFilter(Fields())
    with caplog.at_level(logging.INFO, "dragoman.surfaces.http"):
        async with house() as at:
            await at.client.get("/runs?agent=secret", headers={"x-request-id": "mine"})
            await at.client.get("/livez")
    (line,) = [record for record in caplog.records if record.name == "dragoman.surfaces.http.middleware"]
    assert (line.method, line.path, line.status, line.request) == ("GET", "/runs", 200, "mine")


async def test_a_body_that_is_too_large_is_refused_however_it_is_sent():
    async def pieces():
        for _ in range(20):
            yield b"x" * 100

    async with house(options=HttpOptions(body_limit=1000)) as at, served(at) as (client, _):
        headers = {"content-type": "application/json"}
        announced = await client.post("/chat/run", content=b"x" * 1001, headers=headers)
        streamed = await client.post("/chat/run", content=pieces(), headers=headers)
        small = await client.post("/chat/run", json={"input": "Hello"})
    assert [answer.status_code for answer in (announced, streamed, small)] == [413, 413, 200]
    assert announced.json()["code"] == streamed.json()["code"] == "body_too_large"


# The guard


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("evil.example:8000", 403),
        ("", 403),
    ],
)
async def test_a_local_server_answers_only_to_its_own_names(host, status):
    async with house(options=LOCAL) as at:
        answer = await at.client.get("/agents", headers={"host": host})
    assert answer.status_code == status
    assert "x-request-id" in answer.headers


@pytest.mark.parametrize(
    ("peer", "status"),
    [("127.0.0.1", 200), ("127.8.9.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("10.0.0.7", 403), ("x", 403)],
)
async def test_a_local_server_answers_only_its_own_machine(peer, status):
    async with house(options=LOCAL, client=(peer, 1)) as at:
        assert (await at.client.get("/agents")).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json"}, 200),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-type": "multipart/form-data; boundary=x"}, 415),
        ({}, 415),
    ],
)
async def test_no_form_of_another_site_can_start_work_at_a_local_server(headers, status):
    async with house(options=LOCAL) as at:
        answer = await at.client.post("/chat/run", content=b'{"input": "Hello", "session_id": "s"}', headers=headers)
        assert answer.status_code == status
        assert len((await at.client.get("/runs")).json()["runs"]) == (status == 200)


async def test_a_server_that_was_opened_answers_everybody():
    async with house(client=("10.0.0.7", 1)) as at:
        assert (await at.client.get("/agents", headers={"host": "agents.example"})).status_code == 200


# What every answer says, and which web pages may read it


@pytest.mark.parametrize("path", ["/agents", "/livez", "/nowhere", "/docs", "/v1/models", "/v1/nothing"])
async def test_no_answer_is_kept_framed_or_taken_for_something_else(path):
    async with house() as at:
        headers = (await at.client.get(path)).headers
    assert headers.get_list("cache-control") == ["no-store"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"


async def test_a_stream_says_itself_how_it_is_kept():
    async with house() as at:
        answer = await at.client.post("/chat/stream", json={"input": "Hello"})
    assert answer.headers.get_list("cache-control") == ["no-cache"]


PAGE = {"origin": "https://app.example.com"}
ASKING = {**PAGE, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}


async def test_no_web_page_of_another_origin_may_call_unless_it_is_named():
    async with house() as at:
        asked = await at.client.options("/chat/run", headers=ASKING)
        answer = await at.client.get("/agents", headers=PAGE)
    assert asked.status_code == 405
    assert not [name for name in (*asked.headers, *answer.headers) if name.startswith("access-control")]


async def test_a_web_page_that_is_named_may_call_and_read_even_errors():
    async with house(options=HttpOptions(origins=("https://app.example.com",)), auth="token") as at:
        asked = await at.client.options("/chat/run", headers=ASKING)
        refused = await at.client.get("/agents", headers=PAGE)
        other = await at.client.get("/agents", headers={"origin": "https://evil.example.com"})
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "authorization" in asked.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in asked.headers
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://app.example.com"
    assert "www-authenticate" in refused.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in other.headers

"""An agent's routes, asked one by one."""

import asyncio
import json

import pytest

from dragoman.domain.errors import NotAuthenticated
from dragoman.domain.identity import Principal
from dragoman.providers.scripted.script import call, say
from dragoman.surfaces.rest.agents import RESERVED
from tests.surfaces.house import PATIENCE, Gate, eventually, house, parse, read_frames, said, served


class ByName:
    """Everybody is who they say they are."""

    async def authenticate(self, authorization):
        if authorization is None:
            raise NotAuthenticated
        return Principal(user=authorization)


JSON = {"content-type": "application/json"}
SARAH, TOM = {"authorization": "sarah"}, {"authorization": "tom"}


@pytest.mark.parametrize("path", ["/chat/run", "/agents/chat/run"])
async def test_run_answers_with_what_the_agent_said(path):
    async with house() as at:
        answer = await at.client.post(path, json={"input": "Hello", "session_id": "sarah"})
    assert answer.status_code == 200
    body = answer.json()
    assert body.pop("run_id").startswith("run_")
    assert body.pop("conversation_id").startswith("conv_")
    assert body.pop("response_id").startswith("resp_")
    assert body == {
        "session_id": "sarah",
        "agent": "chat",
        "status": "completed",
        "final_output": "You said: Hello",
        "success": True,
        "error": None,
        "usage": {
            "requests": 1,
            "input_tokens": 1,
            "output_tokens": 4,
            "total_tokens": 5,
            "cached_input_tokens": 0,
            "reasoning_tokens": 0,
            "cost": None,
            "currency": "USD",
            "models": ["scripted"],
        },
    }


async def test_without_a_session_nothing_is_remembered():
    async with house() as at:
        body = (await at.client.post("/chat/run", json={"input": "Hello"})).json()
        assert (body["session_id"], body["conversation_id"]) == (None, None)
        assert (await at.client.get(f"/runs/{body['run_id']}")).json()["final_output"] == "You said: Hello"


async def test_a_background_run_is_accepted_and_can_be_awaited_at_its_address():
    async with house() as at:
        accepted = await at.client.post("/chat/run", json={"input": "Hello", "options": {"background": True}})
        assert accepted.status_code == 202
        ended = await at.client.get(accepted.headers["location"], params={"wait": PATIENCE})
    assert ended.json()["status"] == "completed"


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("rate_limited", 503, "model_rate_limited"),
        ("unavailable", 503, "model_unavailable"),
        ("refused", 502, "model_refused"),
        ("broken", 502, "model_broken_answer"),
    ],
)
async def test_a_run_that_fails_answers_the_problem_with_its_run_id_and_is_readable(kind, status, code):
    async with house() as at:
        answer = await at.client.post("/chat/run", json={"input": f"/fail {kind}"})
        problem = answer.json()
        assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert ("retry-after" in answer.headers) == (status == 503)
        run = (await at.client.get(f"/runs/{problem['run_id']}")).json()
    assert (run["status"], run["success"], run["error"]["code"]) == ("failed", False, code)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": 5}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "nobody", "content": "x"}]}, "input.0.role"),
        ({"input": "x", "colour": "red"}, "colour"),
        ({"input": "x", "options": {"colour": "red"}}, "options.colour"),
        ({"input": "x", "options": {"max_turns": 0}}, "options.max_turns"),
        ({"input": "x", "options": {"history": {"limit": -1}}}, "options.history.limit"),
        ({"input": "x", "options": {"on_busy": "explode"}}, "options.on_busy"),
        ({"input": "x", "options": {"model": "secret-model"}}, "options.model"),
        ({"input": "x", "session_id": "a/b"}, "session_id"),
        ({"input": "x", "session_id": ""}, "session_id"),
        ([], "body"),
    ],
)
@pytest.mark.parametrize("route", ["/chat/run", "/chat/stream"])
async def test_a_request_that_makes_no_sense_is_refused_and_says_which_field(route, body, field):
    async with house() as at:
        answer = await at.client.post(route, json=body)
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {field}


async def test_a_body_that_is_not_json_is_refused():
    async with house() as at:
        broken = await at.client.post("/chat/run", content=b"{", headers=JSON)
        form = await at.client.post("/chat/run", data={"input": "Hello"})
    assert (broken.status_code, form.status_code) == (422, 415)


@pytest.mark.parametrize("path", ["/nobody/run", "/agents/nobody/run", "/nobody/stream"])
async def test_an_agent_that_does_not_exist_is_404(path):
    async with house() as at:
        answer = await at.client.post(path, json={"input": "Hello"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_text_that_no_database_takes_is_made_storable():
    said = [{"role": "user", "content": "a\0b\ud800"}]
    body = {"input": said, "session_id": "s", "options": {"metadata": {"k\ud800": "\0", "n": 2**70}}}
    async with house() as at:
        answer = await at.client.post("/chat/run", content=json.dumps(body), headers=JSON)
        assert answer.status_code == 200
        run = await at.client.get(f"/runs/{answer.json()['run_id']}")
        messages = (await at.client.get("/chat/session/s")).json()["messages"]
    assert run.json()["metadata"] == {"k\N{REPLACEMENT CHARACTER}": "\N{REPLACEMENT CHARACTER}", "n": 2**70}
    assert messages[0]["content"] == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}"


# Idempotency


async def test_the_same_key_and_body_give_the_same_run_however_the_key_is_written():
    async with house() as at:
        bare = await at.client.post("/chat/run", json={"input": "Hello"}, headers={"idempotency-key": "order-17"})
        quoted = await at.client.post("/chat/run", json={"input": "Hello"}, headers={"idempotency-key": '"order-17"'})
        stranger = await at.client.post("/chat/run", json={"input": "Bye"}, headers={"idempotency-key": "order-17"})
        empty = await at.client.post("/chat/run", json={"input": "Bye"}, headers={"idempotency-key": '""'})
    assert bare.json() == quoted.json()
    assert (stranger.status_code, stranger.json()["code"]) == (422, "idempotency_mismatch")
    assert empty.status_code == 422


async def test_a_repeated_stream_follows_the_same_run_from_its_start():
    async with house({"chat": [say("0 ", "1 ", "2")]}) as at, served(at) as (client, _):
        once, again = [
            await client.post("/chat/stream", json={"input": "Count"}, headers={"idempotency-key": "k"})
            for _ in range(2)
        ]
    first, second = parse(once.text), parse(again.text)
    assert first[0] == second[0]
    assert first[-1] == second[-1]
    assert said(first) == said(second) == "0 1 2"


# Conversations


async def test_a_session_shows_its_items_in_order_page_by_page():
    script = [call("calculate", {"expression": "6*7"}), say("It is 42.")]
    async with house({"chat": script}) as at:
        await at.client.post("/chat/run", json={"input": "6*7?", "session_id": "s"})
        whole = (await at.client.get("/chat/session/s")).json()
        newest = (await at.client.get("/chat/session/s", params={"limit": 3})).json()
        oldest = (await at.client.get("/chat/session/s", params={"limit": 3, "before": newest["before"]})).json()
    assert [message["type"] for message in whole["messages"]] == [
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]
    user, tool_call, _, answer = whole["messages"]
    assert (user["role"], user["content"]) == ("user", "6*7?")
    assert (tool_call["name"], answer["role"], answer["status"]) == ("calculate", "assistant", "completed")
    assert whole["message_count"] == 4
    assert (whole["has_more"], newest["has_more"], oldest["has_more"]) == (False, True, False)
    assert oldest["messages"] + newest["messages"] == whole["messages"]


async def test_a_cleared_session_is_gone_and_its_name_may_be_used_again():
    async with house() as at:
        await at.client.post("/chat/run", json={"input": "Hello", "session_id": "s"})
        assert (await at.client.delete("/chat/session/s")).status_code == 204
        assert (await at.client.get("/chat/session/s")).status_code == 404
        assert (await at.client.delete("/chat/session/s")).status_code == 404
        assert (await at.client.post("/chat/run", json={"input": "Hello", "session_id": "s"})).status_code == 200


async def test_without_sessions_answers_say_so_and_session_routes_refuse():
    async with house(sessions_enabled=False) as at:
        body = (await at.client.post("/chat/run", json={"input": "Hello", "session_id": "s"})).json()
        info = (await at.client.get("/chat/info")).json()
        refused = [await at.client.request(method, "/chat/session/s") for method in ("GET", "DELETE")]
    assert (body["sessions_enabled"], body["session_id"], body["conversation_id"]) == (False, None, None)
    assert info["session_config"]["sessions_enabled"] is False
    assert [(answer.status_code, answer.json()["code"]) for answer in refused] == [(409, "sessions_disabled")] * 2


async def test_users_are_apart():
    async with house(authenticator=ByName()) as at:
        body = {"input": "Hello", "session_id": "s"}
        run_id = (await at.client.post("/chat/run", json=body, headers=SARAH)).json()["run_id"]
        paths = ["/chat/session/s", f"/runs/{run_id}", f"/runs/{run_id}/events"]
        assert [(await at.client.get(path, headers=TOM)).status_code for path in paths] == [404, 404, 404]
        assert (await at.client.get("/runs", headers=TOM)).json()["runs"] == []
        assert [run["run_id"] for run in (await at.client.get("/runs", headers=SARAH)).json()["runs"]] == [run_id]


async def test_nobody_is_asked_to_authenticate():
    async with house(authenticator=ByName()) as at:
        answer = await at.client.post("/chat/stream", json={"input": "Hello"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["detail"] == "Not authenticated"


async def test_a_busy_conversation_refuses_who_would_not_wait():
    gate = Gate()
    async with house({"chat": [call("gate"), say("Done.")]}, tools=gate) as at:
        waiting = {"input": "Hello", "session_id": "s", "options": {"background": True}}
        first = await at.client.post("/chat/run", json=waiting)
        impatient = {"input": "Me!", "session_id": "s", "options": {"on_busy": "reject"}}
        refused = await at.client.post("/chat/run", json=impatient)
        gate.opened.set()
        await at.client.get(first.headers["location"], params={"wait": PATIENCE})
    assert (refused.status_code, refused.json()["code"]) == (409, "conversation_busy")


# Information


async def test_info_tells_what_an_agent_is_and_where_it_is_reached_but_not_its_instructions():
    async with house() as at:
        info = (await at.client.get("/agents/chat/info")).json()
    assert (info["name"], info["agent_name"], info["model"]) == ("Chat", "chat", "scripted")
    assert (info["tools_count"], info["handoffs_count"]) == (0, 0)
    assert info["endpoints"]["run"] == "/agents/chat/run"
    assert "instructions" not in info


async def test_instructions_are_told_if_the_operator_allows_it():
    async with house(show_instructions=True) as at:
        assert (await at.client.get("/chat/info")).json()["instructions"] == "Be kind."


async def test_the_catalogue_lists_every_agent():
    async with house({"docs": [say("Hi")]}) as at:
        agents = (await at.client.get("/agents")).json()["agents"]
    assert {agent["agent_name"]: agent["endpoints"]["run"] for agent in agents} == {
        "chat": "/chat/run",
        "docs": "/agents/docs/run",
    }


async def test_an_agent_with_a_reserved_key_has_only_the_long_form():
    async with house({"docs": [say("Hi")]}) as at:
        assert (await at.client.post("/agents/docs/run", json={"input": "Hello"})).status_code == 200
        assert (await at.client.post("/docs/run", json={"input": "Hello"})).status_code == 404


async def test_the_first_segment_of_every_route_is_reserved_or_an_agents():
    async with house() as at:
        paths = [*at.app.openapi()["paths"], "/docs", "/redoc", "/openapi.json"]
    assert {path.split("/")[1] for path in paths} - {"{agent}", "research"} <= RESERVED


# Leaving


async def test_whoever_leaves_a_waiting_run_leaves_it_running_unless_asked_otherwise():
    gate = Gate()
    async with house({"chat": [call("gate"), say("Done.")]}, tools=gate) as at, served(at) as (client, _):
        for on_disconnect, status in (("cancel", "cancelled"), ("continue", "completed")):
            gate.reached.clear()
            options = {"on_disconnect": on_disconnect}
            async with client.stream("POST", "/chat/stream", json={"input": "x", "options": options}) as stream:
                run_id = (await anext(aiter(read_frames(stream)))).data["run_id"]
                await gate.reached.wait()
            if on_disconnect == "continue":
                await eventually(lambda: not at.services.log.readers)
                gate.opened.set()
            ended = await at.client.get(f"/runs/{run_id}", params={"wait": PATIENCE})
            assert ended.json()["status"] == status


async def test_a_run_that_is_to_be_missed_is_cancelled_when_the_one_who_waited_for_it_leaves():
    gate = Gate()
    async with house({"chat": [call("gate"), say("Done.")]}, tools=gate) as at, served(at) as (client, _):
        body = {"input": "x", "session_id": "s", "options": {"on_disconnect": "cancel"}}
        asking = asyncio.create_task(client.post("/chat/run", json=body))
        await gate.reached.wait()
        asking.cancel()
        await asyncio.wait({asking})
        run_id = (await at.client.get("/runs")).json()["runs"][0]["run_id"]
        ended = await at.client.get(f"/runs/{run_id}", params={"wait": PATIENCE})
    assert ended.json()["status"] == "cancelled"


@pytest.mark.parametrize(("depth", "status"), [(101, 422), (300, 422), (950, 400)])  # the last cannot even be parsed
@pytest.mark.parametrize("body", ['{"input": "x", "context": %s}', '{"input": "x", "options": {"metadata": %s}}'])
async def test_json_that_is_nested_too_deep_is_refused(body, depth, status):
    nested = '{"a":' * depth + "1" + "}" * depth
    async with house() as home:
        answer = await home.client.post(
            "/chat/run", content=body % nested, headers={"content-type": "application/json"}
        )
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_number_that_is_too_large_for_json_is_refused():
    async with house() as at:
        answer = await at.client.post(
            "/chat/run", content='{"input": "x", "context": {"a": 1%s}}' % ("0" * 400), headers=JSON
        )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")

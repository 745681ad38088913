"""Approvals over HTTP: what a caller sees of a run that waits, and how it is decided."""

import asyncio

from dragoman.testing import call, say
from tests.surfaces.house import PATIENCE, house, parse

SCRIPTS = {"shop": [call("refund", {"amount": 200}, returns="refunded", needs_approval=True), say("done")]}


async def waiting(given):
    answer = await given.client.post("/shop/run", json={"input": "Hello", "session_id": "s"})
    assert answer.status_code == 200
    return answer.json()


async def test_a_run_that_waits_says_for_what():
    async with house(SCRIPTS) as given:
        run = await waiting(given)
        assert (run["status"], run["success"]) == ("requires_action", False)
        (approval,) = run["approvals"]
        assert (approval["tool"], approval["arguments"], approval["status"]) == ("refund", {"amount": 200}, "pending")
        record = (await given.client.get(f"/runs/{run['run_id']}")).json()
        assert record["approvals"] == [approval]
        inbox = (await given.client.get("/approvals", params={"status": "pending"})).json()
        assert inbox == {"approvals": [approval], "next": None}


async def test_a_decision_sets_the_run_going_and_a_second_is_refused():
    async with house(SCRIPTS) as given:
        run = await waiting(given)
        path = f"/runs/{run['run_id']}/approvals/{run['approvals'][0]['approval_id']}"
        answer = await given.client.post(path, json={"decision": "reject", "message": "No."})
        assert (answer.status_code, answer.json()["status"]) == (200, "rejected")
        again = await given.client.post(path, json={"decision": "approve"})
        assert (again.status_code, again.json()["code"]) == (409, "already_decided")
        record = (await given.client.get(f"/runs/{run['run_id']}", params={"wait": PATIENCE})).json()
        assert (record["status"], record["final_output"]) == ("completed", "done")
        assert "approvals" not in record


async def test_the_stream_ends_while_the_run_waits_and_a_reader_that_comes_back_gets_the_rest():
    async with house(SCRIPTS) as given:
        answer = await given.client.post("/shop/stream", json={"input": "Hello"})
        first = parse(answer.text)
        assert [frame.event for frame in first][-2:] == ["approval_required", "stream_complete"]
        assert first[-1].data["status"] == "requires_action"
        required, run_id = first[-2].data, first[0].data["run_id"]
        events = f"/runs/{run_id}/events"
        back = asyncio.create_task(given.client.get(events, headers={"last-event-id": str(first[-1].id)}))
        path = f"/runs/{run_id}/approvals/{required['approval_id']}"
        await given.client.post(path, json={"decision": "approve", "arguments": {"amount": 5}})
        rest = parse((await asyncio.wait_for(back, PATIENCE)).text)
    assert [frame.event for frame in rest][:2] == ["run_resumed", "approval_decided"]
    assert rest[0].data["reason"] == "decided"
    assert rest[1].data["arguments"] == {"amount": 5}
    assert rest[-1].data["status"] == "completed"


async def test_nonsense_is_refused_and_somebody_elses_looks_like_none():
    async with house(SCRIPTS) as given:
        run = await waiting(given)
        path = f"/runs/{run['run_id']}/approvals"
        right = run["approvals"][0]["approval_id"]
        for body in (
            {"decision": "maybe"},
            {},
            {"decision": "approve", "arguments": []},
            {"decision": "approve", "x": 1},
        ):
            assert (await given.client.post(f"{path}/{right}", json=body)).status_code == 422
        assert (await given.client.post(f"{path}/appr_none", json={"decision": "approve"})).status_code == 404
        other = await given.client.post(f"/runs/run_other/approvals/{right}", json={"decision": "approve"})
        assert other.status_code == 404

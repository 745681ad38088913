"""A message to a busy conversation, as its sender and the sender before see it."""

import asyncio

import pytest

from dragoman.domain.items import text_of
from dragoman.domain.runs import Habits
from dragoman.ports.runtime import Turn
from dragoman.providers.scripted.script import call, say, stall
from tests.surfaces.house import PATIENCE, Gate, House, eventually, house, parse

BACKGROUND = {"background": True}


def message(text: str, **options) -> dict:
    return {"input": text, "session_id": "s", "options": {**BACKGROUND, **options}}


def first_waits(turn: Turn):
    """The first message needs a tool that waits; every other is answered."""
    if text_of(turn.run.input[0]) == "One":
        return [say("Let me see."), call("gate"), say("Never said.")]
    return [say("Sure.")]


async def begun(at: House, text: str, **options) -> str:
    answer = await at.client.post("/chat/run", json=message(text, **options))
    assert answer.status_code == 202
    return answer.json()["run_id"]


async def ended(at: House, run_id: str) -> dict:
    return (await at.client.get(f"/runs/{run_id}", params={"wait": PATIENCE})).json()


async def history(at: House, branch: str | None = None) -> list[str]:
    page = (await at.client.get("/conversations/s/items", params={"branch": branch} if branch else {})).json()
    return [text_of(item) or item["type"] for item in page["items"]]


async def test_interrupt_lets_a_tool_finish_and_nothing_else():
    gate = Gate()
    async with house({"chat": first_waits}, tools=gate) as at:
        first = await begun(at, "One")
        await gate.reached.wait()
        second = await begun(at, "Two", on_busy="interrupt")
        gate.opened.set()
        one, two = await ended(at, first), await ended(at, second)
        said = await history(at)

    assert (one["status"], two["status"]) == ("cancelled", "completed")
    assert said == ["One", "Let me see.", "function_call", "function_call_output", "Two", "Sure."]


async def test_interrupt_stops_at_once_what_only_talks():
    def talks(turn: Turn):
        return [say("Well", " then"), stall(PATIENCE)] if text_of(turn.run.input[0]) == "One" else [say("Sure.")]

    async with house({"chat": talks}) as at:
        first = await begun(at, "One")
        second = await begun(at, "Two", on_busy="interrupt")
        one, two = await ended(at, first), await ended(at, second)

    assert (one["status"], two["status"]) == ("cancelled", "completed")


async def test_rollback_answers_with_what_was_undone_and_what_was_not():
    gate = Gate()
    async with house({"chat": first_waits}, tools=gate) as at:
        first = await begun(at, "One")
        await gate.reached.wait()
        body = message("Two", on_busy="rollback", background=False)
        answer = (await at.client.post("/chat/run", json=body)).json()
        undone = await ended(at, first)
        events = parse((await at.client.get(f"/runs/{answer['run_id']}/events")).text)
        branches = (await at.client.get("/conversations/s/branches")).json()["branches"]
        said = await history(at)
        (superseded,) = [branch["branch_id"] for branch in branches if branch["superseded_by"]]
        kept = await history(at, superseded)

    assert (answer["status"], answer["supersedes"]) == ("completed", first)
    assert "tools" in answer["notice"]
    assert (events[0].data["supersedes"], events[0].data["notice"]) == (first, answer["notice"])
    assert (undone["status"], undone["superseded_by"]) == ("cancelled", answer["run_id"])
    assert said == ["Two", "Sure."]
    assert kept == ["One", "Let me see.", "function_call", "function_call_output"]


async def test_a_reader_of_what_is_undone_sees_its_end():
    gate = Gate()
    async with house({"chat": first_waits}, tools=gate) as at:
        first = await begun(at, "One")
        reading = asyncio.create_task(at.client.get(f"/runs/{first}/events"))
        await gate.reached.wait()
        await begun(at, "Two", on_busy="rollback")
        frames = parse((await reading).text)

    assert [frame.event for frame in frames[-2:]] == ["run_resumed", "stream_complete"]
    assert (frames[-2].data["reason"], frames[-1].data["status"]) == ("superseded", "cancelled")


async def test_steer_hands_a_message_to_the_run_that_is_playing_and_says_so_to_both():
    gate = Gate()
    async with house({"chat": first_waits}, tools=gate) as at:
        first = await begun(at, "One")
        await gate.reached.wait()
        body = {"input": "Two", "session_id": "s", "options": {"on_busy": "steer"}}
        headers = {"idempotency-key": "k"}
        asking = asyncio.create_task(at.client.post("/chat/run", json=body, headers=headers))
        await eventually(lambda: at.services.player.performances[first].addressed)
        gate.opened.set()
        answer = (await asking).json()
        again = (await at.client.post("/chat/run", json=body, headers=headers)).json()
        one, record = await ended(at, first), await ended(at, answer["run_id"])
        log = parse((await at.client.get(f"/runs/{first}/events")).text)
        own = parse((await at.client.get(f"/runs/{answer['run_id']}/events")).text)
        said = await history(at)

    assert (answer["status"], answer["steered_into"], answer["final_output"]) == ("completed", first, None)
    assert again == answer
    assert record["steered_into"] == first
    assert (one["status"], "steered_into" in one) == ("completed", False)
    (steered,) = [frame.data for frame in log if frame.event == "steered"]
    assert steered["runs"] == [answer["run_id"]]
    assert [text_of(item) for item in steered["items"]] == ["Two"]
    assert [(frame.event, frame.data["steered_into"]) for frame in own] == [("stream_complete", first)]
    assert said == ["One", "Let me see.", "function_call", "function_call_output", "Two", "Never said."]


@pytest.mark.parametrize(
    ("server", "agent", "request_says", "refused"),
    [
        ("reject", None, None, True),
        ("reject", "queue", None, False),
        ("queue", "reject", None, True),
        ("queue", "reject", "queue", False),
    ],
)
async def test_the_request_wins_over_the_agent_and_the_agent_over_the_server(server, agent, request_says, refused):
    gate = Gate()
    given = {"on_busy": server, "habits": Habits(on_busy=agent)}
    async with house({"chat": first_waits}, tools=gate, **given) as at:
        await begun(at, "One")
        await gate.reached.wait()
        answer = await at.client.post("/chat/run", json=message("Two", on_busy=request_says))
        info = (await at.client.get("/chat/info")).json()
        gate.opened.set()

    assert answer.status_code == (409 if refused else 202)
    assert info["session_config"]["on_busy"] == (agent or server)


async def test_what_waits_says_how_many_are_ahead():
    gate = Gate()
    async with house({"chat": first_waits}, tools=gate, silence=0.01) as at:
        await begun(at, "One")
        await gate.reached.wait()
        second = (await at.client.post("/chat/run", json=message("Two"))).json()
        third = (await at.client.post("/chat/run", json=message("Three"))).json()
        record = (await at.client.get(f"/runs/{third['run_id']}")).json()
        await at.client.post(f"/runs/{second['run_id']}/cancel", json={"mode": "now"})
        fewer = (await at.client.get(f"/runs/{third['run_id']}")).json()
        streaming = asyncio.create_task(at.client.get(f"/runs/{third['run_id']}/events"))
        await eventually(lambda: at.services.log.audience.watched(third["run_id"]))
        gate.opened.set()
        stream = (await streaming).text
        done = await ended(at, third["run_id"])

    assert [answer["ahead"] for answer in (second, third, record, fewer)] == [1, 2, 2, 1]
    assert 'event: queued\ndata: {"type":"queued","ahead":1}\n\n' in stream
    assert stream.rindex("event: queued") < stream.index("event: run_started")
    assert "ahead" not in done

"""A run's routes: how it stands, its log, cancelling it."""

import asyncio

import pytest

from dragoman.providers.scripted.script import call, say
from tests.surfaces.house import PATIENCE, Gate, house, parse, read_frames, said, served

COUNT = {"chat": [say("0 ", "1 ", "2 ", "3 ", "4 ")]}
GATED = {"chat": [say("Once ", "upon"), call("gate"), say("a time.")]}


async def begin(at, **options):
    body = {"input": "Hello", "session_id": "s", "options": {"background": True, **options}}
    return (await at.client.post("/chat/run", json=body)).json()["run_id"]


async def test_waiting_for_a_run_that_goes_on_answers_how_it_stands():
    gate = Gate()
    async with house(GATED, tools=gate) as at:
        run_id = await begin(at)
        await gate.reached.wait()
        assert (await at.client.get(f"/runs/{run_id}", params={"wait": 0.01})).json()["status"] == "in_progress"
        gate.opened.set()
        assert (await at.client.get(f"/runs/{run_id}", params={"wait": PATIENCE})).json()["status"] == "completed"


@pytest.mark.parametrize("mode", ["now", "after_turn"])
async def test_a_cancelled_run_keeps_what_it_said(mode):
    gate = Gate()
    async with house(GATED, tools=gate) as at:
        run_id = await begin(at)
        await gate.reached.wait()
        cancelled = await at.client.post(f"/runs/{run_id}/cancel", json={"mode": mode})
        gate.opened.set()
        ended = (await at.client.get(f"/runs/{run_id}", params={"wait": PATIENCE})).json()
        again = await at.client.post(f"/runs/{run_id}/cancel")
        messages = (await at.client.get("/chat/session/s")).json()["messages"]
    assert cancelled.status_code == 202
    assert (ended["status"], ended["success"]) == ("cancelled", False)
    assert (again.status_code, again.json()["code"]) == (409, "run_ended")
    assert messages[1]["content"][0]["text"] == "Once upon"


async def test_unknown_runs_are_404_everywhere():
    async with house() as at:
        answers = [
            await at.client.get("/runs/run_nothing"),
            await at.client.get("/runs/run_nothing/events"),
            await at.client.post("/runs/run_nothing/cancel"),
        ]
    assert [answer.status_code for answer in answers] == [404] * 3


async def test_runs_are_listed_newest_first_page_by_page():
    async with house() as at:
        for n in range(3):
            await at.client.post("/chat/run", json={"input": str(n), "session_id": "s"})
        first = (await at.client.get("/runs", params={"limit": 2})).json()
        second = (await at.client.get("/runs", params={"limit": 2, "after": first["next"]})).json()
        none = (await at.client.get("/runs", params={"status": "failed"})).json()
    outputs = [run["final_output"] for run in first["runs"] + second["runs"]]
    assert outputs == ["You said: 2", "You said: 1", "You said: 0"]
    assert second["next"] is None
    assert none == {"runs": [], "next": None}


# The log


async def test_whoever_asks_for_json_gets_pages_of_what_is_stored():
    async with house(COUNT) as at:
        run_id = (await at.client.post("/chat/run", json={"input": "Count"})).json()["run_id"]
        page = await at.client.get(f"/runs/{run_id}/events", headers={"accept": "application/json"})
        rest = await at.client.get(f"/runs/{run_id}/events?after=2", headers={"accept": "application/json"})
    events = page.json()["events"]
    assert events[0]["type"] == "run_started"
    assert [event["delta"] for event in events if event["type"] == "raw_response"] == ["0 ", "1 ", "2 ", "3 ", "4 "]
    assert events[-1]["type"] == "stream_complete"
    assert page.json()["next"] is None
    assert rest.json()["events"] == [event for event in events if event["id"] > 2]


async def test_at_or_past_the_end_of_a_finished_run_there_is_nothing_so_that_browsers_stop():
    async with house() as at:
        run_id = (await at.client.post("/chat/run", json={"input": "Hello"})).json()["run_id"]
        last = parse((await at.client.get(f"/runs/{run_id}/events")).text)[-1].id
        for position in (last, last + 1, 2**31):
            answer = await at.client.get(f"/runs/{run_id}/events", headers={"last-event-id": str(position)})
            assert (answer.status_code, answer.content) == (204, b"")


async def test_the_header_of_a_reconnect_wins_over_the_address():
    async with house(COUNT) as at:
        run_id = (await at.client.post("/chat/run", json={"input": "Count"})).json()["run_id"]
        answer = await at.client.get(f"/runs/{run_id}/events?after=0", headers={"last-event-id": "3"})
    assert parse(answer.text)[0].id > 3


async def test_a_position_that_is_no_number_is_refused():
    async with house() as at:
        run_id = (await at.client.post("/chat/run", json={"input": "Hello"})).json()["run_id"]
        answer = await at.client.get(f"/runs/{run_id}/events", headers={"last-event-id": "soon"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "last-event-id"


async def test_two_readers_see_the_same_and_one_that_comes_back_misses_nothing():
    gate = Gate()
    async with house(GATED, tools=gate) as at, served(at) as (client, _):
        run_id = await begin(at)
        async with client.stream("GET", f"/runs/{run_id}/events") as watching:
            seen = []
            async for frame in read_frames(watching):
                seen.append(frame)
                if frame.event == "progress":
                    break
        async with client.stream("GET", f"/runs/{run_id}/events") as other:
            from_start = asyncio.create_task(other.aread())
            headers = {"last-event-id": str(seen[-1].id)}
            async with client.stream("GET", f"/runs/{run_id}/events", headers=headers) as back:
                gate.opened.set()
                rest = parse((await back.aread()).decode())
            whole = parse((await from_start).decode())
    assert said(seen + rest) == said(whole) == "Once upona time."
    assert [f for f in seen + rest if f.event != "raw_response"] == [f for f in whole if f.event != "raw_response"]


async def test_the_first_byte_is_sent_and_silence_is_broken_while_the_agent_works():
    gate = Gate()
    async with house({"chat": [call("gate"), say("Hi")]}, tools=gate, silence=0.02) as at, served(at) as (client, _):
        async with client.stream("POST", "/chat/stream", json={"input": "Hello"}) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert stream.headers["cache-control"] == "no-cache"
            assert stream.headers["x-accel-buffering"] == "no"
            received = ""
            async for text in stream.aiter_text():
                received += text
                if received.count(":\n\n") >= 3:
                    gate.opened.set()
    assert received.startswith(":\n\nid: 0\n")
    assert said(parse(received)) == "Hi"


async def test_a_server_that_goes_away_says_when_to_come_back_and_does_not_pretend_an_end():
    gate = Gate()
    async with house(GATED, tools=gate) as at, served(at) as (client, _):
        async with client.stream("POST", "/chat/stream", json={"input": "Hello"}) as stream:
            await gate.reached.wait()
            at.services.log.dismiss_readers()
            text = (await stream.aread()).decode()
        gate.opened.set()
    assert text.endswith("retry: 1000\n\n")
    assert parse(text)[-1].event not in ("stream_complete", "error")


async def test_readers_of_a_deleted_conversation_are_told():
    gate = Gate()
    async with house(GATED, tools=gate) as at, served(at) as (client, _):
        body = {"input": "Hello", "session_id": "s"}
        async with client.stream("POST", "/chat/stream", json=body) as stream:
            await gate.reached.wait()
            assert (await client.delete("/chat/session/s")).status_code == 204
            frames = parse((await stream.aread()).decode())
    assert (frames[-1].event, frames[-1].data["code"]) == ("error", "conversation_deleted")


async def test_a_reader_that_does_not_read_delays_nobody_and_can_still_read_everything():
    pieces = [f"<{n}>".ljust(2000, ".") for n in range(8000)]  # far more than the buffers of a connection hold
    async with house({"chat": [say(*pieces)]}) as at, served(at) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
        body = b'{"input": "Talk", "session_id": "s"}'
        head = (
            b"POST /chat/stream HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n"
        )
        writer.write(head + b"content-length: %d\r\n\r\n" % len(body) + body)
        await reader.readuntil(b"run_started")
        run_id = (await at.client.get("/runs")).json()["runs"][0]["run_id"]
        ended = (await at.client.get(f"/runs/{run_id}", params={"wait": 30})).json()
        assert ended["status"] == "completed"
        received = bytearray()
        async with asyncio.timeout(30):
            while block := await reader.read(2**16):
                received += block
        writer.close()
    deltas = received.partition(b"event: run_item")[0]
    assert all(b"<%d>" % n in deltas for n in range(0, 8000, 97))
    assert b"event: stream_complete" in received


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "input_image", "image_url": "http://169.254.169.254/latest"}, "input.0.content.0.image_url"),
        ({"type": "input_file", "file_url": "http://127.0.0.1:6379/"}, "input.0.content.0.file_url"),
        ({"type": "image_url", "image_url": {"url": "http://[::1]/"}}, "input.0.content.0.image_url.url"),
        ({"type": "video_url", "video_url": {"url": "file:///etc/passwd"}}, "input.0.content.0.video_url.url"),
    ],
)
async def test_no_model_endpoint_is_sent_to_a_private_address(part, field):
    async with house() as at:
        body = {"input": [{"role": "user", "content": [part]}], "session_id": "s"}
        answer = await at.client.post("/chat/run", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "url_refused")
        assert [error["field"] for error in answer.json()["errors"]] == [field]
        assert (await at.client.get("/runs")).json()["runs"] == []


async def test_an_image_that_is_data_or_at_a_trusted_host_is_fine():
    pictures = ["data:image/png;base64,AAAA", "http://127.0.0.1:9000/a.png"]
    async with house(trusted_hosts=("127.0.0.1:9000",)) as at:
        parts = [{"type": "input_image", "image_url": url} for url in pictures]
        answer = await at.client.post("/chat/run", json={"input": [{"role": "user", "content": parts}]})
        assert answer.status_code == 200

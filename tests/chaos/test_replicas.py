"""From outside, with two and three real servers on one PostgreSQL: many replicas feel like one."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest

from tests.chaos.reader import Reader
from tests.postgres import PostgresServer
from tests.server import Client, Frame, Server, said, serving

PATIENCE = 60.0
LEASE = 15.0
"""Seconds for which a player that says nothing still holds its runs, unless it can be seen to have died."""

Replicas = Callable[..., Awaitable[list[Server]]]


@pytest.fixture
async def replicas(postgres_url: str, tmp_path: Path) -> AsyncIterator[Replicas]:
    """``await replicas(2, ...)``: servers on one database, each in a folder of its own."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(*each: dict[str, str], **env: str) -> list[Server]:
            async def one(number: int, own: dict[str, str]) -> Server:
                folder = tmp_path / str(number)
                folder.mkdir()
                return await stack.enter_async_context(serving(folder, DATABASE_URL=postgres_url, **env, **own))

            return await asyncio.gather(*(one(number, own) for number, own in enumerate(each)))

        yield start


async def begin(client: Client, input: str, session_id: str | None = None) -> str:
    body = {"input": input, "session_id": session_id, "options": {"background": True}}
    status, run = await client.post("/chat/run", body)
    assert status == 202, run
    return str(run["run_id"])


async def ended(client: Client, run_id: str) -> dict[str, Any]:
    _, run = await client.get(f"/runs/{run_id}?wait=40")
    return run


async def log_of(client: Client, run_id: str) -> list[Frame]:
    return [frame async for frame in client.events(run_id)]


async def same_as_the_log(reader: Reader, client: Client) -> None:
    """A reader that honours ``run_resumed`` ends with exactly the content of the log."""
    fresh = Reader(reader.run_id)
    for frame in await log_of(client, reader.run_id):
        fresh.read(frame)
    assert reader.content == fresh.content


async def test_a_reader_on_another_replica_sees_a_run_while_it_is_written(replicas: Replicas) -> None:
    one, two = await replicas({}, {}, DRAGOMAN_DEMO_SPEED="60")

    async def read(client: Client, run_id: str) -> list[Frame]:
        return [frame async for frame in client.events(run_id)]

    async with Client(one) as near, Client(two) as far, asyncio.timeout(PATIENCE):
        for _ in range(5):
            run_id = await begin(near, "/tokens 40")
            here, there = await asyncio.gather(read(near, run_id), read(far, run_id))
            text = " ".join(str(n) for n in range(1, 41))
            assert said(here) == said(there) == text
            assert len([frame for frame in there if frame.event == "raw_response"]) > 10, (
                "as it is written, not at once"
            )


async def test_a_cancellation_reaches_a_run_on_another_replica_at_once(replicas: Replicas) -> None:
    one, two = await replicas({}, {})
    async with Client(one) as near, Client(two) as far, asyncio.timeout(PATIENCE):
        run_id = await begin(near, "/stall 60")
        await far.post(f"/runs/{run_id}/cancel", {"mode": "now"})
        assert (await ended(far, run_id))["status"] == "cancelled"


async def test_a_second_message_sent_to_another_replica_is_answered_right_after_the_first(replicas: Replicas) -> None:
    one, two = await replicas({}, {})
    async with Client(one) as near, Client(two) as far, asyncio.timeout(PATIENCE):
        first = await begin(near, "/stall 1\n/say one", "s")
        second = await begin(far, "/say two", "s")
        assert (await ended(near, first))["final_output"] == "one"
        assert (await ended(far, second))["final_output"] == "two"
        _, page = await far.get("/chat/session/s")
        assert [str(m["content"]) for m in page["messages"] if m["role"] == "user"] == [
            "/stall 1\n/say one",
            "/say two",
        ]


async def test_what_one_replica_has_no_room_for_another_plays_at_once(replicas: Replicas) -> None:
    one, _ = await replicas({"DRAGOMAN_MAX_RUNS": "1"}, {})
    async with Client(one) as client, asyncio.timeout(PATIENCE):
        long = await begin(client, "/stall 60")
        answers = await asyncio.gather(*(client.run("chat", f"/say {n}") for n in range(5)))
        assert [answer["final_output"] for answer in answers] == ["0", "1", "2", "3", "4"]
        await client.post(f"/runs/{long}/cancel", {"mode": "now"})


async def test_a_replica_that_is_stopped_hands_its_runs_to_another(replicas: Replicas) -> None:
    one, two = await replicas({}, {}, DRAGOMAN_DEMO_SPEED="30", DRAGOMAN_SHUTDOWN_GRACE="0.2")
    async with Client(one) as near, Client(two) as far, asyncio.timeout(PATIENCE):
        reader = Reader(await begin(near, "/tokens 60"))
        following = asyncio.create_task(reader.follow(two))
        while not said(reader.frames):
            await asyncio.sleep(0.01)
        stopping = asyncio.create_task(one.stop(signal.SIGTERM))
        at = monotonic()
        while not any(frame.event == "run_resumed" for frame in reader.frames):
            await asyncio.sleep(0.01)
        assert monotonic() - at < LEASE, "nobody had to wait for its lease"
        assert await stopping == 0
        await following
        assert reader.frames[-1].data["status"] == "completed"
        assert said(reader.frames) == " ".join(str(n) for n in range(1, 61))
        await same_as_the_log(reader, far)


async def test_signals_work_again_after_their_connections_were_cut(
    replicas: Replicas, postgres: PostgresServer, postgres_url: str
) -> None:
    one, two = await replicas({}, {})
    async with Client(one) as near, Client(two) as far, aiohttp.ClientSession() as http, asyncio.timeout(PATIENCE):
        run_id = await begin(near, "/stall 60")
        assert postgres.hang_up(postgres_url) > 0
        for server in (one, two):
            while True:
                async with http.get(f"{server.url}/readyz") as answer:
                    parts = (await answer.json())["parts"]
                    if parts["signals"]["ready"]:
                        break
                await asyncio.sleep(0.02)
        await far.post(f"/runs/{run_id}/cancel", {"mode": "now"})
        assert (await ended(far, run_id))["status"] == "cancelled"


async def test_one_takes_requests_and_another_plays_the_runs(replicas: Replicas) -> None:
    api, worker = await replicas({"DRAGOMAN_ROLE": "api"}, {"DRAGOMAN_ROLE": "worker"})
    async with Client(api) as client, Client(worker) as behind, asyncio.timeout(PATIENCE):
        at = monotonic()
        for n in range(5):
            answer = await client.run("chat", f"/say {n}", "s")
            assert answer["final_output"] == str(n)
            seen = [frame async for frame in client.stream("chat", "/tokens 20")]
            assert said(seen) == " ".join(str(n) for n in range(1, 21))
        assert monotonic() - at < LEASE, "nobody had to wait for its lease"
        assert (await behind.post("/chat/run", {"input": "Hello"}))[0] == 404
        _, health = await behind.get("/health")
        assert health["runs"]["ended"] == {"completed": 10}
        _, health = await client.get("/health")
        assert health["runs"]["ended"] == {}


async def test_without_a_worker_runs_wait_and_are_not_lost(
    replicas: Replicas, tmp_path: Path, postgres_url: str
) -> None:
    (api,) = await replicas({"DRAGOMAN_ROLE": "api"})
    async with Client(api) as client, asyncio.timeout(PATIENCE):
        run_id = await begin(client, "/say done")
        assert (await client.get(f"/runs/{run_id}"))[1]["status"] == "queued"
        folder = tmp_path / "late"
        folder.mkdir()
        async with serving(folder, DATABASE_URL=postgres_url, DRAGOMAN_ROLE="worker"):
            assert (await ended(client, run_id))["final_output"] == "done"


@pytest.mark.chaos
async def test_a_killed_replicas_runs_go_on_and_their_readers_elsewhere_with_them(replicas: Replicas) -> None:
    one, two, three = await replicas({}, {}, {}, DRAGOMAN_DEMO_SPEED="20")
    async with Client(one) as near, Client(three) as far, asyncio.timeout(PATIENCE):
        readers = [Reader(await begin(near, "/tokens 40", f"s{n}")) for n in range(4)]
        following = [
            asyncio.create_task(reader.follow(server)) for reader, server in zip(readers, (two, three) * 2, strict=True)
        ]
        while not all(said(reader.frames) for reader in readers):
            await asyncio.sleep(0.01)
        await one.kill()
        at = monotonic()
        while not all(any(frame.event == "run_resumed" for frame in reader.frames) for reader in readers):
            await asyncio.sleep(0.01)
        assert monotonic() - at < LEASE, "nobody had to wait for its lease"
        await asyncio.gather(*following)
        for reader in readers:
            assert [frame.data["attempt"] for frame in reader.frames if frame.event == "run_resumed"] == [1]
            assert said(reader.frames) == " ".join(str(n) for n in range(1, 41))
            await same_as_the_log(reader, far)


@pytest.mark.chaos
async def test_a_frozen_replica_wakes_up_and_writes_nothing_more(replicas: Replicas) -> None:
    one, two = await replicas({}, {}, DRAGOMAN_DEMO_SPEED="5")
    async with Client(one) as near, Client(two) as far, asyncio.timeout(2 * PATIENCE):
        reader = Reader(await begin(near, "/tokens 100"))
        silent = await begin(near, "/stall 60\n/say done")  # it would write nothing for long after it woke up
        following = asyncio.create_task(reader.follow(two))
        while not said(reader.frames):
            await asyncio.sleep(0.01)
        os.kill(one.pid, signal.SIGSTOP)
        try:
            while not any(frame.event == "run_resumed" for frame in reader.frames):
                await asyncio.sleep(0.05)
        finally:
            os.kill(one.pid, signal.SIGCONT)
        async with asyncio.timeout(LEASE):
            while (await near.get("/health"))[1]["runs"]["active"]:  # it stops, the silent one included
                await asyncio.sleep(0.05)
        assert not following.done(), "the other one is still writing"
        await far.post(f"/runs/{silent}/cancel", {"mode": "now"})
        await following
        log = await log_of(far, reader.run_id)
        resumed = next(i for i, frame in enumerate(log) if frame.event == "run_resumed")
        first = log[resumed].position
        assert all(frame.position > first for frame in log[resumed + 1 :])
        assert said(log[resumed:]) == said(reader.frames) == " ".join(str(n) for n in range(1, 101))
        await same_as_the_log(reader, far)

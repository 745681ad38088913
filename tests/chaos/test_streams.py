"""From outside, with a real process: many streams at once, streams that are cut, a server that is told to go."""

import asyncio
import random
import signal
from pathlib import Path

from tests.server import Client, Frame, said, serving

TOKENS = 40


def expected(tokens: int = TOKENS) -> str:
    return " ".join(str(n) for n in range(1, tokens + 1))


async def whole_log(client: Client, run_id: str) -> list[Frame]:
    return [frame async for frame in client.events(run_id)]


def merged(seen: list[Frame]) -> list[tuple[str, object]]:
    """The content of a stream, whatever deltas arrived together: neighbouring ones are one."""
    result: list[tuple[str, object]] = []
    for frame in seen:
        if frame.event == "raw_response" and result and result[-1][0] == "raw_response":
            before = result[-1][1]
            assert isinstance(before, dict)
            result[-1] = ("raw_response", {**before, "delta": before["delta"] + frame.data["delta"]})
        else:
            result.append((frame.event, dict(frame.data)))
    return result


async def test_a_hundred_streams_at_once_all_complete(tmp_path: Path) -> None:
    async def one(client: Client, n: int) -> None:
        seen = [frame async for frame in client.stream("chat", f"/tokens {TOKENS}", f"user_{n}")]
        assert said(seen) == expected()
        assert seen[-1].event == "stream_complete"
        assert seen[-1].data["final_output"] == expected()
        assert [f.position for f in seen] == sorted({f.position for f in seen})

    async with serving(tmp_path) as server, Client(server) as client, asyncio.timeout(90):
        async with asyncio.TaskGroup() as group:
            for n in range(100):
                group.create_task(one(client, n))


async def test_streams_cut_at_random_and_resumed_end_with_exactly_the_log(tmp_path: Path) -> None:
    dice = random.Random(20)

    async def one(client: Client, n: int, cut: bool) -> None:
        seen: list[Frame] = []
        run_id = ""
        cuts = sorted(dice.sample(range(2, TOKENS), 3)) if cut else []
        source = client.stream("chat", f"/tokens {TOKENS}", f"user_{n}")
        while True:
            async for frame in source:
                run_id = run_id or frame.data["run_id"]
                seen.append(frame)
                if cuts and len(seen) >= cuts[0]:
                    cuts.pop(0)
                    break
            else:
                break
            await source.aclose()
            source = client.events(run_id, seen[-1].position)
        log = await whole_log(client, run_id)
        assert merged(seen) == merged(log)
        assert said(seen) == expected()

    async with (
        serving(tmp_path, DRAGOMAN_DEMO_SPEED="200") as server,
        Client(server) as client,
        asyncio.timeout(90),
        asyncio.TaskGroup() as group,
    ):
        for n in range(100):
            group.create_task(one(client, n, cut=n % 2 == 0))


async def test_closing_a_stream_does_not_stop_the_run(tmp_path: Path) -> None:
    async with serving(tmp_path, DRAGOMAN_DEMO_SPEED="100") as server, Client(server) as client, asyncio.timeout(60):
        stream = client.stream("chat", f"/tokens {TOKENS}", "sarah")
        first = await anext(stream)
        await stream.aclose()
        _, run = await client.get(f"/runs/{first.data['run_id']}?wait=30")
        assert run["status"] == "completed"
        assert run["final_output"] == expected()


async def test_two_readers_see_the_same(tmp_path: Path) -> None:
    async with serving(tmp_path, DRAGOMAN_DEMO_SPEED="200") as server, Client(server) as client, asyncio.timeout(60):
        stream = client.stream("chat", f"/tokens {TOKENS}", "sarah")
        seen = [await anext(stream)]
        second = asyncio.create_task(whole_log(client, seen[0].data["run_id"]))
        seen += [frame async for frame in stream]
        assert merged(await second) == merged(seen)


async def test_a_server_told_to_stop_lets_runs_finish_and_readers_go(tmp_path: Path) -> None:
    async with serving(tmp_path, DRAGOMAN_DEMO_SPEED="40") as server:
        async with Client(server) as client, asyncio.timeout(60):
            stream = client.stream("chat", f"/tokens {TOKENS}", "sarah")
            run_id = (await anext(stream)).data["run_id"]
            waiting = asyncio.create_task(client.run("chat", f"/tokens {TOKENS}", "john"))
            while (await client.get("/runs"))[1]["runs"][0]["run_id"] == run_id:
                await asyncio.sleep(0.01)
            stopping = asyncio.create_task(server.stop(signal.SIGTERM))
            seen = [frame async for frame in stream]
            assert not [f for f in seen if f.event in ("stream_complete", "error")], "it ends without a last word"
            assert (await waiting)["success"], "whoever waits for an answer still gets it"
            assert await stopping == 0
        await server.start()
        async with Client(server) as client:
            _, run = await client.get(f"/runs/{run_id}")
            assert run["status"] == "completed", "the run finished after its reader had gone"

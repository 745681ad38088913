"""From outside, with real processes: PostgreSQL restarts under load, connections die, two servers share a database."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from dragoman.adapters.sql import schema
from tests.postgres import LocalPostgres, PostgresServer, local_postgres
from tests.server import Client, Server, said, serving

PATIENCE = 60.0


@pytest.fixture
def mortal() -> Iterator[LocalPostgres]:
    """A PostgreSQL of one's own, to be stopped and started."""
    with local_postgres() as server:
        schema.migrate(server.url)
        yield server


async def persistent(client: Client, method: str, path: str, body: Any = None) -> dict[str, Any]:
    """Ask until the answer is no longer 503, which promises that nothing was accepted."""
    while True:
        status, answer = await (client.post(path, body) if method == "POST" else client.get(path))
        if status != 503:
            assert status < 300, answer
            return answer
        await asyncio.sleep(0.1)


async def readiness(server: Server, status: int) -> dict[str, Any]:
    """Wait until the server says that it is ready, or is not."""
    async with aiohttp.ClientSession() as http:
        while True:
            async with http.get(f"{server.url}/readyz") as answer:
                if answer.status == status:
                    return await answer.json()
            await asyncio.sleep(0.05)


async def gauge(server: Server, name: str) -> float:
    async with aiohttp.ClientSession() as http, http.get(f"{server.url}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")))


class Chatter:
    """Somebody who keeps talking, and remembers what was acknowledged."""

    def __init__(self, client: Client, name: str) -> None:
        self.name = name
        self.acknowledged: list[str] = []
        self._client = client

    async def talk(self, enough: asyncio.Event) -> None:
        n = 0
        while not enough.is_set():
            text = f"/tokens {3 + n}"
            body = {"input": text, "session_id": self.name, "options": {"background": True}}
            run = await persistent(self._client, "POST", "/chat/run", body)
            self.acknowledged.append(text)
            n += 1
            ended = await persistent(self._client, "GET", f"/runs/{run['run_id']}?wait=20")
            assert ended["status"] == "completed", ended

    async def check(self) -> None:
        page = await persistent(self._client, "GET", f"/chat/session/{self.name}?limit=500")
        messages = page["messages"]
        assert [m["role"] for m in messages] == ["user", "assistant"] * len(self.acknowledged)
        assert [str(m["content"]) for m in messages[::2]] == self.acknowledged


@contextlib.asynccontextmanager
async def talking(server: Server, people: int) -> AsyncIterator[list[Chatter]]:
    """People who talk for as long as the block lasts; afterwards all that was acknowledged is there, once, in order."""
    async with Client(server) as client, asyncio.timeout(PATIENCE):
        chatters = [Chatter(client, f"person {n}") for n in range(people)]
        enough = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for chatter in chatters:
                group.create_task(chatter.talk(enough))
            yield chatters
            enough.set()
        for chatter in chatters:
            await chatter.check()


async def progress(chatters: list[Chatter], more: int = 3) -> None:
    """Wait until everybody was heard a few more times."""
    goal = [len(chatter.acknowledged) + more for chatter in chatters]
    while any(len(chatter.acknowledged) < n for chatter, n in zip(chatters, goal, strict=True)):
        await asyncio.sleep(0.02)


async def test_a_restarted_database_loses_and_doubles_nothing(mortal: LocalPostgres, tmp_path: Path) -> None:
    async with (
        serving(tmp_path, DATABASE_URL=mortal.url, DRAGOMAN_DEMO_SPEED="200") as server,
        talking(server, 12) as chatters,
    ):
        await progress(chatters)
        for with_signal in ("SIGINT", "SIGQUIT"):
            mortal.stop(signal.Signals[with_signal])
            unready = await readiness(server, 503)
            assert not unready["parts"]["database"]["ready"]
            mortal.start()
            await readiness(server, 200)
            await progress(chatters)


async def test_killed_connections_are_not_noticed(postgres: PostgresServer, postgres_url: str, tmp_path: Path) -> None:
    async with (
        serving(tmp_path, DATABASE_URL=postgres_url, DRAGOMAN_DEMO_SPEED="500") as server,
        talking(server, 8) as chatters,
    ):
        for _ in range(8):
            await progress(chatters, 1)
            assert postgres.hang_up(postgres_url) > 0


async def test_no_connection_is_held_while_a_model_works(postgres_url: str, tmp_path: Path) -> None:
    pool = {"DRAGOMAN_DB_POOL_SIZE": "5", "DRAGOMAN_DB_POOL_OVERFLOW": "0"}
    async with (
        serving(tmp_path, DATABASE_URL=postgres_url, **pool) as server,
        Client(server) as client,
        asyncio.timeout(PATIENCE),
    ):
        stalling = [asyncio.create_task(client.run("chat", "/stall 2\n/say done", f"s{n}")) for n in range(200)]
        while await gauge(server, "dragoman_runs_active") < 200:
            await asyncio.sleep(0.02)
        assert await gauge(server, 'dragoman_database_connections{state="in_use"}') <= 2, (
            "the log's and the scrape's own"
        )
        runs = await asyncio.gather(*stalling)
        assert [run["status"] for run in runs] == ["completed"] * 200


async def test_two_servers_share_a_database(postgres_url: str, tmp_path: Path) -> None:
    folders = tmp_path / "one", tmp_path / "two"
    for folder in folders:
        folder.mkdir()
    async with (
        serving(folders[0], DATABASE_URL=postgres_url, DRAGOMAN_DEMO_SPEED="100") as one,
        serving(folders[1], DATABASE_URL=postgres_url, DRAGOMAN_DEMO_SPEED="100") as two,
        Client(one) as first,
        Client(two) as second,
        asyncio.timeout(PATIENCE),
    ):
        runs = await asyncio.gather(*((first, second)[n % 2].run("chat", "/tokens 5", f"s{n % 8}") for n in range(40)))
        assert [run["status"] for run in runs] == ["completed"] * 40
        for n in range(8):
            _, page = await first.get(f"/chat/session/s{n}?limit=100")
            assert [m["role"] for m in page["messages"]] == ["user", "assistant"] * 5

        # what one plays, the other can show and stop
        _, run = await first.post("/chat/run", {"input": "/tokens 60", "options": {"background": True}})
        assert said([frame async for frame in second.events(run["run_id"])]).split() == [str(n) for n in range(1, 61)]
        _, run = await first.post("/chat/run", {"input": "/stall 60", "options": {"background": True}})
        await second.post(f"/runs/{run['run_id']}/cancel", {"mode": "now"})
        _, run = await second.get(f"/runs/{run['run_id']}?wait=20")
        assert run["status"] == "cancelled"

        # what one leaves behind, the other takes up, and goes on
        background = {"session_id": "left", "options": {"background": True}}
        _, left = await first.post("/chat/run", {"input": "/stall 3\n/say done", **background})
        _, behind = await first.post("/chat/run", {"input": "/say next", **background})
        await one.kill()
        for run, output in ((left, "done"), (behind, "next")):
            _, ended = await second.get(f"/runs/{run['run_id']}?wait=40")
            assert (ended["status"], ended["final_output"]) == ("completed", output)

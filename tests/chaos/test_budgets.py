"""Two real servers on one PostgreSQL: budgets, limits and clean-up hold over both."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

from tests.server import Client, Server, serving

AGENT = """
from agents import Agent, ModelSettings

guide = Agent(name="Guide", model_settings=ModelSettings(max_tokens=100))
"""
MONEY = """
[prices.demo]
input = 0
output = 1000000

[budgets.daily]
ceiling = 1000
per = "tenant"
period = "day"
"""
PATIENCE = 120.0


@contextlib.asynccontextmanager
async def two(folder: Path, url: str, toml: str = "", **env: str) -> AsyncIterator[tuple[Server, Server]]:
    async with contextlib.AsyncExitStack() as stack:

        async def one(name: str) -> Server:
            place = folder / name
            place.mkdir()
            (place / "dragoman.toml").write_text(toml)
            (place / "guides.py").write_text(AGENT)
            return await stack.enter_async_context(serving(place, "guides.py", DATABASE_URL=url, **env))

        first, second = await asyncio.gather(one("1"), one("2"))
        yield first, second


async def test_two_processes_never_spend_more_than_one_budget(postgres_url: str, tmp_path: Path) -> None:
    async with two(tmp_path, postgres_url, MONEY) as servers, asyncio.timeout(PATIENCE):
        async with Client(servers[0]) as one, Client(servers[1]) as other:
            runs = [(one, other)[n % 2].post("/guide/run", {"input": "/tokens 100"}) for n in range(50)]
            answers = await asyncio.gather(*runs)
            _, usage = await one.get("/usage")
            _, found = await other.get("/usage/budgets")
    completed = [run for _, run in answers if run.get("status") == "completed"]
    costs = [Decimal(run["usage"]["cost"]) for run in completed]
    (budget,) = found["budgets"]
    spent = Decimal(budget["spent"])
    assert {status for status, _ in answers} <= {200, 402}
    assert all("budget_exhausted" in str(run) for _, run in answers if run not in completed)
    assert sum(costs) == spent == Decimal(usage["total"]["cost"])
    assert Decimal(budget["reserved"]) == 0
    over = max(costs) - 100  # what a call cost more than was reserved for it
    assert 1000 - max(costs) - 100 < spent <= 1000 + max(over, Decimal(0)) * 10


async def test_two_processes_serve_no_more_requests_a_minute_than_one(postgres_url: str, tmp_path: Path) -> None:
    limits = {"DRAGOMAN_USER_REQUESTS_PER_MINUTE": "40"}
    async with two(tmp_path, postgres_url, **limits) as servers, asyncio.timeout(PATIENCE):
        async with Client(servers[0]) as one, Client(servers[1]) as other:
            began = int(time.time()) // 60
            answers = await asyncio.gather(*((one, other)[n % 2].get("/agents") for n in range(120)))
            minutes = int(time.time()) // 60 - began + 1
    served = sum(status == 200 for status, _ in answers)
    assert 40 <= served <= 40 * minutes
    assert {found["code"] for status, found in answers if status != 200} <= {"too_many_requests"}


async def test_two_processes_put_each_idle_conversation_away_once(postgres_url: str, tmp_path: Path) -> None:
    idle = {"DRAGOMAN_THREAD_TTL_DAYS": "0.0000001", "DRAGOMAN_CLEANUP_INTERVAL": "0.2"}
    async with two(tmp_path, postgres_url, **idle) as servers, asyncio.timeout(PATIENCE):
        async with Client(servers[0]) as one:
            await asyncio.gather(*(one.run("guide", "/say hi", f"s{n}") for n in range(20)))
            while True:
                _, found = await one.get("/agents/threads?limit=100")
                if not any(thread["is_active"] for thread in found["threads"]):
                    break
                await asyncio.sleep(0.05)
        logs = "".join(server.log() for server in servers)
    assert len(found["threads"]) == 20
    assert sum(int(line.split("count=")[1].split()[0]) for line in logs.splitlines() if "cleared away" in line) == 20

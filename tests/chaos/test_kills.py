"""A hundred kills at random moments, on one machine and on two replicas, counted and reported: ``make chaos``.

Each half has a seed, which is printed. ``CHAOS_SEED`` plays the same kills again; the moments differ by what the machine does.
"""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.chaos.test_resuming import AGENTS, Reader, payments
from tests.server import Client, Server, said

KILLS = 50
ALIVE = 6
"""How many runs are going on at any time."""
CLERK = """
clerk = Agent(name="Clerk", instructions="Pay for others.", tools=[pay])
payer.tools.append(clerk.as_tool("ask_clerk", "Ask the clerk to pay."))
"""
STEPS = (
    '/call pay {"amount": 1}',
    '/call ask_clerk {"input": "/call pay {\\"amount\\": 2}"}',
    '/call pay {"amount": 3}',
    "/tokens 30",
)
CALLS = 3  # of ``pay`` in each run
PATIENCE = 20 * 60.0


class Wanderer(Reader):
    """Comes back to whichever server the dice say."""

    async def wander(self, servers: Sequence[Server], dice: random.Random) -> None:
        last = -1
        while not self.ended:
            try:
                async with Client(dice.choice(servers)) as client:
                    async for frame in client.events(self.run_id, last if last >= 0 else None):
                        self.read(frame)
                        last = frame.position
            except aiohttp.ClientError:  # nobody is there for the moment
                await asyncio.sleep(0.02)

    @property
    def finished(self) -> set[str]:
        """Calls whose result was read, so that it was stored."""
        outputs = [frame.data["item"] for frame in self.frames if frame.data.get("name") == "tool_output"]
        return {f"{self.run_id}/{item['call_id']}" for item in outputs}


@dataclass
class Count:
    """What the report says."""

    seed: int
    kills: int = 0
    runs: int = 0
    taken_up: int = 0
    lost: list[str] = field(default_factory=list)
    inexact: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    in_flight_again: int = 0

    def __str__(self) -> str:
        return (
            f"\nseed {self.seed}: {self.kills} kills, {self.runs} runs, {self.taken_up} attempts more; lost {len(self.lost)},"
            f" finished steps repeated {len(self.repeated)}, streams inexact {len(self.inexact)},"
            f" steps in flight repeated under the same keys {self.in_flight_again}"
        )


@dataclass
class Chaos:
    folder: Path
    servers: list[Server]
    dice: random.Random
    count: Count
    readers: dict[Wanderer, "asyncio.Task[None]"] = field(default_factory=dict)
    begun_when_finished: dict[str, int] = field(default_factory=dict)

    async def begin(self) -> None:
        """One more run, on whichever server answers, and a reader for it on any."""
        body = {"input": "\n".join(STEPS), "options": {"background": True}, "session_id": f"s{self.count.runs}"}
        key = {"idempotency-key": f"k{self.count.runs}"}
        self.count.runs += 1
        while True:
            try:
                async with Client(self.dice.choice(self.servers)) as client:
                    status, run = await client.post("/payer/run", body, **key)
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)
                continue
            if status == 202:
                break
        reader = Wanderer(run["run_id"])
        self.readers[reader] = asyncio.create_task(reader.wander(self.servers, random.Random(self.count.runs)))

    async def blow(self) -> None:
        """Top up, wait for no particular moment, note what is finished, and kill somebody."""
        going = sum(not task.done() for task in self.readers.values())
        for _ in range(ALIVE - going):
            await self.begin()
        await asyncio.sleep(self.dice.uniform(0.05, 2.5))
        self.note_finished()
        victim = self.dice.choice(self.servers)
        await victim.kill()
        await victim.start()
        self.count.kills += 1

    def note_finished(self) -> None:
        begun = Counter(self.begun())
        for reader in self.readers:
            for call in reader.finished:
                self.begun_when_finished.setdefault(call, begun[call])

    def begun(self) -> list[str]:
        return payments(self.folder)[0] if (self.folder / "paid.txt").exists() else []

    async def look_back(self) -> None:
        await asyncio.gather(*self.readers.values())
        begun = Counter(self.begun())
        self.count.repeated = [call for call, times in self.begun_when_finished.items() if begun[call] > times]
        self.count.in_flight_again = begun.total() - len(begun)
        async with Client(self.servers[0]) as client:
            for reader in self.readers:
                _, run = await client.get(f"/runs/{reader.run_id}")
                if run["status"] != "completed" or not run["final_output"].endswith(" 30"):
                    self.count.lost.append(reader.run_id)
                fresh = Reader(reader.run_id)
                await fresh.follow(self.servers[0])
                self.count.taken_up += sum(frame.event == "run_resumed" for frame in fresh.frames)
                if reader.content != fresh.content or not said(reader.frames).endswith(" 30"):
                    self.count.inexact.append(reader.run_id)


@pytest.mark.chaos
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_killed_a_hundred_times_nothing_is_lost_and_nothing_finished_is_done_again(
    database: str, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    (tmp_path / "my_agents.py").write_text(AGENTS + CLERK)
    env = {"DRAGOMAN_DEMO_SPEED": "40"}
    if database == "postgresql":
        env["DATABASE_URL"] = request.getfixturevalue("postgres_url")
    servers = [Server(tmp_path, env, ("my_agents.py",)) for _ in range(2 if database == "postgresql" else 1)]
    chaos = Chaos(tmp_path, servers, random.Random(seed), Count(seed))
    try:
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(server.start() for server in servers))
            for _ in range(int(os.environ.get("CHAOS_KILLS", KILLS))):
                await chaos.blow()
            await chaos.look_back()
    finally:
        for task in chaos.readers.values():
            task.cancel()
        await asyncio.gather(*(server.stop() for server in servers))
    with capsys.disabled():
        print(chaos.count)
    assert (chaos.count.lost, chaos.count.repeated, chaos.count.inexact) == ([], [], [])
    assert len(set(chaos.begun())) == CALLS * chaos.count.runs, "a call that is made again keeps its key"

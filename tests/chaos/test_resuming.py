"""Told to go in the middle of anything, a run goes on: nothing is done twice, and readers hardly notice."""

import asyncio
import signal
from pathlib import Path

from tests.chaos.reader import Reader
from tests.server import Client, Server, said

AGENTS = """
import asyncio
from agents import Agent, function_tool
from agents.tool_context import ToolContext


def note(line):
    with open("paid.txt", "a") as file:
        file.write(line + "\\n")


@function_tool
async def pay(ctx: ToolContext, amount: int) -> str:
    "Pay."
    key = ctx.context.idempotency_key(ctx.tool_call_id)
    note(f"begin {key}")
    await asyncio.sleep(0.05)
    note(f"end {key}")
    return f"paid {amount}"


payer = Agent(name="Payer", instructions="Pay.", tools=[pay])
"""

STEPS = '/call pay {"amount": 1}\n/call pay {"amount": 2}\n/tokens 60'


async def begin(server: Server, session_id: str) -> Reader:
    async with Client(server) as client:
        body = {"input": STEPS, "session_id": session_id, "options": {"background": True}}
        status, run = await client.post("/payer/run", body)
        assert status == 202, run
        return Reader(run["run_id"])


def payments(folder: Path) -> tuple[list[str], list[str]]:
    """The keys under which payments began and ended, in order."""
    lines = [line.split() for line in (folder / "paid.txt").read_text().splitlines()]
    return [key for word, key in lines if word == "begin"], [key for word, key in lines if word == "end"]


async def test_a_deploy_hands_runs_over_and_their_readers_come_back(tmp_path: Path) -> None:
    (tmp_path / "my_agents.py").write_text(AGENTS)
    server = Server(tmp_path, {"DRAGOMAN_DEMO_SPEED": "30", "DRAGOMAN_SHUTDOWN_GRACE": "0.2"}, ("my_agents.py",))
    try:
        async with asyncio.timeout(110):
            await server.start()
            reader = await begin(server, "s")
            following = asyncio.create_task(reader.follow(server))
            while not said(reader.frames):
                await asyncio.sleep(0.01)
            assert await server.stop(signal.SIGTERM) == 0
            await server.start()
            await following
            assert reader.frames[-1].data["status"] == "completed"
            assert [frame.data["attempt"] for frame in reader.frames if frame.event == "run_resumed"] == [1]
            async with Client(server) as client:
                _, run = await client.get(f"/runs/{reader.run_id}")
                assert (run["status"], run["error"]) == ("completed", None)
                assert said(reader.frames).strip() == run["final_output"]
    finally:
        await server.stop()
    begun, ended = payments(tmp_path)
    assert len(begun) == len(set(begun)) == len(ended) == 2, "nothing was in flight, so nothing was done twice"

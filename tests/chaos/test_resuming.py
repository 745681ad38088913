"""Killed or told to go in the middle of anything, a run goes on: nothing finished is done twice, and readers hardly notice."""

import asyncio
import random
import signal
from pathlib import Path

import aiohttp

from tests.server import Client, Frame, Server, said

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


class Reader:
    """A client as the protocol asks it to be: it comes back with its last position, and forgets what it is told to."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.frames: list[Frame] = []

    @property
    def ended(self) -> bool:
        return bool(self.frames) and self.frames[-1].event in ("stream_complete", "error")

    def read(self, frame: Frame) -> None:
        if frame.event == "run_resumed":
            after = frame.data["discard_after"]
            self.frames = [kept for kept in self.frames if kept.position <= after or kept.event == "run_resumed"]
        self.frames.append(frame)

    async def follow(self, server: Server) -> None:
        last = -1
        while not self.ended:
            try:
                async with Client(server) as client:
                    async for frame in client.events(self.run_id, last if last >= 0 else None):
                        self.read(frame)
                        last = frame.position
            except aiohttp.ClientError:  # nobody is there for the moment
                await asyncio.sleep(0.02)

    @property
    def content(self) -> list[str]:
        """What finished, and the text that was streamed."""
        return [repr(frame.data) for frame in self.frames if frame.event == "run_item"] + [said(self.frames)]


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


async def test_killed_at_random_moments_every_run_finishes_and_nothing_finished_is_done_twice(tmp_path: Path) -> None:
    dice = random.Random(5)
    (tmp_path / "my_agents.py").write_text(AGENTS)
    server = Server(tmp_path, {"DRAGOMAN_DEMO_SPEED": "40"}, ("my_agents.py",))
    finished: set[str] = set()  # calls whose result somebody has seen, so that it was stored
    try:
        async with asyncio.timeout(110):
            await server.start()
            readers = [await begin(server, f"s{n}") for n in range(6)]
            following = [asyncio.create_task(reader.follow(server)) for reader in readers]
            for _ in range(4):
                await asyncio.sleep(dice.uniform(0.05, 0.9))  # the moment of the blow, not something waited for
                finished |= {
                    f"{reader.run_id}/{frame.data['item']['call_id']}"
                    for reader in readers
                    for frame in reader.frames
                    if frame.data.get("name") == "tool_output"
                }
                begun_before = len(payments(tmp_path)[0]) if (tmp_path / "paid.txt").exists() else 0
                await server.kill()
                await server.start()
                again = payments(tmp_path)[0][begun_before:] if (tmp_path / "paid.txt").exists() else []
                assert not finished & set(again), "a finished call was made again"
            await asyncio.gather(*following)
            async with Client(server) as client:
                for reader in readers:
                    assert reader.frames[-1].data["status"] == "completed", server.log()
                    fresh = Reader(reader.run_id)
                    await fresh.follow(server)
                    assert reader.content == fresh.content, "a reader ends with exactly the content of the log"
                    _, run = await client.get(f"/runs/{reader.run_id}")
                    assert run["final_output"].endswith(" 60")
                _, session = await client.get("/payer/session/s0")
                kinds = [message["type"] for message in session["messages"]]
                assert kinds.count("function_call") == kinds.count("function_call_output") == 2
                assert [message.get("role") for message in session["messages"]].count("user") == 1
    finally:
        await server.stop()
    begun, _ = payments(tmp_path)
    assert len(set(begun)) == 2 * len(readers), "a call that is made again keeps its key"


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

"""``dragoman runs``: the same runs in the database and through a server, and a replay that tells what is different."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.server import Client, serving

OTHER = "from agents import Agent\nassistant = Agent(name='Assistant', instructions='Be brief.')\n"

Said = Callable[..., "asyncio.Future[subprocess.CompletedProcess[str]]"]


@pytest.fixture
def say(dragoman: Command, tmp_path: Path) -> Said:
    """``dragoman runs …`` while a server of the same loop goes on; ``url`` asks it, else the database beside it."""
    database = {"SESSION_DB_PATH": str(tmp_path / "dragoman.db")}

    def run(*arguments: str, url: str = "") -> "asyncio.Future[subprocess.CompletedProcess[str]]":
        env = {"DRAGOMAN_URL": url} if url else database
        return asyncio.ensure_future(asyncio.to_thread(dragoman, "runs", *arguments, **env))

    return run


async def test_runs_are_listed_shown_and_followed_in_the_database_and_through_a_server(say: Said, tmp_path: Path):
    async with serving(tmp_path) as server, Client(server) as client:
        ended = await client.run("assistant", "What is 12 * 7?", "s")
        for url in ("", server.url):
            listed = await say("list", "--agent", "assistant", "--status", "completed", "--json", url=url)
            (record,) = [json.loads(line) for line in listed.stdout.splitlines()]
            assert (record["run_id"], record["status"]) == (ended["run_id"], "completed"), listed.stderr
            assert (await say("list", "--agent", "nobody", url=url)).stdout == ""
            shown = await say("show", ended["run_id"], "--json", url=url)
            assert json.loads(shown.stdout) == record
            followed = await say("follow", ended["run_id"], url=url)
            assert followed.returncode == 0
            assert "→ calculate" in followed.stdout
            assert followed.stdout.endswith("12 * 7 = 84\n[completed]\n")
            unknown = await say("show", "run_unknown", url=url)
            assert (unknown.returncode, "no run 'run_unknown'" in unknown.stderr) == (2, True)


async def test_a_run_is_followed_while_it_goes_and_cancelled_from_beside(say: Said, tmp_path: Path):
    async with serving(tmp_path) as server, Client(server) as client:
        for url in ("", server.url):
            body = {"input": "/say begun\n/stall 60", "options": {"background": True}, "session_id": "s"}
            _, run = await client.post("/chat/run", body)
            following = say("follow", run["run_id"], "--json", url=url)
            asked = await say("cancel", run["run_id"], "--now", url=url)
            assert "was asked to stop" in asked.stdout, asked.stderr
            followed = await following
            assert followed.returncode == 1
            last = json.loads(followed.stdout.splitlines()[-1])
            assert last.get("status") == "cancelled", followed
            again = await say("cancel", run["run_id"], url=url)
            assert again.returncode == 2


async def test_a_replay_finds_no_difference_until_an_agent_is_changed(say: Said, tmp_path: Path):
    async with serving(tmp_path) as server, Client(server) as client:
        run = await client.run("assistant", "What is 12 * 7?", "s")
        (tmp_path / "other.py").write_text(OTHER)
        same = await say("replay", run["run_id"])
        changed = await say("replay", run["run_id"], "other.py")
    assert (same.returncode, "no difference" in same.stdout) == (0, True), same.stderr
    assert changed.returncode == 1
    assert "+its agents go another way now" in changed.stdout


async def test_a_server_that_is_not_there_is_named(say: Said):
    gone = await say("list", url="http://127.0.0.1:9")
    assert (gone.returncode, gone.stderr) == (2, "http://127.0.0.1:9 cannot be reached.\n")

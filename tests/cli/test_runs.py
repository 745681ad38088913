"""``dragoman runs``: the same runs in the database and through a server, and a replay that tells what is different."""

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from dragoman.cli import app
from tests.cli.conftest import Command
from tests.server import Client, Server

OTHER = "from agents import Agent\nassistant = Agent(name='Assistant', instructions='Be brief.')\n"

Say = Callable[..., "asyncio.Future[Result]"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("server"))
    try:
        asyncio.run(one.start())
        yield one
    finally:
        asyncio.run(one.stop())


@pytest.fixture
def say(server: Server) -> Say:
    """``dragoman runs …`` in this process; ``url`` asks the server, else the database beside it. One at a time."""

    def run(*arguments: str, url: str = "") -> "asyncio.Future[Result]":
        env = _where(server, url)
        return asyncio.ensure_future(asyncio.to_thread(CliRunner(env=env).invoke, app, ["runs", *arguments]))

    return run


def _where(server: Server, url: str) -> dict[str, str]:
    return {"DRAGOMAN_URL": url} if url else {"SESSION_DB_PATH": str(server.folder / "dragoman.db")}


async def test_runs_are_listed_shown_and_followed_in_the_database_and_through_a_server(say: Say, server: Server):
    async with Client(server) as client:
        ended = await client.run("assistant", "What is 12 * 7?", "s")
        conversation = ended["conversation_id"]
        for url in ("", server.url):
            wanted = ("--agent", "assistant", "--status", "completed", "--conversation", conversation)
            listed = await say("list", *wanted, "--json", url=url)
            (record,) = [json.loads(line) for line in listed.stdout.splitlines()]
            assert (record["run_id"], record["status"]) == (ended["run_id"], "completed"), listed.stderr
            assert (await say("list", "--agent", "nobody", url=url)).stdout == ""
            shown = await say("show", ended["run_id"], "--json", url=url)
            assert json.loads(shown.stdout) == record
            followed = await say("follow", ended["run_id"], url=url)
            assert followed.exit_code == 0
            assert "→ calculate" in followed.stdout
            assert followed.stdout.endswith("12 * 7 = 84\n[completed]\n")
            unknown = await say("show", "run_unknown", url=url)
            assert (unknown.exit_code, "no run 'run_unknown'" in unknown.stderr) == (2, True)


async def test_a_run_is_followed_while_it_goes_and_cancelled_from_beside(say: Say, dragoman: Command, server: Server):
    async with Client(server) as client:
        for url in ("", server.url):
            body = {"input": "/say begun\n/stall 60", "options": {"background": True}, "session_id": "cancelled"}
            _, run = await client.post("/chat/run", body)
            arguments = ("runs", "follow", run["run_id"], "--json")
            following = asyncio.ensure_future(asyncio.to_thread(dragoman, *arguments, **_where(server, url)))
            asked = await say("cancel", run["run_id"], "--now", url=url)
            assert "was asked to stop" in asked.stdout, asked.stderr
            followed: subprocess.CompletedProcess[str] = await following
            assert followed.returncode == 1
            last = json.loads(followed.stdout.splitlines()[-1])
            assert last.get("status") == "cancelled", followed
            again = await say("cancel", run["run_id"], url=url)
            assert again.exit_code == 2


async def test_a_replay_finds_no_difference_until_an_agent_is_changed(say: Say, server: Server, tmp_path: Path):
    async with Client(server) as client:
        run = await client.run("assistant", "What is 12 * 7?", "replayed")
    (tmp_path / "other.py").write_text(OTHER)
    same = await say("replay", run["run_id"])
    changed = await say("replay", run["run_id"], str(tmp_path / "other.py"))
    assert (same.exit_code, "no difference" in same.stdout) == (0, True), same.stderr
    assert changed.exit_code == 1
    assert "+its agents go another way now" in changed.stdout


async def test_a_server_that_is_not_there_is_named(say: Say):
    gone = await say("list", url="http://127.0.0.1:9")
    assert (gone.exit_code, gone.stderr) == (2, "http://127.0.0.1:9 cannot be reached.\n")

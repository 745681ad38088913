"""Tools of MCP servers are like ours, whoever plays: listed, limited, asked about, recorded and replayed."""

import asyncio
import contextlib
import sys
from pathlib import Path

import pytest

from dragoman.adapters.mcp import McpServer, McpServers
from dragoman.adapters.memory import MemoryStore
from dragoman.asgi import create_app
from dragoman.domain.identity import LOCAL
from dragoman.domain.journal import journal_of
from dragoman.domain.runs import RunStatus
from dragoman.ports.runtime import Turn
from dragoman.ports.web import Unguarded
from dragoman.settings import Settings
from tests.providers.openai.stage import MemoryRecorder
from tests.providers.played import PROVIDERS, logged, outputs, spec

SCRIPT = Path(__file__).parents[1] / "mcp_server.py"
WAIT = 30.0


@pytest.fixture(params=PROVIDERS)
def provider(request):
    return request.param


@contextlib.asynccontextmanager
async def served(provider, folder, *agents, **fields):
    server = McpServer("test", command=sys.executable, args=("-I", "-S", str(SCRIPT), str(folder)), **fields)
    app = create_app(
        agents or [spec(mcp=("test",))],
        store=MemoryStore(),
        servers=McpServers([server], Unguarded(), first=0.01),
        settings=Settings.of(providers=(provider,), builtin_agents=False, demo_speed=0.0),
    )
    async with app:
        yield app


async def test_a_tool_of_a_server_is_called_like_any_other_and_listed_with_them(provider, tmp_path):
    async with served(provider, tmp_path) as app:
        run = await asyncio.wait_for(app.run("ann", '/call test__echo {"text": "hi"}'), WAIT)
        assert await outputs(app, run) == [("echo: hi", False)]
        listed = {one.card.name: one.agents for one in app.application.services.tools.list(LOCAL)}
        assert listed["test__echo"] == ("ann",)
        card = app.application.services.catalog.find(LOCAL, "ann")
        assert "test__echo" in [tool.name for tool in card.tools]
    assert (tmp_path / "calls").read_text().startswith(f"echo {run.id}/call_")


async def test_only_agents_that_name_a_server_or_are_named_for_it_have_its_tools(provider, tmp_path):
    agents = spec(key="ann"), spec(key="ben"), spec(key="cid", mcp=("test",))
    async with served(provider, tmp_path, *agents, agents=("b*",)) as app:
        said = {}
        for key in ("ann", "ben", "cid"):
            run = await asyncio.wait_for(app.run(key, '/call test__echo {"text": "hi"}'), WAIT)
            ((_, said[key]),) = await outputs(app, run)
    assert said == {"ann": True, "ben": False, "cid": False}


async def test_a_call_whose_connection_breaks_does_not_end_the_run(provider, tmp_path):
    async with served(provider, tmp_path) as app:
        run = await asyncio.wait_for(app.run("ann", '/call test__die {"text": "x"}\n/say on'), WAIT)
        ((said, failed),) = await outputs(app, run)
    assert (run.status, failed) == (RunStatus.COMPLETED, True)
    assert said == "The connection to test broke during the call; whether it took effect is unknown."


async def test_its_time_limit_and_its_approvals_are_those_of_our_tools(provider, tmp_path):
    async with served(provider, tmp_path, timeout=0.2, needs_approval=("echo",)) as app:
        slow = await asyncio.wait_for(app.run("ann", '/call test__slow {"text": "x"}'), WAIT)
        ((said, failed),) = await outputs(app, slow)
        assert failed
        assert "did not finish within 0.2 seconds" in said
        asked = await asyncio.wait_for(app.run("ann", '/call test__echo {"text": "x"}', session_id="s"), WAIT)
        assert asked.status is RunStatus.REQUIRES_ACTION
    assert "echo" not in (tmp_path / "calls").read_text()


async def test_a_finished_call_is_replayed_although_its_server_is_gone(provider, tmp_path):
    async with served(provider, tmp_path) as app:
        run = await asyncio.wait_for(app.run("ann", '/call test__echo {"text": "hi"}\n/say done'), WAIT)
        events = await logged(app, run)
    gone = create_app(
        [spec(mcp=("test",))],
        store=MemoryStore(),
        servers=McpServers([McpServer("test", command=str(tmp_path / "gone"))], Unguarded(), first=0.01),
        settings=Settings.of(providers=(provider,), builtin_agents=False, demo_speed=0.0),
    )
    async with gone:
        turn = Turn(run, LOCAL, [], run.input, journal=journal_of(events))
        recorder = MemoryRecorder()
        outcome = await asyncio.wait_for(gone.application.providers[provider].runtime.play(turn, recorder), WAIT)
    assert outcome.final_output == run.final_output
    assert recorder.events == []
    assert len((tmp_path / "calls").read_text().splitlines()) == 1

"""MCP servers: real processes, whose connections are cut and come back."""

import asyncio
import contextlib
import gc
import os
import signal
import sys
from pathlib import Path

import pytest

from dragoman.adapters.mcp import McpServer, McpServers
from dragoman.adapters.mcp.server import Secrets
from dragoman.adapters.web import AiohttpWeb
from dragoman.domain.identity import LOCAL, Principal
from dragoman.domain.tools import ToolContext, ToolError
from dragoman.ports.web import Unguarded

SCRIPT = Path(__file__).parents[2] / "mcp_server.py"
WAIT = 30.0


def server(folder, *names, **fields):
    return McpServer(
        "test", command=sys.executable, args=("-I", "-S", str(SCRIPT), str(folder), *names), agents=("*",), **fields
    )


@contextlib.asynccontextmanager
async def pool(*servers, guard=None, **options):
    servers = McpServers(servers, guard or Unguarded(), **{"first": 0.01, **options})
    await servers.start()
    try:
        yield servers
    finally:
        await asyncio.wait_for(servers.stop(), WAIT)


async def tools(servers, principal=LOCAL):
    return {tool.name.removeprefix("test__"): tool for tool in await servers.tools("ann", (), principal)}


async def use(servers, name, text="hi", principal=LOCAL, call_id="c", report=lambda *_: None):
    found = (await tools(servers, principal))[name]
    return await found.call(ToolContext("run_1", call_id, "ann", principal, _report=report), text=text)


async def until(condition):
    async with asyncio.timeout(WAIT):
        while not condition():
            await asyncio.sleep(0.005)


def connected(servers):
    return lambda: servers.states()["test"].connected == 1


def calls(folder):
    return (folder / "calls").read_text().splitlines()


def kill(folder):
    os.kill(int((folder / "pid").read_text()), signal.SIGKILL)


async def test_the_tools_of_a_server_have_names_of_their_own_and_can_be_called(tmp_path):
    async with pool(server(tmp_path)) as servers:
        assert list(await tools(servers)) == ["echo", "die", "die_safely", "secret", "fail", "slow"]
        assert await use(servers, "echo") == "echo: hi"
        with pytest.raises(ToolError, match="It is out of stock"):
            await use(servers, "fail")
    assert calls(tmp_path)[0] == "echo run_1/c"


async def test_only_what_is_allowed_is_there_and_some_of_it_asks_first(tmp_path):
    async with pool(server(tmp_path, tools=("e*", "die"), needs_approval=("d*",))) as servers:
        found = await tools(servers)
    assert {name: tool.approval for name, tool in found.items()} == {"echo": "never", "die": "always"}


async def test_only_the_agents_that_are_named_use_it(tmp_path):
    async with pool(McpServer("test", command="true", agents=("support_*",))) as servers:
        assert servers.known("ann", (), LOCAL) == []
        assert await servers.tools("ann", (), LOCAL) == []


async def test_a_call_whose_connection_breaks_is_told_and_not_made_again(tmp_path):
    async with pool(server(tmp_path)) as servers:
        with pytest.raises(ToolError, match="broke during the call; whether it took effect is unknown"):
            await asyncio.wait_for(use(servers, "die"), WAIT)
        await until(connected(servers))
        assert await use(servers, "echo") == "echo: hi"
    assert [call.split()[0] for call in calls(tmp_path)] == ["die", "echo"]


async def test_one_that_does_no_harm_is_made_again(tmp_path):
    async with pool(server(tmp_path)) as servers:
        assert await asyncio.wait_for(use(servers, "die_safely"), WAIT) == "die_safely: hi"
    assert calls(tmp_path) == ["die_safely run_1/c", "die_safely run_1/c"]


async def test_its_tools_stay_known_while_it_is_away_and_a_call_fails_at_once(tmp_path):
    async with pool(server(tmp_path), first=WAIT * 10) as servers:
        await tools(servers)
        with pytest.raises(ToolError):
            await use(servers, "die")
        await until(lambda: not connected(servers)())
        assert "echo" in await tools(servers)
        with pytest.raises(ToolError, match="test is not reachable at the moment"):
            await use(servers, "echo")
        assert servers.states()["test"].trouble


async def test_a_server_that_cannot_be_started_is_degraded_and_nothing_else(tmp_path):
    async with pool(McpServer("test", command=str(tmp_path / "nothing"), agents=("*",))) as servers:
        assert await asyncio.wait_for(servers.tools("ann", (), LOCAL), WAIT) == []
        assert "does not answer" in servers.states()["test"].trouble


async def test_a_changed_list_is_read_again(tmp_path):
    async with pool(server(tmp_path)) as servers:
        assert "extra" not in await tools(servers)
        (tmp_path / "extra").touch()
        await use(servers, "echo")
        await until(lambda: any(tool.name == "test__extra" for tool in servers.known("ann", (), LOCAL)))


async def test_progress_is_reported_and_a_call_that_nobody_waits_for_ends(tmp_path):
    reported = asyncio.Queue()
    async with pool(server(tmp_path)) as servers:
        working = asyncio.create_task(use(servers, "slow", report=lambda *said: reported.put_nowait(said)))
        assert await asyncio.wait_for(reported.get(), WAIT) == ("half", 1, 2)
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(working, WAIT)
        assert await use(servers, "echo") == "echo: hi"


async def test_each_user_has_a_connection_with_credentials_of_their_own(tmp_path):
    secrets = Secrets(env={"SECRET": "{tenant}/{user}"})
    acme = {"acme": Secrets(env={"SECRET": "acme's own for {user}"})}
    async with pool(server(tmp_path, secrets=secrets, tenants=acme, per="user")) as servers:
        assert await use(servers, "secret", principal=Principal("sarah")) == "default/sarah"
        assert await use(servers, "secret", principal=Principal("tom")) == "default/tom"
        assert await use(servers, "secret", principal=Principal("tom", "acme")) == "acme's own for tom"
        assert servers.states()["test"].connected == 3
        with pytest.raises(ToolError, match="cannot be sent"):
            await tools(servers, Principal("eve\r\nx-admin: yes"))


async def test_a_connection_that_one_user_no_longer_uses_is_closed(tmp_path):
    secrets = Secrets(env={"SECRET": "{user}"})
    async with pool(server(tmp_path, secrets=secrets, per="user"), idle=0.0) as servers:
        await use(servers, "echo", principal=Principal("sarah"))
        await use(servers, "echo", principal=Principal("tom"))
        await until(connected(servers))


async def test_a_url_on_this_machine_is_refused_unless_it_is_allowed():
    there = McpServer("test", url="http://127.0.0.1:9/mcp", agents=("*",))
    async with pool(there, guard=AiohttpWeb()) as servers:
        await servers.tools("ann", (), LOCAL)
        assert "allow_private = true" in servers.states()["test"].trouble
    async with pool(McpServer("test", url="http://127.0.0.1:9/mcp", agents=("*",), allow_private=True)) as servers:
        await servers.tools("ann", (), LOCAL)
        assert "does not answer" in servers.states()["test"].trouble


async def test_200_tools_are_there(tmp_path):
    async with pool(server(tmp_path, *(f"tool_{n}" for n in range(194)))) as servers:
        assert len(await tools(servers)) == 200
        assert await use(servers, "tool_193") == "tool_193: hi"


async def test_a_connection_that_is_cut_50_times_leaves_nothing_behind(tmp_path):
    await cut_and_restored(tmp_path, 50)


@pytest.mark.chaos
@pytest.mark.timeout(1800)
async def test_a_connection_that_is_cut_1000_times_leaves_nothing_behind(tmp_path):
    await cut_and_restored(tmp_path, 1000)


async def cut_and_restored(folder, times):
    """File descriptors, tasks and objects are as many as after the first few cuts, and the tools come back each time."""
    async with pool(server(folder)) as servers:

        async def cut():
            kill(folder)
            await until(lambda: servers.states()["test"].connected == 0)
            await until(connected(servers))
            assert await use(servers, "echo") == "echo: hi"

        await tools(servers)
        for _ in range(10):
            await cut()
        before = counted()
        for _ in range(times - 10):
            await cut()
        after = counted()
    assert after["descriptors"] <= before["descriptors"] + 1
    assert after["tasks"] <= before["tasks"] + 1
    assert after["objects"] <= before["objects"] + 2000  # two for each of a thousand would be more


def counted():
    gc.collect()
    return {
        "descriptors": len(os.listdir("/proc/self/fd")),
        "tasks": len(asyncio.all_tasks()),
        "objects": len(gc.get_objects()),
    }

"""The ways of bringing the server into one's own program: an ASGI application, a mount, a router, or no HTTP at all."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

import dragoman
from dragoman.settings import Settings
from dragoman.testing import app_with, call, say
from tests.server import Client, Server, free_port, serving

AGENTS = """
from agents import Agent, function_tool

@function_tool
def weather(city: str) -> str:
    '''Tell the weather in a city.'''
    return f"It is sunny in {city}."

guide = Agent(name="Guide", instructions="Help travellers.", tools=[weather])
tutor = Agent(name="Math Tutor", instructions="Help with sums.", handoffs=[guide])
"""


async def test_an_agent_runs_in_process_without_any_server() -> None:
    async with app_with({"chat": [call("calculate", {"expression": "6*7"}), say("It is 42.")]}) as app:
        run = await app.run("chat", "What is 6*7?", user="sarah", session_id="s")
    assert (run.status, run.final_output, run.session_id) == ("completed", "It is 42.", "s")


async def test_users_are_apart_in_process_too() -> None:
    async with app_with({"chat": lambda turn: [say(f"I know {len(turn.history)} things.")]}) as app:
        await app.run("chat", "Hello", user="sarah", session_id="s")
        again = await app.run("chat", "Hello", user="sarah", session_id="s")
        other = await app.run("chat", "Hello", user="john", session_id="s")
    assert again.final_output == "I know 2 things."
    assert other.final_output == "I know 0 things."


async def test_a_mounted_application_starts_with_its_first_request() -> None:
    inner = app_with({"chat": [say("Hello.")]})
    outer = FastAPI()
    outer.mount("/ai", inner)
    async with AsyncClient(transport=ASGITransport(outer), base_url="http://127.0.0.1") as client:
        answer = await client.post("/ai/chat/run", json={"input": "Hello"})
        assert answer.json()["final_output"] == "Hello."
        info = await client.get("/ai/chat/info")
        assert info.status_code == 200
    await inner.stop()


def test_a_mounted_application_stops_with_its_event_loop(tmp_path: Path) -> None:
    """Nobody stops it, and yet what it wrote is stored and its file is free again."""
    program = tmp_path / "program.py"
    program.write_text(
        "import asyncio, dragoman\n"
        "app = dragoman.create_app()\n"
        "async def main():\n"
        "    run = await app.run('chat', 'My name is Sarah', session_id='s')\n"
        "    assert run.status == 'completed', run\n"
        "asyncio.run(main())\n"
        "print('stopped:', not app.application.started)\n"
    )
    environment = {**os.environ, "DRAGOMAN_DEMO_SPEED": "0"}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-W", "error", program],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert done.stdout == b"stopped: True\n", done.stderr.decode()


async def test_every_agent_of_a_file_gets_endpoints(tmp_path: Path) -> None:
    (tmp_path / "my_agents.py").write_text(AGENTS)
    async with serving(tmp_path, "my_agents.py") as server, Client(server) as client, asyncio.timeout(60):
        _, catalogue = await client.get("/agents")
        assert {"guide", "math_tutor", "chat", "assistant"} <= {agent["agent_name"] for agent in catalogue["agents"]}
        answer = await client.run("guide", '/call weather {"city": "Lisbon"}')
        assert answer["success"]
        _, log = await client.get(f"/runs/{answer['run_id']}/events", accept="application/json")
        outputs = [event["item"]["output"] for event in log["events"] if event.get("name") == "tool_output"]
        assert outputs == ["It is sunny in Lisbon."]


async def test_the_same_server_under_another_asgi_server(tmp_path: Path) -> None:
    (tmp_path / "my_agents.py").write_text(AGENTS)
    server = Server(tmp_path, {"DRAGOMAN_AGENTS": "my_agents.py"})
    environment = {**os.environ, **server.env, "DRAGOMAN_DEMO_SPEED": "20"}
    command = [sys.executable, "-m", "uvicorn", "dragoman.asgi:app", "--port", str(server.port)]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
    try:
        async with asyncio.timeout(60), Client(server) as client:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    if (await client.get("/readyz"))[0] == 200:
                        break
                await asyncio.sleep(0.05)
            stream = client.stream("guide", "/tokens 40", "s")
            await anext(stream)
            process.send_signal(signal.SIGTERM)
            rest = [frame async for frame in stream]
            assert not [frame for frame in rest if frame.event in ("stream_complete", "error")]
    finally:
        process.terminate()
        await asyncio.to_thread(process.communicate, timeout=30)


async def test_a_second_server_on_the_same_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async with serving(tmp_path):
        environment = {**os.environ, "PORT": str(free_port())}
        second = subprocess.run(
            [sys.executable, "-m", "dragoman", "serve"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            check=False,
            timeout=60,
        )
    assert second.returncode == 2
    assert b"PostgreSQL" in second.stderr
    assert b"Traceback" not in second.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("x = 1", "no Agent"),
        ("from agents import Agent\na = Agent(name='A b')\nb = Agent(name='a_b')", "Two agents have the key 'a_b'"),
    ],
)
def test_agents_that_cannot_be_served_are_refused_with_a_sentence(
    content: str | None, words: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "mine.py").write_text(content)
    done = subprocess.run(
        [sys.executable, "-m", "dragoman", "serve", "mine.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


async def test_routers_of_single_agents_share_one_server(tmp_path: Path) -> None:
    from agents import Agent
    from agents.testing import ScriptedModel, assistant_message

    def speaker(name: str) -> Agent:
        steps = [[assistant_message(f"I am {name}.")]]
        return Agent(name=name, instructions="", model=ScriptedModel(steps))

    settings = Settings.of(session_db_path=tmp_path / "d.db")
    app = FastAPI()
    app.include_router(dragoman.create_agent_router(speaker("Ann"), settings=settings))
    app.include_router(
        dragoman.create_agent_router(speaker("Bob"), prefix="/b", agent_name="robert", settings=settings)
    )
    async with app.router.lifespan_context(app):
        async with AsyncClient(transport=ASGITransport(app), base_url="http://127.0.0.1") as client:
            ann = await client.post("/ann/run", json={"input": "Who are you?", "session_id": "s"})
            bob = await client.post("/b/run", json={"input": "Who are you?", "session_id": "s"})
            assert ann.json()["final_output"] == "I am Ann."
            assert bob.json()["final_output"] == "I am Bob."
            assert bob.json()["agent"] == "robert"
            missing = await client.get("/b/session/nobody")
            assert missing.status_code == 404
            assert missing.headers["content-type"] == "application/problem+json"

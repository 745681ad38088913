"""The real application over memory, with scripted agents: asked in process, or on a port of this machine for streams."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from dragoman.adapters.memory import MemoryStore
from dragoman.bootstrap import Application, build
from dragoman.domain.agents import AgentSpec
from dragoman.domain.identity import Principal
from dragoman.domain.runs import Habits
from dragoman.domain.tools import Tool
from dragoman.providers.scripted import build_scripted_provider
from dragoman.settings import Settings
from dragoman.surfaces.http.app import HttpOptions, create_http_app
from dragoman.surfaces.openai import ENVELOPES, openai_routers
from dragoman.surfaces.rest import native_routers
from dragoman.tools import BuiltinTools

PATIENCE = 10.0


@dataclass
class House:
    application: Application
    app: FastAPI
    client: httpx.AsyncClient

    @property
    def services(self):
        return self.application.services


class Gate:
    """A tool that a run waits in until the test lets it go."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    def get(self, name: str) -> Tool:
        return Tool(name, "Waits.", {"type": "object"}, self._wait)

    def visible_to(self, _: Principal) -> list[Tool]:
        return []

    async def _wait(self) -> str:
        self.reached.set()
        await asyncio.wait_for(self.opened.wait(), PATIENCE)
        return "opened"


@contextlib.asynccontextmanager
async def house(scripts=None, *, options=None, silence=10.0, client=None, store=None, tools=None, **given):
    """Everything started, and a client that asks in process."""
    overrides = {
        name: given.pop(name) for name in ("allowances", "authenticator", "providers", "servers") if name in given
    }
    scripts = scripts or {}
    habits = given.pop("habits", Habits())
    keys = {"chat": None, **scripts}
    specs = [AgentSpec(key, key.title(), "Be kind.", "A test agent.", habits=habits) for key in keys]
    registry = BuiltinTools().plus(tools or []) if isinstance(tools or [], list) else tools
    provider = build_scripted_provider(specs, scripts=scripts, tools=registry)
    overrides.setdefault("providers", {provider.name: provider})
    application = build(
        Settings.of(shutdown_grace=5.0, **given), store=store or MemoryStore(), tools=registry, **overrides
    )
    app = create_http_app(
        application.services,
        options=options or HttpOptions(),
        lifespan=_no_lifespan,
        routers=[
            *openai_routers(application.services, silence=silence),
            *native_routers(application.services, silence=silence),
        ],
        envelopes=ENVELOPES,
    )
    await application.start()
    try:
        transport = httpx.ASGITransport(app, client=client or ("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=PATIENCE) as asker:
            yield House(application, app, asker)
    finally:
        await application.stop()


@contextlib.asynccontextmanager
async def _no_lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield


@contextlib.asynccontextmanager
async def served(house: House):
    """The same on a real port; yields a client and the address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(house.app, log_config=None, lifespan="off"))
        serving = asyncio.get_running_loop().create_task(server.serve(sockets=[listening]))
        host, port = listening.getsockname()
        try:
            async with httpx.AsyncClient(base_url=f"http://{host}:{port}", timeout=PATIENCE) as client:
                yield client, port
        finally:
            house.services.log.dismiss_readers()
            server.should_exit = True
            await asyncio.wait_for(serving, PATIENCE)


@dataclass(frozen=True)
class Frame:
    id: int
    event: str
    data: dict[str, Any]


def parse(text: str) -> list[Frame]:
    """The frames of a finished stream; comments and retry lines are left out."""
    frames = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields and "id" in fields:  # what is in no log has no place in it
            frames.append(Frame(int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return frames


def said(frames: list[Frame]) -> str:
    return "".join(
        frame.data["delta"]
        for frame in frames
        if frame.event == "raw_response" and frame.data["event_type"] == "response.output_text.delta"
    )


async def read_frames(response: httpx.Response) -> AsyncIterator[Frame]:
    """The frames of a live stream, one by one."""
    block = ""
    async for line in response.aiter_lines():
        if line:
            block += line + "\n"
        else:
            for frame in parse(block):
                yield frame
            block = ""


async def eventually(condition, patience: float = PATIENCE) -> None:
    """Wait until something has become true that announces itself to nobody."""
    async with asyncio.timeout(patience):
        while not condition():
            await asyncio.sleep(0.005)

"""A real server process for tests that look from outside, and a small client that reads its streams."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

START = 180.0
"""Importing the SDK takes seconds on a busy machine."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Server:
    """``dragoman serve`` in a folder of its own. Survives being killed: ``start`` again on the same files."""

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def spawn(self) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("DRAGOMAN_", "OPENAI_", "AI_MODEL"))}
        environment |= {"PORT": str(self.port), "DRAGOMAN_DEMO_SPEED": "0", **self.env}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dragoman", "serve", *self.arguments],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
            )

    async def start(self) -> None:
        self.spawn()
        async with aiohttp.ClientSession() as http, asyncio.timeout(START):
            while True:
                assert self.process is not None
                if self.process.poll() is not None:
                    raise AssertionError(f"the server ended at once:\n{self.log()}")
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"{self.url}/readyz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)

    async def stop(self, with_signal: int = signal.SIGTERM) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(with_signal)
        try:
            return await asyncio.to_thread(self.process.wait, 60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process = None

    async def kill(self) -> None:
        await self.stop(signal.SIGKILL)

    def log(self) -> str:
        return (self.folder / "server.log").read_text()


@contextlib.asynccontextmanager
async def serving(folder: Path, *arguments: str, **env: str) -> AsyncIterator[Server]:
    server = Server(folder, env, arguments)
    try:
        await server.start()
        yield server
    finally:
        if server.process is not None:
            await server.stop()


@dataclass(frozen=True)
class Frame:
    position: int
    event: str
    data: dict[str, Any]


def frames(text: str) -> Iterator[Frame]:
    """The events of a stream; comments and ``retry:`` are passed over."""
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in fields and "id" in fields:  # what is in no log has no place in it
            yield Frame(int(fields["id"]), fields["event"], json.loads(fields["data"]))


async def read_frames(answer: aiohttp.ClientResponse) -> AsyncIterator[Frame]:
    buffer = ""
    async for chunk in answer.content.iter_any():
        buffer += chunk.decode()
        whole, separator, buffer = buffer.rpartition("\n\n")
        for frame in frames(whole + separator):
            yield frame


class Client:
    """What a user's program does, in a few calls."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
        async with self._http.post(self._server.url + path, json=body, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def get(self, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
        async with self._http.get(self._server.url + path, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None) if answer.status != 204 else {}

    async def run(self, agent: str, input: str, session_id: str | None = None, **options: Any) -> dict[str, Any]:
        body = {"input": input, "session_id": session_id, "options": options}
        _, answer = await self.post(f"/{agent}/run", body)
        return answer

    async def stream(self, agent: str, input: str, session_id: str | None = None) -> AsyncIterator[Frame]:
        body = {"input": input, "session_id": session_id}
        async with self._http.post(f"{self._server.url}/{agent}/stream", json=body) as answer:
            assert answer.status == 200, await answer.text()
            async for frame in read_frames(answer):
                yield frame

    async def events(self, run_id: str, after: int | None = None) -> AsyncIterator[Frame]:
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        async with self._http.get(f"{self._server.url}/runs/{run_id}/events", headers=headers) as answer:
            if answer.status == 503:  # the server cannot say at the moment: whoever comes back will be told
                answer.raise_for_status()
            assert answer.status in (200, 204), await answer.text()
            async for frame in read_frames(answer):
                yield frame


def said(seen: list[Frame]) -> str:
    """The text of the deltas, put together."""
    return "".join(
        frame.data["delta"]
        for frame in seen
        if frame.event == "raw_response" and frame.data["event_type"] == "response.output_text.delta"
    )

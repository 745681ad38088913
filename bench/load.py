"""The load client, a process of its own: raw asyncio, keep-alive connections, every answer checked to its end.

``python -m bench.load '{"contender": "relay", "port": 8000, "tokens": 20, …}'`` prints one JSON object.
"""

import asyncio
import json
import sys
import uuid
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import cast

import uvloop

from bench.contenders import BY_NAME, Contender
from bench.prompt import Answer, model_delay_us

RUN_TIMEOUT = 60.0
_LAST_CHUNK = b"\r\n0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Load:
    """Closed: ``clients`` ask again and again for ``seconds`` (each at least once). Open: ``arrivals`` streams begin
    ``interval_ms`` apart, however the server is doing."""

    contender: str
    port: int
    tokens: int
    every_ms: float
    clients: int = 0
    seconds: float = 0.0
    arrivals: int = 0
    interval_ms: float = 0.0


@dataclass(slots=True)
class Report:
    runs: int = 0
    failed: int = 0
    seconds: float = 0.0
    first_token_ms: list[float] = field(default_factory=list)  # added to the model's own delay
    bytes_per_token: float = 0.0
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    status: int
    body: bytes
    first_token_ms: float | None


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection that reads one chunked answer after the other."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._received = bytearray()
        self._answered: asyncio.Future[Answered] | None = None
        self._asked = 0.0
        self._first: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it

    def connection_lost(self, _: Exception | None) -> None:
        if self._answered and not self._answered.done():
            self._answered.set_exception(ConnectionError("the connection was closed within an answer"))

    async def ask(self, request: bytes) -> Answered:
        self._received.clear()
        self._first = None
        self._answered = asyncio.get_running_loop().create_future()
        self._asked = perf_counter()
        self._transport.write(request)
        async with asyncio.timeout(RUN_TIMEOUT):
            return await self._answered

    def data_received(self, data: bytes) -> None:
        now = perf_counter()
        self._received += data
        if self._first is None and (delay := model_delay_us(self._received)) is not None:
            self._first = (now - self._asked) * 1000 - delay / 1000
        assert self._answered is not None
        if self._received.endswith(_LAST_CHUNK) or not self._received.startswith(b"HTTP/1.1 200"):
            head, _, body = bytes(self._received).partition(b"\r\n\r\n")
            self._answered.set_result(Answered(int(head.split(b" ", 2)[1]), body, self._first))

    def close(self) -> None:
        self._transport.close()


def unchunked(body: bytes) -> bytes:
    """A chunked body without its framing."""
    parts: list[bytes] = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        parts.append(rest[:length])
        body = rest[length + 2 :]
    return b"".join(parts)


def bytes_per_token(body: bytes, contender: Contender, tokens: int) -> float:
    """Of a stream's frames that carry tokens, their own framing included."""
    frames = unchunked(body).split(b"\n\n")
    return sum(len(frame) + 2 for frame in frames if contender.delta in frame) / tokens


class Client:
    """Runs a load against one contender and writes the report."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._contender = BY_NAME[load.contender]
        self._text = Answer(load.tokens, round(load.every_ms * 1000)).order()
        self._last = b""
        self._report = Report()

    async def run(self) -> Report:
        begun = perf_counter()
        if self._load.arrivals:
            await self._arrive()
        else:
            deadline = begun + self._load.seconds
            await asyncio.gather(*(self._repeat(deadline) for _ in range(self._load.clients)))
        self._report.seconds = perf_counter() - begun
        if self._last:
            self._report.bytes_per_token = bytes_per_token(self._last, self._contender, self._load.tokens)
        return self._report

    async def _arrive(self) -> None:
        async with asyncio.TaskGroup() as streams:
            for _ in range(self._load.arrivals):
                streams.create_task(self._repeat(0.0))
                await asyncio.sleep(self._load.interval_ms / 1000)

    async def _repeat(self, deadline: float) -> None:
        """Ask until the deadline, at least once."""
        connection = await self._connect()
        try:
            await self._once(connection)
            while perf_counter() < deadline:
                await self._once(connection)
        finally:
            connection.close()

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self._load.port)
        return connection

    async def _once(self, connection: Connection) -> None:
        answered = await connection.ask(self._request())
        if answered.status != 200 or not self._contender.ended_well(answered.body) or answered.first_token_ms is None:
            self._report.failed += 1
            self._report.failure = self._report.failure or answered.body[-600:].decode(errors="replace")
            return
        self._report.runs += 1
        self._report.first_token_ms.append(answered.first_token_ms)
        self._last = answered.body

    def _request(self) -> bytes:
        body = self._contender.body(self._text, uuid.uuid4().hex)
        head = (
            f"POST {self._contender.path} HTTP/1.1\r\nhost: 127.0.0.1:{self._load.port}\r\n"
            f"content-type: application/json\r\naccept: text/event-stream\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


if __name__ == "__main__":
    report = uvloop.run(Client(Load(**json.loads(sys.argv[1]))).run())
    print(json.dumps(asdict(report)))

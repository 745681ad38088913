"""A model endpoint that answers with the bytes it is given, cut into packets as told, on the loopback interface."""

import asyncio
import json
from dataclasses import dataclass, field

from dragoman.providers.openai import ModelEndpoint

SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Reply:
    packets: tuple[bytes, ...] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: SSE)
    ends: str = "well"  # well | cut (the connection breaks) | never (it stays open, silent)


def reply(*packets, **named):
    return Reply(tuple(p.encode() if isinstance(p, str) else p for p in packets if p), **named)


def events(*payloads):
    """Server-sent events, a packet each."""
    return tuple(f"data: {p if isinstance(p, str) else json.dumps(p)}\n\n".encode() for p in payloads)


def chunk(delta=None, finish=None, **more):
    """One chunk of a chat completion."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice], **more}


@dataclass(frozen=True)
class Asked:
    path: str
    headers: dict[str, str]
    body: dict


class Server:
    """Gives its replies in order; the last one again and again. It has no tasks: those of a test are the client's."""

    def __init__(self, *replies):
        self.replies = list(replies)
        self.asked = []
        self.connections = 0  # ever made
        self.open = set()
        self.changed = asyncio.Event()
        self._listening = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}/v1"

    def endpoint(self, dialect="chat", **named):
        return ModelEndpoint(self.url, "key", dialect, **named)

    def next_reply(self):
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    async def until(self, wanted):
        """Wait until something about the connections is so."""
        async with asyncio.timeout(10):
            while not wanted():
                self.changed.clear()
                await self.changed.wait()

    async def __aenter__(self):
        self._listening = await asyncio.get_running_loop().create_server(lambda: _Connection(self), "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_):
        self._listening.close()
        for transport in list(self.open):
            transport.abort()
        await self.until(lambda: not self.open)


class _Connection(asyncio.Protocol):
    def __init__(self, server):
        self._server = server
        self._received = bytearray()

    def connection_made(self, transport):
        self._transport = transport
        self._server.connections += 1
        self._server.open.add(transport)
        self._server.changed.set()

    def connection_lost(self, _):
        self._server.open.discard(self._transport)
        self._server.changed.set()

    def data_received(self, data):
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if not separator or len(body) < int(headers["content-length"]):
            return
        self._received.clear()
        self._server.asked.append(Asked(first.split(" ")[1], headers, json.loads(body)))
        given = self._server.next_reply()
        told = "".join(f"{name}: {value}\r\n" for name, value in given.headers.items())
        self._transport.write(f"HTTP/1.1 {given.status} So\r\n{told}transfer-encoding: chunked\r\n\r\n".encode())
        self._say(given, iter(given.packets))

    def _say(self, given, packets):
        if self._transport.is_closing():
            return
        if packet := next(packets, None):
            self._transport.write(b"%x\r\n%b\r\n" % (len(packet), packet))
            asyncio.get_running_loop().call_soon(self._say, given, packets)
        elif given.ends == "cut":
            self._transport.close()
        elif given.ends == "well":
            self._transport.write(b"0\r\n\r\n")
        self._server.changed.set()

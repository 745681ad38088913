"""A model endpoint that costs next to nothing: Chat Completions as pre-rendered SSE over a raw asyncio protocol.

Every token is a packet of its own. ``python -m bench.fake_model PORT``
"""

import asyncio
import functools
import socket
import sys
from typing import cast

import uvloop

from bench.prompt import TOKEN, Answer, first_token

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_CHUNK = (
    b'{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1767225600,"model":"bench",'
    b'"choices":[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]}'
)
_USAGE = (
    b'{"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1767225600,"model":"bench","choices":[],'
    b'"usage":{"prompt_tokens":12,"completion_tokens":%d,"total_tokens":%d}}'
)


def _packet(*data: bytes) -> bytes:
    """One HTTP chunk holding these SSE events."""
    body = b"".join(b"data: " + line + b"\n\n" for line in data)
    return b"%x\r\n%b\r\n" % (len(body), body)


def _token(text: str) -> bytes:
    return _packet(_CHUNK % (b'{"content":"%b"}' % text.encode(), b"null"))


_ROLE = _packet(_CHUNK % (b'{"role":"assistant","content":""}', b"null"))
_NEXT = _token(TOKEN)


@functools.cache
def _tail(tokens: int) -> bytes:
    return _packet(_CHUNK % (b"{}", b'"stop"'), _USAGE % (tokens, tokens + 12), b"[DONE]") + b"0\r\n\r\n"


class FakeModel(asyncio.Protocol):
    """One connection. Requests come one after the other."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it
        self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < _content_length(head):
            return
        self._received.clear()
        answer = Answer.ordered_in(body)
        if answer is None:
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        else:
            begun = self._loop.time()
            self._timer = self._loop.call_later(answer.every_us / 1e6, self._say, answer, begun, 1)

    def _say(self, answer: Answer, begun: float, n: int) -> None:
        if n == 1:
            delay_us = round((self._loop.time() - begun) * 1e6)
            self._transport.write(_HEAD + _ROLE + _token(first_token(delay_us)))
        elif n <= answer.tokens:
            self._transport.write(_NEXT)
        else:
            self._transport.write(_tail(answer.tokens))
            return
        self._timer = self._loop.call_at(begun + (n + 1) * answer.every_us / 1e6, self._say, answer, begun, n + 1)


def _content_length(head: bytes | bytearray) -> int:
    for line in bytes(head).lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
    return 0


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(FakeModel, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))

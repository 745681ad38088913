"""A run as ``text/event-stream``: one response for every protocol that streams a log.

It knows batches of recorded events and a function that turns a batch into bytes. Each batch is sent whole before the
next is asked for, so a slow client costs one batch of memory and delays nobody.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dragoman.domain.errors import ConversationDeleted, NotFound, Unavailable
from dragoman.domain.events import TERMINAL, Recorded, RunFailed

logger = logging.getLogger(__name__)

T = TypeVar("T")
Batch = Sequence[Recorded]
Encode = Callable[[Batch], bytes]
Waiting = Callable[[], Awaitable[bytes]]

SILENCE = 10.0
"""Seconds without an event after which a comment keeps the connection alive."""

COMMENT = b":\n\n"
COME_BACK = b"retry: 1000\n\n"
"""The last words to somebody who can come back for the rest, when the server goes away before the run's end."""


class EventStream(Response):
    media_type = "text/event-stream"
    charset = "utf-8"

    def __init__(
        self,
        follow: AsyncGenerator[Batch, None],
        encode: Encode,
        *,
        silence: float = SILENCE,
        farewell: bytes = COME_BACK,
        waiting: Waiting | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self._follow = follow
        self._encode = encode
        self._silence = silence
        self._farewell = farewell
        self._waiting = waiting  # what to say before the first event
        self._sending = asyncio.Lock()
        self._last_sent = 0.0
        self._position = -1
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no", **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - part of ASGI
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            await unless_gone(receive, self._pump(send))
        except OSError:  # some servers tell so that the client has gone
            logger.debug("a reader has gone")

    async def _pump(self, send: Send) -> None:
        await self._send(send, await self._sign_of_life())
        beats = asyncio.get_running_loop().create_task(self._keep_alive(send), name="keep-alive")
        try:
            ended = await self._send_batches(send)
        finally:
            beats.cancel()
            await self._follow.aclose()
        if not ended:
            await self._send(send, self._farewell)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_batches(self, send: Send) -> bool:
        """Whether the run's last event was among them."""
        batch: Batch = ()
        try:
            async for batch in self._follow:
                self._waiting = None
                self._position = batch[-1].position
                if frames := self._encode(batch):
                    await self._send(send, frames)
        except Unavailable:
            logger.warning("a stream ends early: the log cannot be read")
            return False
        except NotFound:  # it was there when the stream began
            gone = RunFailed(ConversationDeleted.code, ConversationDeleted.message)
            await self._send(send, self._encode([Recorded(self._position + 1, gone)]))
            return True
        return bool(batch) and isinstance(batch[-1].event, TERMINAL)

    async def _send(self, send: Send, body: bytes) -> None:
        async with self._sending:
            await send({"type": "http.response.body", "body": body, "more_body": True})
            self._last_sent = asyncio.get_running_loop().time()

    async def _sign_of_life(self) -> bytes:
        if self._waiting is None:
            return COMMENT
        with contextlib.suppress(Unavailable, NotFound):  # whoever follows the run is told
            return await self._waiting() or COMMENT
        return COMMENT

    async def _keep_alive(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._last_sent + self._silence - loop.time())
            if not self._sending.locked() and loop.time() >= self._last_sent + self._silence:
                with contextlib.suppress(OSError):  # whoever waits for the client's leaving will know
                    await self._send(send, await self._sign_of_life())


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """The result of ``work``; or ``None`` if the client leaves first: then the work is cancelled and has ended."""
    loop = asyncio.get_running_loop()
    working = loop.create_task(work)
    leaving = loop.create_task(_gone(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

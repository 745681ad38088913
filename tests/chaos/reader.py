"""A client that reads a run's stream, and the one that loses it again and again."""

import asyncio
from collections.abc import Callable

import aiohttp

from tests.server import Client, Frame, Server, said

AGAIN = 0.05
"""Seconds before somebody who found nobody there asks again."""
KEPT = frozenset({"run_item", "approval_required", "approval_decided"})
"""Events that are content, beside the text."""


class Reader:
    """A client as the protocol asks it to be: it comes back with its last position, and forgets what it is told to."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.frames: list[Frame] = []

    @property
    def ended(self) -> bool:
        if not self.frames:
            return False
        last = self.frames[-1]
        return last.event == "error" or (last.event == "stream_complete" and last.data["status"] != "requires_action")

    def read(self, frame: Frame) -> None:
        if frame.event == "run_resumed":
            after = frame.data["discard_after"]
            self.frames = [kept for kept in self.frames if kept.position <= after or kept.event == "run_resumed"]
        self.frames.append(frame)

    async def follow(self, server: Server) -> None:
        await self.wander(lambda: server)

    async def wander(self, choose: Callable[[], Server]) -> None:
        """Whenever the stream breaks off, come back to whichever server is chosen."""
        last = -1
        while not self.ended:
            try:
                async with Client(choose()) as client:
                    async for frame in client.events(self.run_id, last if last >= 0 else None):
                        self.read(frame)
                        last = frame.position
            except aiohttp.ClientError:  # nobody is there for the moment
                await asyncio.sleep(AGAIN)

    @property
    def content(self) -> list[str]:
        """What finished, and the text that was streamed."""
        return [repr(frame.data) for frame in self.frames if frame.event in KEPT] + [said(self.frames)]

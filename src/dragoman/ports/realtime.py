"""A duplex channel to an agent: audio and text in both directions. Implementations come with the realtime surface."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from dragoman.domain.identity import Principal


class RealtimeChannel(Protocol):
    """One live connection; belongs to one principal and is closed exactly once."""

    async def send_text(self, text: str) -> None: ...

    async def send_audio(self, chunk: bytes, *, commit: bool = False) -> None: ...

    async def interrupt(self) -> None:
        """Stop what the agent is saying. What was heard stays in the history."""
        ...

    def events(self) -> AsyncIterator[dict[str, Any]]:
        """What the agent says and does, until either side closes. A slow reader loses audio, never text or tool calls."""
        ...

    async def close(self) -> None: ...


class RealtimeChannelFactory(Protocol):
    async def open(self, principal: Principal, agent: str, *, session_id: str | None = None) -> RealtimeChannel:
        """A new channel to an agent, seeded with the conversation's history. ``NotFound`` for an unknown agent."""
        ...

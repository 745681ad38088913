"""Where the command line finds runs: what the database and a server have in common. Records and events are those of the wire."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

Record = Mapping[str, Any]


class Source(Protocol):
    def approvals(self, filters: Mapping[str, str], limit: int) -> AsyncIterator[Record]:
        """What waits for a person, newest first."""
        ...

    async def decide(self, approval: Record, decision: Mapping[str, Any]) -> Record: ...

    def list(self, filters: Mapping[str, str], limit: int) -> AsyncIterator[Record]:
        """Newest first."""
        ...

    async def show(self, run_id: str) -> Record: ...

    async def cancel(self, run_id: str, *, now: bool) -> Record: ...

    def follow(self, run_id: str) -> AsyncIterator[Record]:
        """All events of its log, live until it has ended."""
        ...

"""A limit on how many requests an endpoint gets at once, with a queue that is fair between tenants."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator


class Gate:
    """Whoever waits is let in by turns of tenants, each tenant's own in the order they came."""

    def __init__(self, places: int | None) -> None:
        self.active = 0
        self._places = places
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}  # in the order of their turns

    @property
    def waiting(self) -> int:
        return sum(map(len, self._queues.values()))

    @contextlib.asynccontextmanager
    async def place(self, tenant: str) -> AsyncIterator[None]:
        await self._enter(tenant)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, tenant: str) -> None:
        if self._places is None or self.active < self._places:  # then nobody waits, either
            self.active += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._queues.setdefault(tenant, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # let in, and gone at the same moment
                self._leave()
            else:
                self._forget(tenant, turn)
            raise

    def _leave(self) -> None:
        self.active -= 1
        if not self._queues:
            return
        tenant = next(iter(self._queues))
        queue = self._queues.pop(tenant)
        turn = queue.popleft()
        if queue:
            self._queues[tenant] = queue  # behind all the others
        self.active += 1
        turn.set_result(None)

    def _forget(self, tenant: str, turn: "asyncio.Future[None]") -> None:
        queue = self._queues[tenant]
        queue.remove(turn)
        if not queue:
            del self._queues[tenant]

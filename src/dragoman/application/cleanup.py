"""What a server clears away by itself, as jobs for the scheduler."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from dragoman.application.scheduler import Job
from dragoman.ports.clock import Clock
from dragoman.ports.runs import RunStore

BATCH = 200
"""How many rows are removed in one transaction; between two of them others may write."""


def stateless_runs(runs: RunStore, clock: Clock, kept: timedelta, every: timedelta) -> Job:
    """Runs without a conversation, some time after their end. Nobody else would ever delete them."""

    async def remove() -> str:
        before = clock.now() - kept
        removed = await _in_batches(lambda: runs.remove_stateless(before, BATCH))
        return f"{removed:,} runs without a conversation removed"

    return Job("stateless_runs", every, remove)


def idempotency_keys(runs: RunStore, clock: Clock, every: timedelta) -> Job:
    """Idempotency keys that nobody can use any more."""

    async def remove() -> str:
        removed = await _in_batches(lambda: runs.remove_expired_keys(clock.now(), BATCH))
        return f"{removed:,} expired idempotency keys removed"

    return Job("idempotency_keys", every, remove)


def deleted_space(give_back: Callable[[], Awaitable[int]], every: timedelta) -> Job:
    """The space of what was deleted, to the file system."""

    async def shrink() -> str:
        return f"{await give_back():,} bytes given back"

    return Job("deleted_space", every, shrink)


async def _in_batches(remove: Callable[[], Awaitable[int]]) -> int:
    removed = 0
    while count := await remove():
        removed += count
    return removed

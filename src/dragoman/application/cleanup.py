"""What a server clears away by itself, as jobs for the scheduler."""

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from dragoman.application.scheduler import Job
from dragoman.ports.clock import Clock
from dragoman.ports.limits import RequestCounts
from dragoman.ports.runs import RunStore
from dragoman.ports.sessions import SessionStore

logger = logging.getLogger(__name__)

FEW = 5
"""Conversations in one transaction: each may have thousands of items."""
MINUTE = 60
KEPT_MINUTES = 60
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


class Cleared(dict[str, int]):
    """How much was cleared away here, by job: for the log and for metrics."""

    def add(self, job: str, count: int) -> None:
        if count:
            self[job] = self.get(job, 0) + count
            logger.info("cleared away", extra={"job": job, "count": count})


def idle_conversations(
    sessions: SessionStore, clock: Clock, idle: timedelta, every: timedelta, cleared: Cleared
) -> Job:
    """Conversations in which nobody said anything for a while become inactive. A message makes them active again."""

    async def put_away() -> str:
        before = clock.now() - idle
        count = await _in_batches(lambda: sessions.put_away(before, BATCH))
        cleared.add("idle_conversations", count)
        return f"{count:,} conversations put away"

    return Job("idle_conversations", every, put_away)


def old_conversations(sessions: SessionStore, clock: Clock, kept: timedelta, every: timedelta, cleared: Cleared) -> Job:
    """Conversations that are no longer to be kept, with everything in them."""

    async def remove() -> str:
        before = clock.now() - kept
        removed = await _in_batches(lambda: sessions.remove_old(before, FEW))
        cleared.add("old_conversations", removed)
        return f"{removed:,} old conversations removed"

    return Job("old_conversations", every, remove)


def request_counts(counts: RequestCounts, clock: Clock, every: timedelta) -> Job:
    """How much somebody asked for in a minute that is long over."""

    async def forget() -> str:
        before = int(clock.now().timestamp()) // MINUTE - KEPT_MINUTES
        return f"{await _in_batches(lambda: counts.forget(before, BATCH)):,} counts of requests removed"

    return Job("request_counts", every, forget)


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

"""Who has died and who is only silent, among processes that share a database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dragoman.adapters.memory import MemoryStore
from dragoman.adapters.sql import SqlStore
from dragoman.adapters.sql.postgres import PostgresEngine
from dragoman.adapters.sql.signals import PostgresSignals
from dragoman.domain.runs import Run, RunStatus
from dragoman.ports.runs import LEASE, SILENCE, Claim
from dragoman.ports.signals import Signal
from tests.contracts.talk import SARAH, Talk

JUST = timedelta(milliseconds=100)


class Ear:
    """Knows when others can be heard."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    def hear(self, signal: Signal) -> None:
        if signal.kind == "missed":
            self.open.set()


@contextlib.asynccontextmanager
async def process(url: str, name: str) -> AsyncIterator[None]:
    """A process that shows itself, until it ends."""
    signals, ear = PostgresSignals(url, name), Ear()
    await signals.start(ear)
    try:
        await asyncio.wait_for(ear.open.wait(), 10)
        yield
    finally:
        await signals.stop()


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[SqlStore]:
    store = SqlStore(PostgresEngine(postgres_url, pool_size=2))
    await store.start()
    yield store
    await store.stop()


def claimed(player: str, ago: timedelta = timedelta()) -> Claim:
    """A claim, made or renewed some time ago."""
    return Claim(player, datetime.now(UTC) + LEASE - ago)


async def playing(store: SqlStore | MemoryStore, ago: timedelta) -> Run:
    return (await store.runs.begin(Talk(store).run(session=None), claim=claimed("theirs", ago))).run


async def given_up(store: SqlStore) -> list[Run]:
    """What is abandoned, once the server has noticed that a connection is gone."""
    async with asyncio.timeout(10):
        while not (runs := await store.queue.abandoned(claimed("ours"))):
            await asyncio.sleep(0.01)
    return list(runs)


async def test_who_shows_itself_may_be_silent_until_its_claim_is_over(store: SqlStore, postgres_url: str):
    async with process(postgres_url, "theirs"):
        await playing(store, SILENCE + JUST)
        over = await playing(store, LEASE + JUST)
        assert list(await store.queue.abandoned(claimed("ours"))) == [over]


async def test_who_has_died_is_given_up_once_it_could_have_renewed(store: SqlStore, postgres_url: str):
    async with process(postgres_url, "theirs"):
        silent = await playing(store, SILENCE + JUST)
        await playing(store, SILENCE - timedelta(seconds=2))
        assert not await store.queue.abandoned(claimed("ours"))
    assert await given_up(store) == [silent]


async def test_a_name_is_shown_again_while_the_server_still_believes_in_the_connection_before(
    store: SqlStore, postgres_url: str
):
    silent = await playing(store, SILENCE + JUST)
    async with process(postgres_url, "theirs"):
        async with process(postgres_url, "theirs"):
            assert not await store.queue.abandoned(claimed("ours"))
        assert not await store.queue.abandoned(claimed("ours"))
    assert await given_up(store) == [silent]


@pytest.mark.parametrize("in_memory", [True, False])
async def test_whoever_renews_in_the_last_moment_keeps_its_run(store: SqlStore | MemoryStore, *, in_memory: bool):
    if in_memory:
        store = MemoryStore()
        store.queue = replace(store.queue, alone=False)
    run = await playing(store, LEASE + JUST)
    seen = await store.queue.abandoned(claimed("ours"))
    assert list(seen) == [run]

    await store.queue.renew(claimed("theirs"), [run.id])
    await store.queue.release(claimed("ours"), seen)

    assert (await store.runs.get(SARAH, run.id)).status is RunStatus.IN_PROGRESS
    assert (await store.runs.get(SARAH, run.id)).attempt == 0
    await store.queue.release(claimed("theirs"), seen)
    assert (await store.runs.get(SARAH, run.id)).status is RunStatus.QUEUED

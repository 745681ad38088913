"""Servers frozen beyond their lease or restarted, a database restarted or cut off, all of it under load: counted as kills are."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dragoman.adapters.sql import schema
from tests.chaos.world import World, attacked
from tests.postgres import LocalPostgres, PostgresServer, local_postgres
from tests.server import Server

BEYOND_THE_LEASE = 20.0
"""Seconds; a player that nobody has heard of for 15 has lost its runs."""
GRACE = "0.5"
"""Seconds a server that is stopped lets its runs go on: less than they need."""

Record = Callable[[str, object], None]

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(0)]  # the world has a limit of its own


@pytest.fixture
def mortal() -> Iterator[LocalPostgres]:
    """A PostgreSQL of one's own, to be stopped and started."""
    with local_postgres() as server:
        schema.migrate(server.url)
        yield server


async def freeze(_: World, server: Server) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(BEYOND_THE_LEASE)  # this is the blow, nothing is waited for
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def restart(_: World, server: Server) -> None:
    assert await server.stop() == 0
    await server.start()


async def test_frozen_beyond_their_lease_and_awake_again_servers_do_nothing_twice(
    postgres_url: str, tmp_path: Path, record_property: Record
) -> None:
    async with attacked(tmp_path, replicas=2, DATABASE_URL=postgres_url) as world:
        await world.hit(6, freeze)
    record_property("chaos", ["frozen, 2 replicas", world.count.figures()])
    world.check()


@pytest.mark.parametrize("replicas", [1, 2])
async def test_restarted_under_load_servers_hand_over_what_they_do_not_finish(
    replicas: int, tmp_path: Path, request: pytest.FixtureRequest, record_property: Record
) -> None:
    env = {"DATABASE_URL": request.getfixturevalue("postgres_url")} if replicas > 1 else {}
    async with attacked(tmp_path, replicas, DRAGOMAN_SHUTDOWN_GRACE=GRACE, **env) as world:
        await world.hit(8, restart)
    record_property("chaos", [f"restarted, {replicas}", world.count.figures()])
    world.check()


async def test_a_database_that_is_restarted_under_load_loses_and_doubles_nothing(
    mortal: LocalPostgres, tmp_path: Path, record_property: Record
) -> None:
    async def restart_database(world: World, _: Server) -> None:
        mortal.stop(world.dice.choice((signal.SIGINT, signal.SIGQUIT)))
        mortal.start()

    async with attacked(tmp_path, replicas=2, DATABASE_URL=mortal.url) as world:
        await world.hit(10, restart_database)
    record_property("chaos", ["database restarted", world.count.figures()])
    world.check()


async def test_connections_that_are_cut_lose_and_double_nothing(
    postgres: PostgresServer, postgres_url: str, tmp_path: Path, record_property: Record
) -> None:
    async def cut(_: World, __: Server) -> None:
        assert postgres.hang_up(postgres_url) > 0

    async with attacked(tmp_path, replicas=2, DATABASE_URL=postgres_url) as world:
        await world.hit(30, cut)
    record_property("chaos", ["connections cut", world.count.figures()])
    world.check()

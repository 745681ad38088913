"""Killed at the worst moments, on one machine and on several: nothing is lost, nothing finished is done again.

The moments: while tools are at work, right after a person has decided, and any. A few kills in every ``make test``, a hundred in
``make chaos``.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.world import World, attacked
from tests.server import Server

Record = Callable[[str, object], None]


async def kill(_: World, server: Server) -> None:
    await server.kill()
    await server.start()


async def survives(kills: int, replicas: int, folder: Path, request: pytest.FixtureRequest, record: Record) -> None:
    """On SQLite if there is one server, else on PostgreSQL."""
    env = {"DATABASE_URL": request.getfixturevalue("postgres_url")} if replicas > 1 else {}
    async with attacked(folder, replicas, **env) as world:
        await world.hit(kills, kill)
    record("chaos", [f"killed, {replicas} {'replicas' if replicas > 1 else 'server'}", world.count.figures()])
    world.check()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("replicas", "kills"), [(1, 3), (2, 2)])
async def test_killed_a_few_times_nothing_is_lost_and_nothing_finished_is_done_again(
    replicas: int, kills: int, tmp_path: Path, request: pytest.FixtureRequest, record_property: Record
) -> None:
    await survives(kills, replicas, tmp_path, request, record_property)


@pytest.mark.chaos
@pytest.mark.timeout(0)  # the world has a limit of its own
@pytest.mark.parametrize(("replicas", "kills"), [(1, 40), (2, 30), (3, 30)])
async def test_killed_a_hundred_times_nothing_is_lost_and_nothing_finished_is_done_again(
    replicas: int, kills: int, tmp_path: Path, request: pytest.FixtureRequest, record_property: Record
) -> None:
    await survives(kills, replicas, tmp_path, request, record_property)

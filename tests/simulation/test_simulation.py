"""Whatever happens to replicas, connections and clients, the promises hold (behaviours 1 to 4 and 6).

When a seed fails, ``python -m tests.simulation SEED`` plays it again and tells everything that happened.
"""

import asyncio
import os
import random
import subprocess
import sys

import pytest

from dragoman.application.runs import StartRun
from dragoman.domain.runs import RunStatus
from tests.simulation.broken import BROKEN
from tests.simulation.corpus import CORPUS
from tests.simulation.store import USER
from tests.simulation.world import Parts, Story, World, simulate

RANDOM, LONG, PART = 1_000, 10_000, 100
BASE = random.SystemRandom().randrange(10**9)
"""Other seeds every time; a failing one is named."""


def told(story: Story) -> str:
    replay = f"python -m tests.simulation {story.seed}"
    return "\n".join([f"seed {story.seed}; to see what happened: {replay}", *story.broken])


def hold(seeds: range) -> None:
    for seed in seeds:
        story = simulate(seed)
        assert not story.broken, told(story)


@pytest.mark.parametrize("seed", CORPUS, ids=lambda seed: CORPUS[seed].replace(" ", "_"))
def test_the_promises_hold_where_they_once_did_not(seed: int):
    hold(range(seed, seed + 1))


@pytest.mark.parametrize("part", range(RANDOM // PART))
def test_the_promises_hold_in_random_worlds(part: int):
    hold(range(BASE + part * PART, BASE + (part + 1) * PART))


@pytest.mark.chaos
@pytest.mark.parametrize("part", range(LONG // PART))
def test_the_promises_hold_in_many_random_worlds(part: int):
    hold(range(BASE + RANDOM + part * PART, BASE + RANDOM + (part + 1) * PART))


@pytest.mark.parametrize("fault", BROKEN)
def test_a_server_with_a_fault_is_found_out(fault: str):
    broken = BROKEN[fault]
    stories = (simulate(seed, broken.parts) for seed in broken.seeds)
    found = next((story for story in stories if broken.found_as in "\n".join(story.broken)), None)
    assert found is not None, f"nobody notices when {fault}"
    assert not simulate(found.seed, Parts(weather=broken.parts.weather)).broken, "it was not the fault"


def test_a_replica_that_is_stopped_while_a_run_begins_hands_it_over():
    world = World(0, Parts(), trace=False)

    async def story() -> None:
        replica = await world.boot()
        replica.connection.slow = 0.5
        start = StartRun("slow", "Hello", "s")
        asking = asyncio.create_task(replica.ask(lambda replica: replica.runs.start(USER, start)))
        await asyncio.sleep(0.1)
        await replica.stop(grace=0.0)
        run = await asking
        assert not replica.process.tasks
        assert (world.state.runs[run.id].status, world.state.runs[run.id].attempt) == (RunStatus.QUEUED, 1)

    world.loop.run_until_complete(story())


def test_worlds_are_eventful():
    stories = [simulate(seed) for seed in range(60)]

    assert sum(story.runs for story in stories) > 240
    assert any(story.attempts > story.runs for story in stories), "some are taken over"
    assert sum(story.effects for story in stories) > 100, "tools are at work"


def test_a_seed_tells_the_same_story_in_any_process():
    def tell(hash_seed: str) -> str:
        command = [sys.executable, "-m", "tests.simulation", "7"]
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout

    assert tell("1") == tell("2")


def test_a_fault_is_told_with_the_command_that_shows_it():
    fault = BROKEN["a claim does not wait for the run before"]
    story = next(story for seed in fault.seeds if (story := simulate(seed, fault.parts)).broken)

    assert f"python -m tests.simulation {story.seed}" in told(story)
    assert simulate(story.seed, Parts()).broken == []

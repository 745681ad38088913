"""The simulated loop runs ordinary asyncio code, in no time, in an order that the dice decide."""

import asyncio
from random import Random

import pytest

from tests.simulation.loop import OUTSIDE, Process, SimulatedLoop, Stuck


def loop_of(seed: int = 0, disorder: float = 0.0, max_steps: int = 1000) -> SimulatedLoop:
    return SimulatedLoop(Random(seed), disorder=disorder, max_steps=max_steps)


def test_time_jumps_to_the_next_timer():
    async def main() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(60))
        return loop.time() - began

    assert loop_of().run_until_complete(main()) == pytest.approx(3600, abs=0.01)


def test_ordinary_asyncio_code_runs_unchanged():
    async def main() -> list[str]:
        said: list[str] = []
        ready, queue = asyncio.Event(), asyncio.Queue[str]()

        async def produce() -> None:
            await ready.wait()
            for word in ("one", "two"):
                await queue.put(word)

        async def consume() -> None:
            while True:
                said.append(await queue.get())

        async def fail() -> None:
            raise KeyError("three")

        async with asyncio.TaskGroup() as group:
            consumer = group.create_task(consume())
            group.create_task(produce())
            ready.set()
            await asyncio.sleep(1)
            consumer.cancel()
        try:
            async with asyncio.timeout(5):
                await asyncio.Event().wait()
        except TimeoutError:
            said.append("late")
        results = await asyncio.gather(fail(), return_exceptions=True)
        return [*said, repr(results[0])]

    assert loop_of().run_until_complete(main()) == ["one", "two", "late", "KeyError('three')"]


async def _race(runners: int = 6) -> list[int]:
    arrived: list[int] = []

    async def run(number: int) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        arrived.append(number)

    await asyncio.gather(*(run(number) for number in range(runners)))
    return arrived


def test_wake_ups_are_reordered_and_the_same_seed_gives_the_same_order():
    orders = [tuple(loop_of(seed, disorder=0.5).run_until_complete(_race())) for seed in (1, 1, 2, 3)]

    assert orders[0] == orders[1]
    assert len(set(orders)) == 3
    assert loop_of().run_until_complete(_race()) == [0, 1, 2, 3, 4, 5]


def test_a_frozen_process_does_nothing_and_goes_on_when_it_thaws():
    loop = loop_of()
    clock = Process("clock")
    ticks: list[int] = []

    async def tick() -> None:
        while True:
            await asyncio.sleep(1)
            ticks.append(round(loop.time()))

    async def main() -> None:
        ticking = clock.spawn(loop, tick(), "tick")
        await asyncio.sleep(2.5)
        loop.freeze(clock)
        await asyncio.sleep(5)
        loop.thaw(clock)
        await asyncio.sleep(2)
        ticking.cancel()
        await asyncio.wait([ticking])

    loop.run_until_complete(main())

    assert ticks == [1, 2, 8, 9]
    assert not clock.tasks


def test_a_simulation_in_which_nothing_can_happen_says_who_waits():
    loop = loop_of()

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck, match=r"(?s)outside: main waits in .*main"):
        loop.run_until_complete(main())
    assert not OUTSIDE.tasks


def test_a_simulation_that_never_rests_is_ended():
    loop = loop_of(max_steps=100)

    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Stuck, match="Still at work after 100 steps"):
        loop.run_until_complete(main())
    assert not OUTSIDE.tasks

"""The queue before an endpoint: a limit, turns of tenants, and nobody lost who leaves."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.providers.openai.agents.models.gate import Gate


class Guests:
    """They enter, stay until they are sent away, and are remembered in the order they came in."""

    def __init__(self, gate):
        self.gate = gate
        self.inside = []
        self.order = []
        self._leave = {}
        self.tasks = {}

    async def come(self, name):
        self._leave[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._visit(name))
        await settle()

    async def leave(self, name):
        self._leave[name].set()
        await settle()

    async def give_up(self, name):
        self.tasks[name].cancel()
        await settle()

    async def _visit(self, name):
        async with self.gate.place(name[0]):
            self.inside.append(name)
            self.order.append(name)
            try:
                await self._leave[name].wait()
            finally:
                self.inside.remove(name)

    async def all_leave(self):
        while self.inside:
            await self.leave(self.inside[0])


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_without_a_limit_everybody_enters():
    guests = Guests(Gate(None))
    for n in range(50):
        await guests.come(f"a{n}")
    assert (guests.gate.active, guests.gate.waiting) == (50, 0)
    await guests.all_leave()
    assert guests.gate.active == 0


async def test_tenants_take_turns_and_each_keeps_its_own_order():
    guests = Guests(Gate(1))
    for name in ("a1", "a2", "a3", "a4", "b1", "b2", "c1"):
        await guests.come(name)
    assert (guests.gate.active, guests.gate.waiting) == (1, 6)
    await guests.all_leave()
    assert guests.order == ["a1", "a2", "b1", "c1", "a3", "b2", "a4"]
    assert (guests.gate.active, guests.gate.waiting) == (0, 0)


async def test_whoever_stops_waiting_is_passed_over():
    guests = Guests(Gate(1))
    for name in ("a1", "b1", "b2"):
        await guests.come(name)
    await guests.give_up("b1")
    assert guests.gate.waiting == 1
    await guests.all_leave()
    assert guests.order == ["a1", "b2"]


async def test_a_place_given_to_somebody_who_leaves_at_that_moment_is_passed_on():
    guests = Guests(Gate(1))
    for name in ("a1", "a2", "a3"):
        await guests.come(name)
    guests._leave["a1"].set()
    await asyncio.sleep(0)  # a1 has left, and a2 has not noticed yet that it may enter
    guests.tasks["a2"].cancel()
    await settle()
    assert guests.inside == ["a3"]
    await guests.all_leave()
    assert (guests.gate.active, guests.gate.waiting) == (0, 0)


@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from(["come", "leave", "give_up"]), st.sampled_from("abc")), max_size=40),
)
def test_never_more_than_the_limit_and_never_an_empty_place_while_somebody_waits(places, steps):
    async def play():
        guests, number = Guests(Gate(places)), 0
        for what, tenant in steps:
            waiting = [n for n, task in guests.tasks.items() if not task.done() and n not in guests.inside]
            if what == "come":
                number += 1
                await guests.come(f"{tenant}{number}")
            elif what == "leave" and guests.inside:
                await guests.leave(guests.inside[0])
            elif what == "give_up" and waiting:
                await guests.give_up(waiting[-1])
            assert guests.gate.active == len(guests.inside) <= places
            assert guests.gate.waiting == 0 or len(guests.inside) == places
        await guests.all_leave()
        assert (guests.gate.active, guests.gate.waiting) == (0, 0)

    asyncio.run(play())


@pytest.mark.parametrize("places", [1, 2])
async def test_a_failure_inside_gives_the_place_back(places):
    gate = Gate(places)
    for _ in range(3):
        with pytest.raises(ValueError, match="inside"):
            async with gate.place("a"):
                raise ValueError("inside")
    assert gate.active == 0

"""Every request to a model is paid for before it is made: retries, fallbacks and agents inside of tools as well."""

from decimal import Decimal

import pytest
from agents import Agent, ModelSettings

from dragoman.domain.errors import BudgetExhausted
from dragoman.domain.events import ModelAnswered, ModelFailed
from dragoman.domain.prices import Price, Prices
from tests.providers.openai.stage import stage
from tests.providers.openai.test_fallback import client, first, second, servers, two  # noqa: F401 - fixtures

DEMO = Prices({"demo": Price(Decimal(1), Decimal(2))})


class Purse:
    """``Spending`` that writes down what it is asked for, and has enough for so many requests."""

    def __init__(self, requests: int = 100) -> None:
        self.asked: list[tuple[str, str, Decimal | None]] = []
        self._requests = requests

    async def reserve(self, reservation: str, agent: str, cost: Decimal | None) -> None:
        if len(self.asked) == self._requests:
            raise BudgetExhausted
        self.asked.append((reservation, agent, cost))


async def test_a_call_reserves_what_it_may_cost_at_most_and_its_event_says_where():
    purse = Purse()
    ann = Agent(name="Ann", instructions="Be kind.", model_settings=ModelSettings(max_tokens=1000))
    async with stage(ann, prices=DEMO) as theatre:
        played = await theatre.play("ann", "/say Hello", spending=purse)
    ((reservation, agent, cost),) = purse.asked
    (answer,) = played.answers
    assert (answer.reservation, agent) == (reservation, "ann")
    assert cost is not None
    assert Decimal(answer.usage.cost) < cost
    assert Decimal("0.002") < cost < Decimal("0.0022")


async def test_without_spending_nothing_is_reserved():
    async with stage(Agent(name="Ann"), prices=DEMO) as theatre:
        played = await theatre.play("ann", "/say Hello")
    assert played.answers[0].reservation == ""


async def test_a_retry_and_a_fallback_are_paid_from_the_reservation_of_their_call(first, second, client):  # noqa: F811
    purse = Purse()
    first.fail(500, times=None)
    second.reply("Here I am.")
    async with two(first, second, client, max_retries=0) as theatre:
        played = await theatre.play("ann", "Count", spending=purse)
    assert len({reservation for reservation, _, _ in purse.asked}) == 1
    big, small = (cost for _, _, cost in purse.asked)
    assert big > small > 0, "each at its own price"
    (answer,) = played.answers
    assert answer.reservation == purse.asked[0][0]
    assert len(answer.tries) == 1


async def test_a_call_that_failed_says_what_was_reserved_for_it(first, second, client):  # noqa: F811
    purse = Purse()
    first.fail(500, times=None)
    async with two(first, second, client, fallbacks=[]) as theatre:
        played = await theatre.play("ann", "Count", spending=purse)
    (failed,) = played.of(ModelFailed)
    assert failed.reservation == purse.asked[0][0]


async def test_an_agent_inside_of_a_tool_is_paid_for_by_its_own_name():
    purse = Purse()
    inner = Agent(name="Inner")
    outer = Agent(name="Outer", tools=[inner.as_tool("inner", "Asks the inner one.")])
    async with stage(outer, inner, prices=DEMO) as theatre:
        played = await theatre.play("outer", '/call inner {"input": "/say deep"}', spending=purse)
    assert [agent for _, agent, _ in purse.asked] == ["outer", "inner", "outer"]
    reserved = [reservation for reservation, _, _ in purse.asked]
    assert [event.reservation for event in played.of(ModelAnswered)] == reserved
    assert len(set(reserved)) == 3


@pytest.mark.parametrize("requests", [0, 1, 2])
async def test_wherever_the_money_ends_no_further_model_is_asked_and_the_run_says_why(requests):
    inner = Agent(name="Inner")
    outer = Agent(name="Outer", tools=[inner.as_tool("inner", "Asks the inner one.")])
    async with stage(outer, inner, prices=DEMO) as theatre:
        played = await theatre.play("outer", '/call inner {"input": "/say deep"}', spending=Purse(requests))
    assert isinstance(played.error, BudgetExhausted), played.error
    assert len(played.of(ModelAnswered)) == requests


async def test_a_model_without_a_price_says_so():
    purse = Purse()
    async with stage(Agent(name="Ann"), prices=Prices()) as theatre:
        await theatre.play("ann", "/say Hello", spending=purse)
    assert [cost for _, _, cost in purse.asked] == [None]

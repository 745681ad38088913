"""Every fault of a model server that others wrote (``llmock``), with and without another endpoint to fall back on."""

import contextlib

import pytest
from agents import Agent, function_tool
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer

from dragoman.domain.errors import ModelBroken, ModelRateLimited, ModelRefused, ModelUnavailable
from dragoman.domain.events import ModelFailed
from dragoman.domain.prices import Prices
from dragoman.endpoints import well_known_prices
from dragoman.providers.openai import ModelEndpoint
from dragoman.providers.openai.config import TimeLimits
from tests.providers.openai.stage import stage

ANSWER = "One two three four five six seven eight nine ten."
PATIENT = TimeLimits(silence=10)
HASTY = TimeLimits(silence=0.4, first_token=0.3)


@pytest.fixture(scope="module")
def servers():
    with LLMockServer() as first, LLMockServer() as second:
        yield first, second


@pytest.fixture
def first(servers):
    return LLMock(servers[0]).reset()


@pytest.fixture
def second(servers):
    return LLMock(servers[1]).reset()


@pytest.fixture(params=["fast", "sdk"])
def client(request):
    return request.param


@contextlib.asynccontextmanager
async def two(first, second, client, *agents, dialect="chat", limits=PATIENT, **named):
    ends = [
        ModelEndpoint(mock.base_url(), "k", dialect, name=name, client=client, limits=limit)
        for name, mock, limit in (("first", first, limits), ("second", second, PATIENT))
    ]
    named = {"max_retries": 0, "fallbacks": ["second:gpt-4o-mini"], **named}
    async with stage(
        *(agents or (Agent(name="Ann"),)),
        endpoint=ends[0],
        others=ends[1:],
        model="first:gpt-4o",
        prices=Prices(well_known_prices()),
        **named,
    ) as theatre:
        yield theatre


def slow(fault):
    """One that only an impatient client finds."""
    return lambda mock: fault(mock) and HASTY


# Name, how the first server is told, what the run fails with if there is nobody else, whether somebody else may answer.
FAULTS = [
    ("limited", lambda mock: mock.rate_limit(times=None, retry_after=30), ModelRateLimited, True),
    ("down", lambda mock: mock.outage(), ModelUnavailable, True),
    ("out of order", lambda mock: mock.fail(500, times=None), ModelUnavailable, True),
    ("out of quota", lambda mock: mock.fail(429, times=None, code="insufficient_quota"), ModelRefused, True),
    ("wrong key", lambda mock: mock.fail(401, times=None), ModelRefused, False),
    ("no such model", lambda mock: mock.fail(404, times=None), ModelRefused, False),
    ("bad request", lambda mock: mock.fail(400, times=None), ModelRefused, False),
    ("too long", lambda mock: mock.context_overflow(times=None), ModelRefused, False),
    ("slow", slow(lambda mock: mock.slow_first_token(2, times=None)), ModelUnavailable, True),
    ("late", slow(lambda mock: mock.delay(2, times=None)), ModelUnavailable, True),
    ("cut", lambda mock: mock.reply(ANSWER).disconnect(after_chunks=6), ModelBroken, False),
    ("truncated", lambda mock: mock.reply(ANSWER).truncate(after_chunks=6), ModelBroken, False),
    ("rubbish", lambda mock: mock.reply(ANSWER).corrupt(after_chunks=6), ModelBroken, False),
    ("stalled", slow(lambda mock: mock.reply(ANSWER).stall(after_chunks=6, seconds=2)), ModelUnavailable, False),
    ("cut at once", lambda mock: mock.reply(ANSWER).disconnect(after_chunks=0), (ModelBroken, ModelUnavailable), True),
    ("empty", lambda mock: mock.reply(ANSWER).truncate(after_chunks=0), ModelBroken, True),
    ("rubbish at once", lambda mock: mock.reply(ANSWER).corrupt(after_chunks=0), ModelBroken, True),
]


@pytest.mark.parametrize(("fault", "error"), [f[1:3] for f in FAULTS], ids=[f[0] for f in FAULTS])
async def test_without_a_fallback_a_fault_fails_the_run_and_is_accounted_for(fault, error, first, second, client):
    limits = HASTY if fault(first) is HASTY else PATIENT
    async with two(first, second, client, fallbacks=[], limits=limits) as theatre:
        played = await theatre.play("ann", "Count")
    assert isinstance(played.error, error), played.error
    assert second.requests == []
    assert played.items == []
    (failed,) = played.of(ModelFailed)
    (tried,) = failed.tries
    assert (tried.endpoint, tried.model, tried.status, tried.code) == ("first", "gpt-4o", "failed", played.error.code)
    assert tried.estimated == (tried.usage.total_tokens > 0)
    if played.text:
        assert ANSWER.startswith(played.text)
        assert tried.estimated


@pytest.mark.parametrize(("fault", "error", "answered"), [f[1:4] for f in FAULTS], ids=[f[0] for f in FAULTS])
async def test_with_a_fallback_the_next_endpoint_answers_where_nobody_can_notice(
    fault, error, answered, first, second, client
):
    limits = HASTY if fault(first) is HASTY else PATIENT
    second.reply("Here I am.")
    async with two(first, second, client, limits=limits) as theatre:
        played = await theatre.play("ann", "Count")
    if not answered:
        assert isinstance(played.error, error), played.error
        assert second.requests == []
        return
    assert played.outcome.final_output == played.text == "Here I am."
    (answer,) = played.answers
    assert (answer.endpoint, answer.model) == ("second", "gpt-4o-mini")
    assert [(tried.endpoint, tried.status) for tried in answer.tries] == [("first", "failed")]
    assert played.of(ModelFailed) == []
    assert float(answer.usage.cost) > 0


@pytest.mark.parametrize("dialect", ["chat", "responses"])
async def test_a_run_goes_on_elsewhere_in_its_middle_and_no_tool_is_called_twice(first, second, client, dialect):
    called = []

    @function_tool
    def pay(amount: int) -> str:
        """Pay."""
        called.append(amount)
        first.outage()
        return "paid"

    first.call_tool("pay", {"amount": 5})
    async with two(first, second, client, Agent(name="Ann", tools=[pay]), dialect=dialect) as theatre:
        second.reply("It is paid.")
        played = await theatre.play("ann", "Pay 5")
    assert played.outcome.final_output == "It is paid."
    assert called == [5]
    assert [(answer.endpoint, answer.ordinal) for answer in played.answers] == [("first", 0), ("second", 1)]


async def test_a_short_limit_is_waited_for_before_anybody_else_is_asked(first, second, client):
    first.rate_limit(times=1, retry_after=0.01).reply("Here.")
    async with two(first, second, client, max_retries=1) as theatre:
        played = await theatre.play("ann", "Hi")
    (answer,) = played.answers
    assert (answer.endpoint, [tried.code for tried in answer.tries]) == ("first", ["model_rate_limited"])


async def test_an_agent_may_name_a_model_of_another_endpoint(first, second, client):
    second.reply("From the second.")
    async with two(first, second, client, Agent(name="Ann", model="second:o3")) as theatre:
        played = await theatre.play("ann", "Hi")
    (answer,) = played.answers
    assert (answer.endpoint, answer.model, answer.tries) == ("second", "o3", ())
    assert theatre.provider.agents["ann"].model == "o3"

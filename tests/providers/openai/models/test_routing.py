"""Routes: where a call goes, when it is repeated, when it goes elsewhere, and what is accounted for."""

import asyncio
from decimal import Decimal

import pytest
from agents import ModelSettings, WebSearchTool
from agents.models.default_models import get_default_model_settings

from dragoman.domain.errors import ModelBroken, ModelRateLimited, ModelRefused, ModelUnavailable
from dragoman.domain.prices import Price, Prices
from dragoman.providers.openai.agents.models import output
from dragoman.providers.openai.agents.models.breaker import FAILURES, PAUSE
from dragoman.providers.openai.agents.models.direct import DirectModel
from dragoman.providers.openai.agents.models.router import Router
from dragoman.providers.openai.agents.models.routing import (
    LONGEST_PAUSE,
    PATIENCE,
    Endpoint,
    RoutedModel,
    Target,
    Time,
    Witness,
)
from dragoman.providers.openai.config import ModelEndpoint, TimeLimits, place_of
from dragoman.providers.openai.errors import OutOfQuota
from tests.providers.openai.models.asking import Ear, request

PRICES = Prices({"m": Price(Decimal(1), Decimal(10))})
WAIT = 10.0


class Hours:
    """Time that passes when somebody waits, and notes for how long."""

    def __init__(self):
        self.pauses = []
        self.passed = 0.0

    def now(self):
        return self.passed

    async def sleep(self, seconds):
        self.pauses.append(seconds)
        self.passed += seconds

    @property
    def time(self):
        return Time(self.now, self.sleep)


class Model(DirectModel):
    """Does one thing after the other: says a text, raises an error, or both; the last again and again."""

    def __init__(self, *deeds):
        self.deeds = list(deeds)
        self.requests = []

    async def answer(self, request, listener):
        self.requests.append(request)
        deed = self.deeds.pop(0) if len(self.deeds) > 1 else self.deeds[0]
        for step in deed if isinstance(deed, tuple) else (deed,):
            if isinstance(step, Exception):
                raise step
            if isinstance(step, asyncio.Event):
                await step.wait()
            else:
                listener.say("text", step, 0)
        return output.response([], output.usage(100, 10, cached=40))


def slow():
    error = ModelUnavailable()
    error.__cause__ = TimeoutError()
    return error


def route(*models, hours=None, retries=0, **named):
    hours = hours or Hours()
    targets = [
        Target(Endpoint(f"e{i}", retries=retries, time=hours.time, **named), "m", model)
        for i, model in enumerate(models)
    ]
    return RoutedModel(targets, PRICES)


async def ask(model, **named):
    """The answer or the error, what was heard, and the tries that gave no answer."""
    ear, witness = Ear(), Witness(**named)
    try:
        routed = await asyncio.wait_for(model.ask(request(), ear, witness), WAIT)
    except ModelRefused as error:
        routed = error
    except (ModelUnavailable, ModelRateLimited, ModelBroken) as error:
        routed = error
    return routed, ear.text, witness.tries


# Going elsewhere -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure", [ModelRateLimited(), ModelUnavailable(), slow(), ModelBroken(), OutOfQuota()], ids=repr
)
async def test_what_the_first_endpoint_cannot_answer_the_next_does(failure):
    routed, heard, tries = await ask(route(Model(failure), Model("Hello")))
    assert (routed.endpoint, heard) == ("e1", "Hello")
    assert [(tried.endpoint, tried.status, tried.code) for tried in tries] == [("e0", "failed", failure.code)]


async def test_a_refused_request_is_nobody_elses_business():
    second = Model("Hello")
    error, _, tries = await ask(route(Model(ModelRefused()), second))
    assert isinstance(error, ModelRefused)
    assert (len(tries), second.requests) == (1, [])


@pytest.mark.parametrize("failure", [ModelRateLimited(), ModelUnavailable(), slow(), ModelBroken()], ids=repr)
async def test_never_after_a_word_was_heard(failure):
    second = Model("Hello")
    error, heard, tries = await ask(route(Model(("Hel", failure)), second, retries=3))
    assert (type(error), heard) == (type(failure), "Hel")
    assert (len(tries), second.requests) == (1, [])


@pytest.mark.parametrize(("failure", "goes_on"), [(slow(), False), (ModelBroken(), False), (ModelUnavailable(), True)])
async def test_never_after_a_tool_at_the_endpoint_may_have_worked(failure, goes_on):
    model, witness = route(Model(failure), Model("Hello")), Witness()
    asked = model.ask(request(tools=[WebSearchTool()]), Ear(), witness)
    if goes_on:
        assert (await asked).endpoint == "e1"
    else:
        with pytest.raises(type(failure)):
            await asked


async def test_never_away_from_a_conversation_that_the_endpoint_keeps():
    model = route(Model(ModelUnavailable()), Model("Hello"))
    with pytest.raises(ModelUnavailable):
        await model.ask(request(conversation_id="conv_1"), Ear(), Witness())


async def test_when_nobody_answers_the_last_failure_counts():
    error, _, tries = await ask(route(Model(ModelUnavailable()), Model(ModelRateLimited(retry_after=7))))
    assert (type(error), error.retry_after) == (ModelRateLimited, 7)
    assert [tried.endpoint for tried in tries] == ["e0", "e1"]


async def test_items_of_another_endpoint_are_sent_as_everybody_understands_them():
    items = [
        {"role": "user", "content": "Hi"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
    ]
    first, second = Model(ModelUnavailable()), Model("Hello")
    await route(first, second).ask(request(items), Ear(), Witness(spoken=frozenset({"e0"})))
    assert first.requests[0].input == items
    plain = [{name: value for name, value in item.items() if name != "id"} for item in items if "summary" not in item]
    assert second.requests[0].input == plain


async def test_a_fallback_gets_the_settings_of_its_own_model():
    settings = get_default_model_settings("gpt-5")
    first, second, third = Model(ModelUnavailable()), Model(ModelUnavailable()), Model("Hello")
    targets = [
        Target(Endpoint(f"e{i}"), name, model)
        for i, (name, model) in enumerate([("gpt-5", first), ("llama", second), ("gpt-4o", third)])
    ]
    await RoutedModel(targets).ask(request(settings=settings), Ear(), Witness())
    assert first.requests[0].model_settings == settings
    assert second.requests[0].model_settings == third.requests[0].model_settings == ModelSettings()


# Again ---------------------------------------------------------------------------------------------------------------


async def test_an_endpoint_is_asked_again_after_pauses_that_grow():
    hours, model = Hours(), Model(*[ModelUnavailable()] * 3, "Hello")
    routed, heard, tries = await ask(route(model, hours=hours, retries=3))
    assert (heard, len(tries), len(model.requests)) == ("Hello", 3, 4)
    assert all(0.75 * 0.5 * 2**i <= pause <= 0.5 * 2**i for i, pause in enumerate(hours.pauses))
    assert routed.latency_ms == 0  # of the request that was answered


async def test_not_more_often_than_it_may_be():
    model = Model(ModelUnavailable())
    error, _, tries = await ask(route(model, retries=2))
    assert isinstance(error, ModelUnavailable)
    assert len(tries) == len(model.requests) == 3


async def test_what_it_says_about_when_is_honoured():
    hours = Hours()
    await ask(route(Model(ModelRateLimited(retry_after=31.5), "Hello"), hours=hours, retries=1))
    assert hours.pauses == [31.5]


async def test_who_wants_to_be_left_alone_for_long_is_left_alone():
    hours = Hours()
    error, _, _ = await ask(route(Model(ModelRateLimited(retry_after=PATIENCE + 1)), hours=hours, retries=5))
    assert (error.retry_after, hours.pauses) == (PATIENCE + 1, [])


async def test_nobody_waits_for_one_that_limits_us_where_another_can_answer():
    hours = Hours()
    routed, _, tries = await ask(route(Model(ModelRateLimited(retry_after=5)), Model("Hello"), hours=hours, retries=2))
    assert (routed.endpoint, len(tries), hours.pauses) == ("e1", 1, [])


async def test_nobody_waits_again_for_one_that_was_slow_where_another_can_answer():
    routed, _, tries = await ask(route(Model(slow()), Model("Hello"), retries=2))
    assert (routed.endpoint, len(tries)) == ("e1", 1)


@pytest.mark.parametrize("failure", [ModelBroken(), ModelRefused()])
async def test_what_would_be_the_same_again_is_not_tried_again(failure):
    model = Model(failure)
    await ask(route(model, retries=3))
    assert len(model.requests) == 1


async def test_pauses_end_somewhere():
    hours = Hours()
    await ask(route(Model(ModelUnavailable()), hours=hours, retries=9, failures=None))
    assert max(hours.pauses) <= LONGEST_PAUSE


# The circuit ---------------------------------------------------------------------------------------------------------


async def test_an_endpoint_that_keeps_failing_is_passed_over_until_it_is_well_again():
    hours, first = Hours(), Model(*[ModelUnavailable()] * FAILURES, "Back")
    model = route(first, Model("Hello"), hours=hours)
    for _ in range(FAILURES):
        await ask(model)
    routed, _, tries = await ask(model)
    assert (routed.endpoint, len(first.requests)) == ("e1", FAILURES)
    assert [(tried.code, tried.usage.requests, tried.usage.cost) for tried in tries] == [("circuit_open", 0, None)]
    assert model.targets[0].endpoint.stats.circuit == "open"

    hours.passed += PAUSE
    routed, heard, tries = await ask(model)
    assert (routed.endpoint, heard, tries) == ("e0", "Back", [])
    assert model.targets[0].endpoint.stats.circuit == "closed"


async def test_where_there_is_nobody_else_the_caller_learns_when_to_come_back():
    model = route(Model(ModelUnavailable()))
    for _ in range(FAILURES):
        await ask(model)
    error, _, _ = await ask(model)
    assert (type(error), error.retry_after) == (ModelUnavailable, PAUSE)


async def test_refused_and_limited_requests_are_no_sign_of_illness():
    first = Model(ModelRefused(), ModelRateLimited(), ModelBroken())
    model = route(first)
    for _ in range(FAILURES * 2):
        await ask(model)
    assert len(first.requests) == FAILURES * 2


async def test_a_probe_that_is_cancelled_leaves_the_circuit_half_open():
    hours, never = Hours(), asyncio.Event()
    first = Model(*[ModelUnavailable()] * FAILURES, (never,), "Back")
    model = route(first, hours=hours)
    for _ in range(FAILURES):
        await ask(model)
    hours.passed += PAUSE
    probe = asyncio.create_task(model.ask(request(), Ear(), Witness()))
    await asyncio.sleep(0)
    probe.cancel()
    await asyncio.wait([probe], timeout=WAIT)
    assert (await ask(model))[1] == "Back"


# The queue -----------------------------------------------------------------------------------------------------------


async def test_no_more_requests_at_once_than_an_endpoint_takes_and_tenants_take_turns():
    go, model = asyncio.Event(), Model()
    model.deeds = [(go,)]
    routed = route(model, max_concurrency=1)
    calls = [asyncio.create_task(ask(routed, tenant=tenant)) for tenant in "aab"]
    for _ in range(5):
        await asyncio.sleep(0)
    stats = routed.targets[0].endpoint.stats
    assert (stats.active, stats.waiting, len(model.requests)) == (1, 2, 1)
    go.set()
    await asyncio.wait(calls, timeout=WAIT)
    stats = routed.targets[0].endpoint.stats
    assert (stats.active, stats.waiting, stats.requests) == (0, 0, {"answered": 3})


async def test_whoever_waited_while_the_circuit_opened_is_told_at_once():
    go, model = asyncio.Event(), Model()
    model.deeds = [(go, ModelUnavailable())]
    routed = route(model, max_concurrency=FAILURES)
    calls = [asyncio.create_task(ask(routed)) for _ in range(FAILURES + 3)]
    for _ in range(5):
        await asyncio.sleep(0)
    go.set()
    done, _ = await asyncio.wait(calls, timeout=WAIT)
    codes = [task.result()[2][0].code for task in done]
    assert sorted(codes) == ["circuit_open"] * 3 + ["model_unavailable"] * FAILURES


# The bill ------------------------------------------------------------------------------------------------------------


async def test_an_answer_costs_what_its_tokens_cost():
    routed, _, _ = await ask(route(Model("Hello")))
    usage = routed.usage
    assert (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens, usage.cost) == (100, 40, 10, "0.0002")
    assert not routed.estimated


async def test_what_the_endpoint_cannot_have_begun_costs_nothing():
    for failure in (ModelRateLimited(), ModelUnavailable(), ModelRefused()):
        _, _, (tried,) = await ask(route(Model(failure)))
        assert (tried.usage.requests, tried.usage.total_tokens, tried.usage.cost) == (1, 0, "0")
        assert not tried.estimated


async def test_what_it_may_have_begun_is_estimated():
    for deeds in (("Hello there, ", ModelBroken()), (slow(),), (ModelBroken(),)):
        _, heard, (tried,) = await ask(route(Model(deeds)))
        assert tried.estimated
        assert tried.usage.input_tokens > 0
        assert tried.usage.output_tokens == -(-len(heard) // 4)
        assert Decimal(tried.usage.cost) > 0


async def test_a_cancelled_call_is_accounted_for():
    witness, never = Witness(), asyncio.Event()
    routed = route(Model(("Hello", never)))
    call = asyncio.create_task(routed.ask(request(), Ear(), witness))
    for _ in range(5):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call], timeout=WAIT)
    assert call.cancelled()
    (tried,) = witness.tries
    assert (tried.status, tried.code, tried.estimated, tried.usage.output_tokens) == ("cancelled", None, True, 2)
    assert routed.targets[0].endpoint.stats.requests == {"cancelled": 1}


async def test_a_model_without_a_price_costs_nobody_knows_what():
    model = RoutedModel([Target(Endpoint("e"), "strange", Model("Hello"))], PRICES)
    routed, _, _ = await ask(model)
    assert routed.usage.cost is None


async def test_an_endpoint_counts_what_it_did():
    model = route(Model("Hello", ModelRateLimited(), ModelUnavailable()))
    for _ in range(3):
        await ask(model)
    stats = model.targets[0].endpoint.stats
    assert stats.requests == {"answered": 1, "model_rate_limited": 1, "model_unavailable": 1}
    assert (stats.input_tokens, stats.output_tokens) == (100, 10)


# Names ---------------------------------------------------------------------------------------------------------------

HERE = ModelEndpoint("http://127.0.0.1:1/v1", name="here", models=("llama*", "qwen:7b"))
THERE = ModelEndpoint("http://127.0.0.1:2/v1", name="there")


@pytest.mark.parametrize(
    ("model", "place"),
    [
        ("there:llama3", (THERE, "llama3")),
        ("here:anything", (HERE, "anything")),
        ("llama3.2:3b", (HERE, "llama3.2:3b")),
        ("qwen:7b", (HERE, "qwen:7b")),
        ("google/gemini-pro", (THERE, "google/gemini-pro")),
        ("there:", (THERE, "there:")),
    ],
)
def test_a_name_has_a_place(model, place):
    assert place_of(model, [HERE, THERE]) == place


def test_a_name_that_nobody_lists_has_none():
    assert place_of("gpt-5", [HERE]) is None


@pytest.mark.parametrize("client", ["fast", "sdk"])
async def test_a_route_is_its_own_endpoint_and_then_the_fallbacks_each_once(client):
    ends = [ModelEndpoint(e.base_url, name=e.name, models=e.models, client=client, retries=1) for e in (HERE, THERE)]
    router = Router(ends, ["there:a", "llama3", "there:a"], limits=TimeLimits(), retries=4)
    model = router.get_model("llama3")
    assert [(t.endpoint.name, t.model) for t in model.targets] == [("here", "llama3"), ("there", "a")]
    assert {t.endpoint.retries for t in model.targets} == {1}
    assert set(router.stats()) == {"here", "there"}
    with pytest.raises(ModelRefused):
        router.get_model(None)
    await router.aclose()

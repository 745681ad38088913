"""The ledger of model calls: one row for each, written with the events that tell of it, whatever becomes of the run."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dragoman.domain.events import ModelAnswered, ModelFailed, Recorded, RunCompleted
from dragoman.domain.ledger import Period, Sum
from dragoman.domain.runs import RunStatus
from dragoman.domain.usage import Try, Usage
from dragoman.ports.events import Append, End
from tests.contracts.talk import ELSEWHERE, SARAH, TOM, Store, Talk

ALWAYS = Period(datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
USED = Usage(1, 10, 5, 15, 3, 2, cost="0.000031", models=("m",))
UNPRICED = Usage(1, 7, 1, 8, models=("other",))
REFUSED = Try("first", "m", "failed", "model_rate_limited", Usage(1, cost="0", models=("m",)), 12)
CUT = Try("first", "m", "cancelled", None, replace(USED, cost="0.1"), 40, estimated=True)


def answered(ordinal: int = 0, usage: Usage = USED, **fields: object) -> ModelAnswered:
    return ModelAnswered("chat", usage.models[0], ordinal, 1, usage, endpoint="second", latency_ms=25, **fields)


def as_sum(*usages: Usage, **counts: int) -> Sum:
    """What these calls add up to, told by hand."""
    costs = [Decimal(usage.cost) for usage in usages if usage.cost is not None]
    names = ("input_tokens", "output_tokens", "total_tokens", "cached_input_tokens", "reasoning_tokens")
    return Sum(
        requests=len(usages),
        unpriced_requests=len(usages) - len(costs),
        **{name: sum(getattr(usage, name) for usage in usages) for name in names},
        cost=str(sum(costs)) if costs else None,
        **counts,
    )


async def test_an_answer_is_entered_with_the_tries_before_it(store: Store, talk: Talk):
    run = await talk.playing()
    await talk.write(run, answered(tries=(REFUSED,), path="call_1"))

    refused, counted = await store.usage.of_run(SARAH, run.id)

    assert (refused.endpoint, refused.status, refused.code) == ("first", "failed", "model_rate_limited")
    assert (refused.ordinal, refused.number, refused.usage) == (0, 0, REFUSED.usage)
    assert (counted.endpoint, counted.model, counted.status, counted.code) == ("second", "m", "answered", None)
    assert (counted.path, counted.ordinal, counted.number) == ("call_1", 0, 1)
    assert (counted.usage, counted.latency_ms, counted.estimated) == (USED, 25, False)


async def test_a_call_without_an_answer_is_entered_as_well(store: Store, talk: Talk):
    run = await talk.playing()
    await talk.write(run, ModelFailed("chat", 0, (REFUSED, CUT)), answered(first_try=2))

    entries = await store.usage.of_run(SARAH, run.id)

    assert [(entry.number, entry.status, entry.estimated) for entry in entries] == [
        (0, "failed", False),
        (1, "cancelled", True),
        (2, "answered", False),
    ]


async def test_the_same_events_again_add_nothing(store: Store, talk: Talk):
    run = await talk.playing()
    events = (Recorded(1, answered()), Recorded(2, answered(1)))
    for batch in (events[:1], events, events):
        await store.events.append([Append(run.id, run.attempt, batch)])

    assert (await store.usage.report(SARAH, ALWAYS, "day")).total == as_sum(USED, USED)


async def test_a_run_of_another_attempt_enters_nothing(store: Store, talk: Talk):
    run = await talk.playing()
    assert await store.events.append([Append(run.id, run.attempt + 1, (Recorded(1, answered()),))]) == {run.id}

    assert await store.usage.of_run(SARAH, run.id) == []
    assert (await store.usage.report(SARAH, ALWAYS, "day")).total == Sum()


async def test_what_was_used_outlives_its_conversation(store: Store, talk: Talk):
    run = await talk.playing()
    end = End(RunStatus.COMPLETED, USED)
    await talk.write(run, answered(), RunCompleted(RunStatus.COMPLETED, "Hi", USED), end=end)
    before = await store.usage.report(SARAH, ALWAYS, "conversation")
    await store.sessions.delete(SARAH, "s")
    after = await store.usage.report(SARAH, ALWAYS, "conversation")

    assert before.groups == ((run.conversation_id, as_sum(USED)),)
    assert after.groups == ((None, as_sum(USED)),)
    assert len(await store.usage.of_run(SARAH, run.id)) == 1


async def test_everybody_sees_their_own(store: Store, talk: Talk):
    run = await talk.playing()
    await talk.write(run, answered())

    for somebody in (TOM, ELSEWHERE):
        assert await store.usage.of_run(somebody, run.id) == []
        assert await store.usage.report(somebody, ALWAYS, "agent") == type(
            await store.usage.report(TOM, ALWAYS, "day")
        )(Sum(), ())


async def test_sums_are_exact_and_unknown_prices_are_counted_apart(store: Store, talk: Talk):
    run = await talk.playing()
    tiny = replace(USED, cost="0.000000000001")
    calls = [tiny] * 3 + [UNPRICED] + [replace(USED, cost="12345.1")]
    await talk.write(run, *(answered(i, usage) for i, usage in enumerate(calls)), ModelFailed("chat", 9, (CUT,)))

    report = await store.usage.report(SARAH, ALWAYS, "model")

    assert report.total.cost == "12345.200000000003"
    assert (report.total.requests, report.total.unpriced_requests) == (6, 1)
    assert (report.total.failed_requests, report.total.estimated_requests) == (1, 1)
    assert [name for name, _ in report.groups] == ["m", "other"]
    assert dict(report.groups)["other"] == as_sum(UNPRICED)


@pytest.mark.parametrize("by", ["day", "agent", "model", "conversation"])
async def test_every_grouping_adds_up_to_the_total(by, store: Store, talk: Talk):
    for session, agent in (("a", "chat"), ("b", "chat"), (None, "assistant")):
        run = await talk.playing(session=session, agent=agent)
        await talk.write(run, *(answered(i, usage) for i, usage in enumerate([USED, UNPRICED])))

    report = await store.usage.report(SARAH, ALWAYS, by)

    assert sum(group.requests for _, group in report.groups) == report.total.requests == 6
    assert sum(group.input_tokens for _, group in report.groups) == report.total.input_tokens
    assert sum(Decimal(group.cost or 0) for _, group in report.groups) == Decimal(report.total.cost or 0)


async def test_a_period_holds_its_beginning_and_not_its_end(store: Store, talk: Talk):
    run = await talk.playing()
    before = datetime.now(UTC)
    await talk.write(run, answered())
    after = datetime.now(UTC) + timedelta(microseconds=1)

    assert (await store.usage.report(SARAH, Period(before, after), "day")).total.requests == 1
    assert (await store.usage.report(SARAH, Period(after, ALWAYS.until), "day")).total == Sum()
    assert (await store.usage.report(SARAH, Period(ALWAYS.since, before), "day")).groups == ()
    days = (await store.usage.report(SARAH, ALWAYS, "day")).groups
    assert [day for day, _ in days] == [before.date().isoformat()]

"""``EventLog``: append-only, fenced by attempt, whole at its end, read from any position."""

import asyncio
from dataclasses import replace

import pytest

from dragoman.domain.events import Delta, ItemDone, ModelAnswered, Progress, Recorded, RunCompleted, RunFailed
from dragoman.domain.items import NewItem, assistant_message, text_of, tool_call, tool_output
from dragoman.domain.runs import RunError, RunStatus, first_position
from dragoman.domain.usage import Usage
from dragoman.ports.events import Append, End
from tests.contracts.talk import ELSEWHERE, SARAH, TOM, Store, Talk

USAGE = Usage(1, 12, 4, 16, 2, 1, cost="0.000031", models=("m",))


def deltas(*texts: str) -> tuple[Delta, ...]:
    return tuple(Delta("text", text) for text in texts)


async def test_what_was_appended_is_read_in_order(talk: Talk):
    run = await talk.playing()
    story = (
        *deltas("Let ", "me ", "see"),
        ItemDone("tool_called", tool_call("c1", "add", '{"a": 1}'), "chat"),
        ModelAnswered("chat", "m", 0, 1, USAGE, "resp_1"),
        Progress("add", "adding", 1, 2),
        ItemDone("tool_output", tool_output("c1", "☃"), "chat", failed=True),
        *deltas("It is ", "2"),
        ItemDone("message_output_created", assistant_message("It is 2"), "chat"),
    )

    await talk.write(run, *story[:2])
    await talk.write(run, *story[2:5])
    await talk.write(run, *story[5:])

    log = await talk.log(run)
    assert [entry.event for entry in log[1:]] == list(story)
    assert [entry.position for entry in log] == list(range(len(story) + 1))


async def test_merged_deltas_are_read_from_every_position(talk: Talk, store: Store):
    run = await talk.playing()
    await talk.write(run, *deltas(*"abcdef"))
    await talk.write(run, RunFailed("c", "m", at=""), *deltas(*"ghi"))
    log = await talk.log(run)
    assert len(log) == 11

    for after in range(-1, len(log)):
        read = await store.events.read(SARAH, run.id, after, 100)
        assert list(read) == log[after + 1 :]


async def test_a_log_is_read_in_pages_of_about_the_limit(talk: Talk, store: Store):
    run = await talk.playing()
    for _ in range(5):
        await talk.write(run, *deltas(*"abc"))
    log = await talk.log(run)

    read: list[Recorded] = []
    pages = 0
    while page := await store.events.read(SARAH, run.id, read[-1].position if read else -1, 4):
        read += page
        pages += 1
        assert len(page) <= 6
    assert read == log
    assert pages >= 3


async def test_a_limit_below_one_row_still_makes_progress(talk: Talk, store: Store):
    run = await talk.playing()
    await talk.write(run, *deltas(*"abc"))

    assert await store.events.read(SARAH, run.id, 0, 1)


@pytest.mark.parametrize("stranger", [TOM, ELSEWHERE])
async def test_somebody_elses_log_reads_as_empty(talk: Talk, store: Store, stranger):
    run = await talk.playing()

    assert list(await store.events.read(stranger, run.id, -1, 10)) == []
    assert list(await store.events.read(SARAH, "run_none", -1, 10)) == []


async def test_an_end_writes_status_last_event_and_items_together(talk: Talk, store: Store):
    run = await talk.playing("Hello")
    items = (NewItem(tool_call("c1", "add", "{}")), NewItem(tool_output("c1", 2)), NewItem(assistant_message("2")))
    end = End(RunStatus.COMPLETED, USAGE, items, final_output={"sum": 2}, response_id="resp_1")

    assert await talk.write(run, RunCompleted(RunStatus.COMPLETED, {"sum": 2}, USAGE, 1, "s"), end=end)

    ended = await store.runs.get(SARAH, run.id)
    assert ended.ended_at is not None
    assert replace(ended, ended_at=None) == replace(
        run, status=RunStatus.COMPLETED, usage=USAGE, final_output={"sum": 2}, response_id="resp_1"
    )
    page = await store.sessions.page(SARAH, "s", limit=10)
    assert [item.id for item in page.items[1:]] == [item.id for item in items]
    assert {item.run_id for item in page.items} == {run.id}
    assert page.conversation.head == items[-1].id
    assert (await talk.log(run))[-1].event == RunCompleted(RunStatus.COMPLETED, {"sum": 2}, USAGE, 1, "s")


async def test_a_failure_is_kept_with_its_reason(talk: Talk, store: Store):
    run = await talk.playing()
    error = RunError("model_unavailable", "Later.", retryable=True, retry_after=2.5)

    await talk.write(run, RunFailed("model_unavailable", "Later."), end=End(RunStatus.FAILED, Usage(), error=error))

    ended = await store.runs.get(SARAH, run.id)
    assert (ended.status, ended.error) == (RunStatus.FAILED, error)


async def test_a_half_answer_is_kept_as_incomplete(talk: Talk, store: Store):
    run = await talk.playing()
    half = NewItem(assistant_message("On the one ha"), status="incomplete")

    await talk.write(
        run, RunCompleted(RunStatus.CANCELLED, None, Usage()), end=End(RunStatus.CANCELLED, Usage(), (half,))
    )

    item = (await store.sessions.page(SARAH, "s", limit=1)).items[-1]
    assert (item.id, item.status, text_of(item.content)) == (half.id, "incomplete", "On the one ha")


async def test_requires_action_leaves_the_run_unfinished(talk: Talk, store: Store):
    run = await talk.playing()
    await talk.finish(run, "May I?", RunStatus.REQUIRES_ACTION)

    stored = await store.runs.get(SARAH, run.id)
    assert stored.status is RunStatus.REQUIRES_ACTION
    assert stored.ended_at is None


async def test_the_log_of_an_ended_run_is_closed(talk: Talk):
    run = await talk.answered()
    log = await talk.log(run)

    assert not await talk.write(run, *deltas("too late"))
    assert await talk.log(run) == log


async def test_a_run_ends_once(talk: Talk, store: Store):
    run = await talk.answered("One", "first")

    assert not await talk.write(
        run, RunFailed("c", "m"), end=End(RunStatus.FAILED, Usage(), (NewItem(assistant_message("x")),))
    )
    assert (await store.runs.get(SARAH, run.id)).status is RunStatus.COMPLETED
    assert await talk.texts() == ["One", "first"]


async def test_another_attempt_is_fenced_off(talk: Talk, store: Store):
    run = await talk.playing()
    stale = replace(run, attempt=1)
    entry = Recorded(first_position(1), Delta("text", "x"))

    assert await store.events.append([Append(run.id, 1, (entry,))]) == {run.id}
    assert not await talk.write(stale, RunFailed("c", "m"), end=End(RunStatus.FAILED, Usage()))
    assert len(await talk.log(run)) == 1
    assert (await store.runs.get(SARAH, run.id)).status is RunStatus.IN_PROGRESS


async def test_a_queued_run_has_no_log_to_append_to(talk: Talk):
    run = await talk.queued()

    assert not await talk.write(run, *deltas("x"))
    assert await talk.log(run) == []


async def test_what_is_lost_in_a_batch_does_not_touch_the_rest(talk: Talk, store: Store):
    good, ended = await talk.playing(session="a"), await talk.answered(session="b")
    entry = (Recorded(50, Delta("text", "x")),)

    lost = await store.events.append(
        [Append("run_none", 0, entry), Append(good.id, 0, entry), Append(ended.id, 0, entry)]
    )

    assert lost == {"run_none", ended.id}
    assert (await talk.log(good))[-1] == entry[0]


async def test_a_batch_with_something_unstorable_is_not_stored_at_all(talk: Talk, store: Store):
    good, bad = await talk.playing(session="a"), await talk.playing(session="b")
    unstorable = ItemDone("tool_output", tool_output("c", object()), "chat")

    with pytest.raises(TypeError):
        await store.events.append(
            [
                Append(good.id, 0, (Recorded(1, Delta("text", "x")),)),
                Append(bad.id, 0, (Recorded(1, unstorable),)),
            ]
        )

    assert len(await talk.log(good)) == len(await talk.log(bad)) == 1
    assert await talk.write(good, *deltas("still here"))


async def test_an_unstorable_append_does_not_fail_those_that_come_at_the_same_time(talk: Talk):
    runs = [await talk.playing(session=f"s{i}") for i in range(20)]
    bad = ItemDone("tool_output", tool_output("c", object()), "chat")

    results = await asyncio.gather(
        *(talk.write(run, bad if i % 5 == 0 else Delta("text", "x")) for i, run in enumerate(runs)),
        return_exceptions=True,
    )

    assert [isinstance(result, TypeError) for result in results] == [i % 5 == 0 for i in range(20)]
    assert [len(await talk.log(run)) for run in runs] == [1 if i % 5 == 0 else 2 for i in range(20)]


async def test_events_that_come_again_are_stored_once(talk: Talk, store: Store):
    run = await talk.playing()
    one, two = Recorded(1, Delta("text", "a")), Recorded(2, Delta("text", "b"))

    await store.events.append([Append(run.id, 0, (one,))])
    await store.events.append([Append(run.id, 0, (one, two))])

    assert (await talk.log(run))[1:] == [one, two]


async def test_an_illegal_change_of_status_is_refused(talk: Talk, store: Store):
    run = await talk.playing()

    with pytest.raises(ValueError, match="cannot become"):
        await talk.write(run, RunFailed("c", "m"), end=End(RunStatus.IN_PROGRESS, Usage()))
    assert len(await talk.log(run)) == 1


async def test_an_empty_batch_is_no_work(store: Store):
    assert await store.events.append([]) == frozenset()

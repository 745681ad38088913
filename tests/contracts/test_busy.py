"""``RunStore.begin`` in a busy conversation: what becomes of the run before, decided in one transaction."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from dragoman.domain.conversations import Branch
from dragoman.domain.events import (
    Delta,
    ItemDone,
    ModelAnswered,
    Recorded,
    RunCompleted,
    RunResumed,
    RunStarted,
    Steered,
)
from dragoman.domain.items import NewItem, assistant_message, text_of, tool_call, tool_output
from dragoman.domain.runs import OnBusy, Run, RunOptions, RunStatus, first_position
from dragoman.domain.story import story_of
from dragoman.domain.usage import Usage
from dragoman.ports.events import Append, End
from dragoman.ports.runs import IdempotencyKey
from tests.contracts.talk import SARAH, TOM, Store, Talk

ANSWERED = ModelAnswered("chat", "m", 0, 1, Usage(1, 2, 3, 5))


def on_busy(policy: OnBusy) -> RunOptions:
    return RunOptions(on_busy=policy)


def called(call_id: str) -> ItemDone:
    return ItemDone("tool_called", tool_call(call_id, "pay", "{}"), "chat")


def gave(call_id: str) -> ItemDone:
    return ItemDone("tool_output", tool_output(call_id, "paid"), "chat")


async def branches(store: Store) -> dict[str, Branch]:
    return {branch.id: branch for branch in (await store.sessions.branches(SARAH, "s", limit=100)).branches}


async def texts(store: Store, branch: str) -> list[str]:
    page = await store.sessions.page(SARAH, "s", limit=100, branch=branch)
    return [text_of(item.content) or item.kind for item in page.items]


async def asked(talk: Talk, store: Store, run: Run) -> str | None:
    return (await store.queue.renew(talk.claim(), [run.id]))[run.id]


@pytest.mark.parametrize("policy", ["interrupt", "steer", "rollback"])
async def test_where_nothing_is_before_it_a_message_simply_begins(talk: Talk, policy: OnBusy):
    await talk.answered("One")

    begun = await talk.begin("Two", options=on_busy(policy))

    assert begun.run.status is RunStatus.IN_PROGRESS
    assert (begun.disturbed, begun.run.supersedes) == (None, None)
    assert await talk.texts() == ["One", "Hi!", "Two"]


@pytest.mark.parametrize("policy", ["interrupt", "steer", "rollback"])
async def test_what_only_waits_is_not_disturbed(talk: Talk, store: Store, policy: OnBusy):
    waiting = await talk.queued("One")

    begun = await talk.begin("Two", options=on_busy(policy))

    assert (begun.disturbed, begun.run.status) == (None, RunStatus.QUEUED)
    assert (await store.runs.get(SARAH, waiting.id)).status is RunStatus.QUEUED


# interrupt -----------------------------------------------------------------------------------------------------------


async def test_interrupt_asks_the_run_before_to_stop_and_waits_for_it(talk: Talk, store: Store):
    first = await talk.playing("One")
    waiting = await talk.queued("Two")

    begun = await talk.begin("Three", options=on_busy("interrupt"))

    assert begun.disturbed is not None
    assert (begun.disturbed.id, begun.run.status) == (first.id, RunStatus.QUEUED)
    assert await asked(talk, store, first) == "interrupt"
    await talk.finish(first, "I was", RunStatus.CANCELLED)
    for expected in (waiting, begun.run):
        (run,) = await store.queue.claim(talk.claim(), 5)
        assert run.id == expected.id
        await talk.finish(run)
    assert await talk.texts() == ["One", "I was", "Two", "Hi!", "Three", "Hi!"]


async def test_interrupt_asks_for_no_less_than_was_asked_already(talk: Talk, store: Store):
    run = await talk.playing("One")

    await store.runs.cancel(SARAH, run.id, "after_turn")
    await talk.begin("Two", options=on_busy("interrupt"))
    assert await asked(talk, store, run) == "interrupt"
    await store.runs.cancel(SARAH, run.id, "now")
    await talk.begin("Three", options=on_busy("interrupt"))
    assert await asked(talk, store, run) == "now"


async def test_a_run_that_was_given_back_is_interrupted_when_it_is_taken_up(talk: Talk, store: Store):
    run = await talk.playing("One")
    await store.queue.release(talk.claim(), [run])

    begun = await talk.begin("Two", options=on_busy("interrupt"))

    assert begun.disturbed is not None
    assert begun.disturbed.status is RunStatus.QUEUED
    (again,) = await store.queue.claim(talk.claim(), 5)
    assert await asked(talk, store, again) == "interrupt"


async def test_interrupt_ends_a_run_that_waits_for_a_person(talk: Talk, store: Store):
    run = await talk.playing("One")
    await talk.finish(run, "May I?", RunStatus.REQUIRES_ACTION)

    begun = await talk.begin("Two", options=on_busy("interrupt"))

    assert begun.run.status is RunStatus.IN_PROGRESS
    assert begun.disturbed == await store.runs.get(SARAH, run.id)
    assert begun.disturbed.status is RunStatus.CANCELLED
    assert isinstance((await talk.log(run))[-1].event, RunCompleted)
    assert await talk.texts() == ["One", "May I?", "Two"]


async def test_a_repeated_request_interrupts_once(talk: Talk, store: Store):
    key = IdempotencyKey("k", "POST /chat/run", "digest")
    await talk.finish(await talk.playing("Zero"))
    run = talk.run("One", options=on_busy("interrupt"))
    begun = await talk.begin(run, key=key)

    again = await talk.begin("One", options=on_busy("interrupt"), key=key)

    assert (again.fresh, again.disturbed, again.run.id) == (False, None, begun.run.id)
    assert await asked(talk, store, begun.run) is None


# rollback ------------------------------------------------------------------------------------------------------------


async def test_rollback_undoes_the_turn_and_begins_where_it_began(talk: Talk, store: Store):
    await talk.answered("Zero", "0")
    first = await talk.playing("One")
    await talk.write(first, Delta("text", "Let me"), called("c1"), ANSWERED, gave("c1"), Delta("text", "It"))

    begun = await talk.begin("Two", options=on_busy("rollback"))

    undone = await store.runs.get(SARAH, first.id)
    assert begun.disturbed == undone
    assert (begun.run.supersedes, undone.superseded_by) == (first.id, begun.run.id)
    assert (undone.status, undone.usage) == (RunStatus.CANCELLED, ANSWERED.usage)
    assert begun.run == await store.runs.get(SARAH, begun.run.id)
    assert begun.run.status is RunStatus.IN_PROGRESS
    assert begun.run.base_item == first.base_item
    assert await talk.texts() == ["Zero", "0", "Two"]
    assert (await talk.log(begun.run))[0].event == RunStarted(
        begun.run.id, "chat", first.conversation_id, "s", supersedes=first.id
    )


async def test_what_was_undone_stays_on_a_branch_that_says_so(talk: Talk, store: Store):
    first = await talk.playing("One")
    await talk.write(first, called("c1"), called("c2"), ANSWERED, gave("c1"), Delta("text", "half a sen"))

    begun = await talk.begin("Two", options=on_busy("rollback"))

    undone = await store.runs.get(SARAH, first.id)
    found = await branches(store)
    assert {branch.superseded_by for branch in found.values()} == {None, begun.run.id}
    assert (found[undone.branch or ""].superseded_by, found[undone.branch or ""].current) == (begun.run.id, False)
    assert (begun.run.branch, found[begun.run.branch or ""].current) == (first.branch, True)
    expected = ["One", "function_call", "function_call", "function_call_output", "function_call_output"]
    assert await texts(store, undone.branch or "") == expected  # no call is without an output
    await talk.finish(begun.run)
    assert await talk.texts() == ["Two", "Hi!"]


async def test_the_log_of_what_was_undone_discards_what_was_not_finished_and_ends(talk: Talk, store: Store):
    first = await talk.playing("One")
    await talk.write(first, called("c1"), ANSWERED, Delta("text", "half"))

    await talk.begin("Two", options=on_busy("rollback"))

    *_, resumed, ended = await talk.log(first)
    assert resumed == Recorded(first_position(1), RunResumed(1, "superseded", discard_after=2))
    assert ended == Recorded(
        first_position(1) + 1, RunCompleted(RunStatus.CANCELLED, None, ANSWERED.usage, 1, session_id="s")
    )


async def test_whoever_played_what_was_undone_writes_no_more(talk: Talk, store: Store):
    first = await talk.playing("One")
    await talk.begin("Two", options=on_busy("rollback"))
    log = await talk.log(first)

    late = Recorded(1, Delta("text", "x"))
    end = End(RunStatus.COMPLETED, Usage(), (NewItem(assistant_message("late")),))
    for attempt in (0, 1):
        assert await store.events.append([Append(first.id, attempt, (late,), end)]) == {first.id}

    assert first.id not in await store.queue.renew(talk.claim(), [first.id])
    await store.queue.release(talk.claim(), [first])
    assert await talk.log(first) == log
    assert await talk.texts() == ["Two"]


async def test_a_run_that_was_given_back_can_be_undone(talk: Talk, store: Store):
    first = await talk.playing("One")
    await store.queue.release(talk.claim(), [first])

    begun = await talk.begin("Two", options=on_busy("rollback"))

    assert begun.run.status is RunStatus.IN_PROGRESS
    assert await store.queue.claim(talk.claim(), 5) == []
    assert await talk.texts() == ["Two"]


async def test_a_run_that_waits_for_a_person_can_be_undone(talk: Talk, store: Store):
    first = await talk.playing("One")
    done = ItemDone("message_output_created", assistant_message("May I?"), "chat")
    end = End(RunStatus.REQUIRES_ACTION, Usage(), (NewItem(done.item),))
    await talk.write(first, done, RunCompleted(RunStatus.REQUIRES_ACTION, None, Usage()), end=end)

    begun = await talk.begin("Two", options=on_busy("rollback"))

    undone = await store.runs.get(SARAH, first.id)
    assert await talk.texts() == ["Two"]
    assert await texts(store, undone.branch or "") == ["One", "May I?"]  # once
    assert begun.run.status is RunStatus.IN_PROGRESS


async def test_what_waits_between_is_answered_where_the_undone_turn_began(talk: Talk, store: Store):
    await talk.playing("One")
    between = await talk.queued("Two")

    begun = await talk.begin("Three", options=on_busy("rollback"))

    assert begun.run.status is RunStatus.QUEUED
    for expected in (between.id, begun.run.id):
        (run,) = await store.queue.claim(talk.claim(), 5)
        assert run.id == expected
        await talk.finish(run)
    assert await talk.texts() == ["Two", "Hi!", "Three", "Hi!"]


async def test_a_fork_of_the_turn_that_is_undone_keeps_what_it_had(talk: Talk, store: Store):
    await talk.playing("One")
    head = (await store.sessions.find(SARAH, "s")).head
    fork = await store.sessions.fork(SARAH, "s", head or "")

    begun = await talk.begin("Two", options=on_busy("rollback"))

    assert begun.run.branch == fork.id
    assert await texts(store, fork.id) == ["One", "Two"]
    assert len(await branches(store)) == 3


async def test_somebody_elses_run_in_a_conversation_of_that_name_goes_on(talk: Talk, store: Store):
    theirs = await talk.playing("One", principal=TOM)

    await talk.begin("Two", options=on_busy("rollback"))

    assert (await store.runs.get(TOM, theirs.id)).status is RunStatus.IN_PROGRESS


@pytest.mark.parametrize("policy", ["interrupt", "rollback"])
async def test_of_many_at_once_every_message_stays_to_be_seen(talk: Talk, store: Store, policy: OnBusy):
    first = await talk.playing("first")
    begun = await asyncio.gather(*(talk.begin(f"m{i}", options=on_busy(policy)) for i in range(20)))
    running = [run for run in [first, *(b.run for b in begun)] if run.status is RunStatus.IN_PROGRESS]
    while running:
        for run in running:
            if (await store.runs.get(SARAH, run.id)).status is RunStatus.IN_PROGRESS:
                await talk.finish(run)
        running = list(await store.queue.claim(talk.claim(), 50))

    seen = {text for id in await branches(store) for text in await texts(store, id)}
    assert seen == {"first", "Hi!", *(f"m{i}" for i in range(20))}
    runs = (await store.runs.list(SARAH, limit=100)).runs
    assert all(run.status.ended for run in runs)


# steer ---------------------------------------------------------------------------------------------------------------


async def absorbed(store: Store, run: Run, position: int = 1) -> list[str]:
    """The texts that a run takes."""
    steered = await store.events.absorb(run.id, run.attempt, position)
    assert steered is not None
    return [text_of(item) for item in steered.items]


async def test_steer_lets_the_run_before_look_and_waits(talk: Talk, store: Store):
    first = await talk.playing("One")

    begun = await talk.begin("Two", options=on_busy("steer"))

    assert begun.disturbed is not None
    assert (begun.disturbed.id, begun.run.status) == (first.id, RunStatus.QUEUED)
    assert await asked(talk, store, first) == "steer"
    assert await store.queue.claim(talk.claim(), 5) == []


async def test_a_run_takes_the_messages_that_steer_it(talk: Talk, store: Store):
    first = await talk.playing("One")
    messages = [(await talk.begin(text, options=on_busy("steer"))).run for text in ("Two", "Three")]

    assert await absorbed(store, first) == ["Two", "Three"]

    taken = [await store.runs.get(SARAH, run.id) for run in messages]
    assert [(run.status, run.steered_into) for run in taken] == [(RunStatus.COMPLETED, first.id)] * 2
    assert all(run.ended_at and not run.usage.requests for run in taken)
    ended = RunCompleted(RunStatus.COMPLETED, None, Usage(), session_id="s", steered_into=first.id)
    assert [await talk.log(run) for run in taken] == [[Recorded(0, ended)]] * 2
    steered = Steered([run.id for run in messages], [*messages[0].input, *messages[1].input])
    assert await talk.log(first) == [
        Recorded(0, RunStarted(first.id, "chat", first.conversation_id, "s")),
        Recorded(1, steered),
    ]
    assert await asked(talk, store, first) is None


async def test_what_a_run_has_taken_is_in_the_history_where_it_was_said(talk: Talk, store: Store):
    first = await talk.playing("One")
    await talk.begin("Two", options=on_busy("steer"))
    await talk.write(first, called("c1"), ANSWERED, gave("c1"))
    await absorbed(store, first, position=4)

    story = story_of(entry.event for entry in await talk.log(first))
    assert await talk.write(
        first,
        RunCompleted(RunStatus.CANCELLED, None, Usage()),
        end=End(RunStatus.CANCELLED, Usage(), story.told()),
    )

    page = await store.sessions.page(SARAH, "s", limit=10)
    assert [text_of(item.content) or item.kind for item in page.items] == [
        "One",
        "function_call",
        "function_call_output",
        "Two",
    ]


async def test_a_message_is_taken_once_also_when_the_answer_was_lost(talk: Talk, store: Store):
    first = await talk.playing("One")
    await talk.begin("Two", options=on_busy("steer"))
    taken = await store.events.absorb(first.id, 0, 1)
    await talk.begin("Three", options=on_busy("steer"))

    assert await store.events.absorb(first.id, 0, 1) == taken
    assert await absorbed(store, first, position=2) == ["Three"]
    assert await absorbed(store, first, position=3) == []
    assert [entry.event for entry in await talk.log(first)][3] == Steered()


async def test_whoever_lost_the_run_takes_nothing(talk: Talk, store: Store):
    first = await talk.playing("One")
    message = (await talk.begin("Two", options=on_busy("steer"))).run
    await store.queue.release(talk.claim(), [first])

    assert await store.events.absorb(first.id, 0, 1) is None
    (again,) = await store.queue.claim(talk.claim(), 5)
    assert await store.events.absorb(first.id, 0, 1) is None
    assert (await store.runs.get(SARAH, message.id)).status is RunStatus.QUEUED
    assert await asked(talk, store, again) == "steer"
    assert await absorbed(store, again, first_position(1) + 1) == ["Two"]
    await talk.finish(again)
    assert await store.events.absorb(first.id, 1, first_position(1) + 3) is None
    assert await store.events.absorb("run_unknown", 0, 1) is None


async def test_a_message_that_came_too_late_to_steer_has_its_turn(talk: Talk, store: Store):
    first = await talk.playing("One")
    message = (await talk.begin("Two", options=on_busy("steer"))).run
    await talk.finish(first)

    (run,) = await store.queue.claim(talk.claim(), 5)

    assert run.id == message.id
    await talk.finish(run)
    assert await talk.texts() == ["One", "Hi!", "Two", "Hi!"]


async def test_nothing_overtakes_what_waits_already(talk: Talk, store: Store):
    first = await talk.playing("One")
    await talk.begin("Two", options=on_busy("steer"))
    await talk.queued("Three")
    await talk.begin("Four", options=on_busy("steer"))

    assert await absorbed(store, first) == ["Two"]
    assert await absorbed(store, first, position=2) == []


async def test_a_message_does_not_overtake_one_that_was_cancelled_while_it_waited(talk: Talk, store: Store):
    first = await talk.playing("One")
    waiting = await talk.queued("Two")
    await talk.begin("Three", options=on_busy("steer"))
    await store.runs.cancel(SARAH, waiting.id, "now")

    assert await absorbed(store, first) == []


async def test_what_is_not_for_that_agent_or_that_place_has_its_own_turn(talk: Talk, store: Store):
    first = await talk.playing("One")
    output = (tool_output("c1", "4"),)
    others = [
        talk.run("to another agent", agent="other", options=on_busy("steer")),
        talk.run(input=output, options=on_busy("steer")),
        talk.run("whose caller waits for an answer", options=replace(on_busy("steer"), own_answer=True)),
        talk.run("elsewhere", options=replace(on_busy("steer"), from_item="start")),
    ]
    for position, other in enumerate(others, 1):
        begun = await talk.begin(other, claimed=False)
        assert await absorbed(store, first, position) == []
        await store.runs.delete(SARAH, begun.run.id)


async def test_a_message_to_a_run_that_waits_for_a_person_waits_as_well(talk: Talk, store: Store):
    first = await talk.playing("One")
    await talk.write(
        first, RunCompleted(RunStatus.REQUIRES_ACTION, None, Usage()), end=End(RunStatus.REQUIRES_ACTION, Usage())
    )

    begun = await talk.begin("Two", options=on_busy("steer"))

    assert begun.run.status is RunStatus.QUEUED
    assert (await store.runs.get(SARAH, first.id)).status is RunStatus.REQUIRES_ACTION
    assert await store.queue.claim(talk.claim(), 5) == []


async def test_a_message_does_not_keep_a_run_from_waiting_for_a_person(talk: Talk, store: Store):
    first = await talk.playing("One")
    await talk.begin("Two", options=on_busy("steer"))

    await talk.write(
        first, RunCompleted(RunStatus.REQUIRES_ACTION, None, Usage()), end=End(RunStatus.REQUIRES_ACTION, Usage())
    )

    assert (await store.runs.get(SARAH, first.id)).status is RunStatus.REQUIRES_ACTION


async def test_steer_asks_for_no_less_than_was_asked_already(talk: Talk, store: Store):
    run = await talk.playing("One")
    await store.runs.cancel(SARAH, run.id, "after_turn")

    await talk.begin("Two", options=on_busy("steer"))

    assert await asked(talk, store, run) == "after_turn"
    await absorbed(store, run)
    assert await asked(talk, store, run) == "after_turn"


async def test_rollback_undoes_what_a_turn_has_taken_with_it(talk: Talk, store: Store):
    first = await talk.playing("One")
    await talk.begin("Two", options=on_busy("steer"))
    await absorbed(store, first)

    await talk.begin("Three", options=on_busy("rollback"))

    undone = await store.runs.get(SARAH, first.id)
    assert await talk.texts() == ["Three"]
    assert await texts(store, undone.branch or "") == ["One", "Two"]


async def test_of_many_that_steer_at_once_each_is_taken_once_or_has_its_turn(talk: Talk, store: Store):
    first = await talk.playing("first")

    async def take(position: int) -> list[str]:
        return await absorbed(store, first, position)

    async def say(n: int) -> str | None:
        await talk.begin(f"m{n}", options=on_busy("steer"))
        return None

    done = await asyncio.gather(*(take(n) if n % 5 == 0 else say(n) for n in range(1, 26)))
    taken = [text for texts in done if texts for text in texts]
    await talk.finish(first)
    while runs := await store.queue.claim(talk.claim(), 5):
        for run in runs:
            taken.append(text_of(run.input[0]))
            await talk.finish(run)

    assert sorted(taken) == sorted(f"m{n}" for n in range(1, 26) if n % 5)


# cancelled while it waited -------------------------------------------------------------------------------------------


async def test_messages_cancelled_while_they_waited_stand_in_their_order(talk: Talk, store: Store):
    first = await talk.playing("One")
    waiting = [await talk.queued(text) for text in ("Two", "Three", "Four")]
    await store.runs.cancel(SARAH, waiting[2].id, "now")
    await store.runs.cancel(SARAH, waiting[0].id, "now")

    await talk.finish(first)
    assert await talk.texts() == ["One", "Hi!", "Two"]
    (third,) = await store.queue.claim(talk.claim(), 5)
    await talk.finish(third)

    assert await talk.texts() == ["One", "Hi!", "Two", "Three", "Hi!", "Four"]
    head = (await store.sessions.find(SARAH, "s")).head
    assert (await talk.playing("Five")).base_item == head


async def test_a_message_stays_behind_a_cancelled_one_when_its_clock_is_behind(talk: Talk, store: Store):
    first = await talk.playing("One")
    second = (await talk.begin(talk.run("Two", at=first.created_at + timedelta(hours=1)), claimed=False)).run
    await store.runs.cancel(SARAH, second.id, "now")
    third = await talk.queued("Three")

    await talk.finish(first)
    await talk.finish((await store.queue.claim(talk.claim(), 5))[0])

    assert third.created_at > second.created_at
    assert await talk.texts() == ["One", "Hi!", "Two", "Three", "Hi!"]


async def test_the_last_that_waits_takes_those_behind_it_along(talk: Talk, store: Store):
    waiting = [await talk.queued(text) for text in ("One", "Two")]

    await store.runs.cancel(SARAH, waiting[1].id, "now")
    assert await talk.texts() == []
    first = await store.runs.cancel(SARAH, waiting[0].id, "now")

    assert await talk.texts() == ["One", "Two"]
    second = await store.runs.get(SARAH, waiting[1].id)
    assert (first.base_item, second.base_item is not None) == (None, True)


async def test_what_was_cancelled_behind_an_undone_turn_stands_where_that_began(talk: Talk, store: Store):
    await talk.playing("One")
    waiting = await talk.queued("Two")
    await store.runs.cancel(SARAH, waiting.id, "now")

    await talk.begin("Three", options=on_busy("rollback"))

    assert await talk.texts() == ["Two", "Three"]


async def test_where_a_cancelled_message_is_still_to_enter_nothing_else_begins(talk: Talk, store: Store):
    await talk.answered("One", "1")
    head = (await store.sessions.find(SARAH, "s")).head or ""
    await store.sessions.fork(SARAH, "s", "start")
    await talk.playing("Elsewhere")
    waiting = (await talk.begin("Two", claimed=False, options=RunOptions(from_item=head))).run
    await store.runs.cancel(SARAH, waiting.id, "now")

    begun = await talk.begin("Three", options=RunOptions(from_item=head))

    assert begun.run.branch != waiting.branch


# ahead ---------------------------------------------------------------------------------------------------------------


async def test_ahead_are_those_before_it_in_its_conversation(talk: Talk, store: Store):
    await talk.queued(session="other")
    await talk.playing("One")
    waiting = [await talk.queued(text) for text in ("Two", "Three")]

    assert [await store.runs.ahead(run) for run in waiting] == [1, 2]
    await store.runs.cancel(SARAH, waiting[0].id, "now")
    assert await store.runs.ahead(waiting[1]) == 1


async def test_ahead_of_what_is_first_in_its_conversation_are_those_queued_before_it(talk: Talk, store: Store):
    await talk.playing(session="busy")
    runs = [await talk.queued(session=session) for session in ("a", "b", None)]

    assert [await store.runs.ahead(run) for run in runs] == [0, 1, 2]

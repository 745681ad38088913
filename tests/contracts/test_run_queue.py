"""``RunQueue``: of any number of players one gets a run, in the order of each conversation."""

import asyncio
from datetime import UTC, datetime, timedelta

from dragoman.domain.events import Delta, ItemDone, ModelFailed, Progress, Recorded, RunResumed, RunStarted
from dragoman.domain.identity import Principal
from dragoman.domain.items import text_of, tool_output
from dragoman.domain.runs import RunStatus, first_position
from dragoman.ports.events import Append
from tests.contracts.talk import SARAH, TOM, Store, Talk


async def test_runs_are_claimed_oldest_first(talk: Talk, store: Store):
    queued = [await talk.queued(session=None) for _ in range(5)]

    first = await store.queue.claim(talk.claim(), 3)
    rest = await store.queue.claim(talk.claim(), 3)

    assert [run.id for run in first] == [run.id for run in queued[:3]]
    assert [run.id for run in rest] == [run.id for run in queued[3:]]
    assert await store.queue.claim(talk.claim(), 3) == []


async def test_age_decides_and_then_the_id_whatever_the_order_of_arrival(talk: Talk, store: Store):
    now = datetime.now(UTC)
    young = talk.run(session=None, at=now)
    old, twin = sorted(
        (talk.run(session=None, at=now - timedelta(seconds=1)) for _ in range(2)), key=lambda run: run.id
    )
    for run in (young, twin, old):
        await talk.begin(run, claimed=False)

    claimed = [(await store.queue.claim(talk.claim(), 1))[0].id for _ in range(3)]

    assert claimed == [old.id, twin.id, young.id]


async def test_a_claimed_run_is_in_progress_with_its_input_in_the_conversation_and_its_log_begun(
    talk: Talk, store: Store
):
    await talk.answered("One", "Two")
    head = (await store.sessions.page(SARAH, "s", limit=1)).conversation.head
    queued = await talk.queued("Three")

    (run,) = await store.queue.claim(talk.claim(), 10)

    assert (run.id, run.status, run.base_item) == (queued.id, RunStatus.IN_PROGRESS, head)
    assert run == await store.runs.get(SARAH, run.id)
    assert await talk.texts() == ["One", "Two", "Three"]
    assert [entry.event for entry in await talk.log(run)] == [RunStarted(run.id, "chat", run.conversation_id, "s")]


async def test_of_one_conversation_only_the_first_run_is_claimed(talk: Talk, store: Store):
    one = await talk.queued("One")
    two = await talk.queued("Two")
    elsewhere = await talk.queued("Three", session="other")

    claimed = await store.queue.claim(talk.claim(), 10)

    assert [run.id for run in claimed] == [one.id, elsewhere.id]
    assert await store.queue.claim(talk.claim(), 10) == []
    await talk.finish(claimed[0])
    assert [run.id for run in await store.queue.claim(talk.claim(), 10)] == [two.id]


async def test_messages_of_a_conversation_are_answered_in_order(talk: Talk, store: Store):
    for text in ("One", "Two", "Three"):
        await talk.queued(text)
    for answer in ("1", "2", "3"):
        (run,) = await store.queue.claim(talk.claim(), 10)
        history = await store.sessions.history(SARAH, run.base_item, 50)
        assert len(history) == 2 * (int(answer) - 1)
        await talk.finish(run, answer)

    assert await talk.texts() == ["One", "1", "Two", "2", "Three", "3"]


async def test_a_run_that_waits_for_a_person_holds_its_conversation(talk: Talk, store: Store):
    run = await talk.playing("One")
    await talk.queued("Two")
    await talk.finish(run, "May I?", RunStatus.REQUIRES_ACTION)

    assert await store.queue.claim(talk.claim(), 10) == []
    assert await store.queue.abandoned(talk.claim("somebody else")) == []  # nobody plays it, so nobody can be gone
    await store.runs.cancel(SARAH, run.id, "now")
    assert len(await store.queue.claim(talk.claim(), 10)) == 1


async def test_conversations_of_two_owners_with_one_name_do_not_wait_for_each_other(talk: Talk, store: Store):
    await talk.queued("One", principal=SARAH)
    await talk.queued("Two", principal=TOM)

    assert len(await store.queue.claim(talk.claim(), 10)) == 2


async def test_of_many_players_one_gets_a_run(talk: Talk, store: Store):
    queued = [await talk.queued(session=f"s{i % 10}") for i in range(30)]

    claimed = await asyncio.gather(*(store.queue.claim(talk.claim(f"player {i}"), 3) for i in range(12)))

    ids = [run.id for runs in claimed for run in runs]
    assert len(ids) == len(set(ids)) == 10
    assert set(ids) == {run.id for run in queued[:10]}


async def test_a_run_whose_claim_is_over_is_abandoned(talk: Talk, store: Store):
    mine = (await talk.begin("mine", session=None)).run
    theirs = (await store.runs.begin(talk.run("theirs"), claim=talk.claim("gone", -1))).run
    done = (await store.runs.begin(talk.run("done", session=None), claim=talk.claim("gone", -1))).run
    await talk.finish(done)
    await talk.queued(session=None)

    assert [run.id for run in await store.queue.abandoned(talk.claim("player"))] == [theirs.id]
    assert theirs.id in {run.id for run in await store.queue.abandoned(talk.claim("gone"))}, "even by its own player"
    assert mine.id not in {run.id for run in await store.queue.abandoned(talk.claim("player"))}


async def test_an_abandoned_run_is_complete(talk: Talk, store: Store):
    run = (await store.runs.begin(talk.run("Hello", context={"plan": "pro"}), claim=talk.claim("gone", -1))).run

    assert list(await store.queue.abandoned(talk.claim("new"))) == [run]
    assert text_of(run.input[0]) == "Hello"


async def test_a_renewed_claim_is_not_over(talk: Talk, store: Store):
    kept, left = [
        (await store.runs.begin(talk.run(session=None), claim=talk.claim("player", -1))).run for _ in range(2)
    ]

    assert await store.queue.renew(talk.claim("player"), [kept.id]) == {kept.id: None}

    assert [run.id for run in await store.queue.abandoned(talk.claim("player"))] == [left.id]


async def test_only_its_player_renews_a_claim(talk: Talk, store: Store):
    theirs = (await store.runs.begin(talk.run(), claim=talk.claim("other", -1))).run
    done = await talk.answered(session=None)

    assert await store.queue.renew(talk.claim("player"), [theirs.id, done.id, "run_unknown"]) == {}
    assert await store.queue.renew(talk.claim("player"), []) == {}

    assert [run.id for run in await store.queue.abandoned(talk.claim("player"))] == [theirs.id]
    assert (await store.runs.get(SARAH, done.id)).status is RunStatus.COMPLETED


async def test_renewing_tells_which_runs_are_still_held_and_which_were_asked_to_stop(talk: Talk, store: Store):
    asked, hurried, unasked = [await talk.playing(session=None) for _ in range(3)]
    await store.runs.cancel(SARAH, asked.id, "after_turn")
    await store.runs.cancel(SARAH, hurried.id, "after_turn")
    await store.runs.cancel(SARAH, hurried.id, "now")

    told = await store.queue.renew(talk.claim(), [asked.id, hurried.id, unasked.id])

    assert told == {asked.id: "after_turn", hurried.id: "now", unasked.id: None}


async def test_a_later_message_stays_later_when_its_clock_is_behind(talk: Talk, store: Store):
    first = await talk.playing("One")
    hour = timedelta(hours=1)
    await talk.begin(talk.run("Two", at=first.created_at + hour), claimed=False)
    begun = await talk.begin(talk.run("Three", at=first.created_at - hour), claimed=False)
    await talk.finish(first)

    assert begun.run == await store.runs.get(SARAH, begun.run.id)
    for text in ("Two", "Three"):
        (run,) = await store.queue.claim(talk.claim(), 10)
        assert text_of(run.input[0]) == text
        await talk.finish(run)


async def test_waiting_counts_queued_runs(talk: Talk, store: Store):
    await talk.playing(session="a")
    run = await talk.queued(session="b")
    await talk.queued(session="b")
    assert await store.queue.waiting() == 2

    await store.runs.cancel(SARAH, run.id, "now")
    assert await store.queue.waiting() == 1
    await store.queue.claim(talk.claim(), 10)
    assert await store.queue.waiting() == 0


# taken up again ------------------------------------------------------------------------------------------------------


async def test_a_released_run_is_claimed_for_its_next_attempt_and_its_input_is_not_said_twice(talk: Talk, store: Store):
    run = await talk.playing()
    before = await talk.texts()
    await store.queue.release(talk.claim(), [run])
    (again,) = await store.queue.claim(talk.claim("other"), 5)
    assert (again.id, again.attempt, again.status) == (run.id, run.attempt + 1, RunStatus.IN_PROGRESS)
    assert again.base_item == run.base_item
    assert await talk.texts() == before
    log = await talk.log(run)
    assert isinstance(log[-1].event, RunResumed)
    assert log[-1].position == first_position(1)
    assert log[-1].event.discard_after == 0, "nothing but the start was finished"


async def test_what_was_shown_but_not_finished_is_discarded(talk: Talk, store: Store):
    run = await talk.playing()
    done = Recorded(3, ItemDone("tool_output", tool_output("c", "1"), "chat"))
    events = (Recorded(1, Delta("text", "Hel")), Recorded(2, Progress("tool", "started")), done)
    await store.events.append(
        [Append(run.id, 0, (*events, Recorded(4, Delta("text", "lo")), Recorded(5, ModelFailed("chat", 0, ()))))]
    )
    await store.queue.release(talk.claim(), [run])
    await store.queue.claim(talk.claim("other"), 5)
    assert (await talk.log(run))[-1].event.discard_after == 3


async def test_of_two_who_release_a_run_one_succeeds(talk: Talk, store: Store):
    run = await talk.playing()
    await store.queue.release(talk.claim(), [run])
    await store.queue.release(talk.claim(), [run])
    (again,) = await store.queue.claim(talk.claim("other"), 5)
    assert again.attempt == 1
    await store.queue.release(talk.claim("other"), [run])  # somebody who has not heard of it
    assert await store.queue.claim(talk.claim("third"), 5) == []


async def test_a_player_whose_run_was_released_writes_no_more(talk: Talk, store: Store):
    run = await talk.playing()
    await store.queue.release(talk.claim(), [run])
    assert await store.events.append([Append(run.id, 0, (Recorded(1, Delta("text", "x")),))]) == {run.id}


async def test_a_released_run_keeps_its_place_in_its_conversation(talk: Talk, store: Store):
    first = await talk.playing()
    second = await talk.queued("And?")
    await store.queue.release(talk.claim(), [first])
    (again,) = await store.queue.claim(talk.claim("other"), 5)
    assert again.id == first.id
    assert second.status is RunStatus.QUEUED


async def test_a_released_run_is_still_asked_to_stop(talk: Talk, store: Store):
    before, after = [await talk.playing(session=None) for _ in range(2)]
    await store.runs.cancel(SARAH, before.id, "now")
    await store.queue.release(talk.claim(), [before, after])
    assert (await store.runs.cancel(SARAH, after.id, "after_turn")).status is RunStatus.QUEUED

    again = await store.queue.claim(talk.claim("other"), 5)

    assert await store.queue.renew(talk.claim("other"), [run.id for run in again]) == {
        before.id: "now",
        after.id: "after_turn",
    }


async def test_what_a_released_run_was_asked_stays_said_once_when_it_is_cancelled(talk: Talk, store: Store):
    run = await talk.playing("One")
    await store.queue.release(talk.claim(), [run])
    await store.runs.cancel(SARAH, run.id, "now")
    await store.queue.claim(talk.claim("other"), 5)

    assert await talk.texts() == ["One"]


async def test_a_tenant_with_a_thousand_queued_runs_does_not_starve_another(talk: Talk, store: Store):
    for i in range(40):
        await talk.queued(session=None, principal=Principal(f"u{i}", "busy"))
    one = await talk.queued(session=None, principal=Principal("sarah", "quiet"))

    first = await store.queue.claim(talk.claim(), 2)
    second = await store.queue.claim(talk.claim(), 8)

    assert [run.tenant for run in first] == ["busy", "quiet"]
    assert one.id in {run.id for run in first}
    assert [run.tenant for run in second] == ["busy"] * 8, "places are not kept free for nobody"


async def test_whoever_plays_the_least_is_next(talk: Talk, store: Store):
    for _ in range(6):
        await talk.queued(session=None, principal=Principal("a", "a"))
    assert len(await store.queue.claim(talk.claim(), 4)) == 4
    for _ in range(6):
        await talk.queued(session=None, principal=Principal("b", "b"))

    assert [run.tenant for run in await store.queue.claim(talk.claim(), 3)] == ["b"] * 3
    assert sorted(run.tenant for run in await store.queue.claim(talk.claim(), 3)) == ["a", "b", "b"]


async def test_places_that_a_tenant_cannot_use_go_to_others(talk: Talk, store: Store):
    for _ in range(5):
        await talk.queued(session="one", principal=Principal("a", "a"))  # they wait for each other
    for _ in range(5):
        await talk.queued(session=None, principal=Principal("b", "b"))

    claimed = await store.queue.claim(talk.claim(), 6)

    assert sorted(run.tenant for run in claimed) == ["a", *["b"] * 5]

"""``RunStore``: what is accepted is kept, once, and belongs to its owner."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from dragoman.domain.conversations import search_for
from dragoman.domain.errors import ConversationBusy, IdempotencyMismatch, NotFound, RunEnded, TooManyRuns
from dragoman.domain.events import RunCompleted, RunStarted
from dragoman.domain.ids import conversation_id
from dragoman.domain.items import message
from dragoman.domain.limits import Subject
from dragoman.domain.memory import Memory
from dragoman.domain.runs import ModelChoices, OutputFormat, Run, RunOptions, RunStatus, first_position
from dragoman.domain.tools import DeclaredTool
from dragoman.domain.usage import Usage
from dragoman.ports.events import End
from dragoman.ports.runs import IdempotencyKey
from tests.contracts.talk import ELSEWHERE, SARAH, TOM, Store, Talk

KEY = IdempotencyKey("k-1", "POST /chat/run", "digest")


async def test_a_run_is_read_as_it_was_begun(talk: Talk, store: Store):
    options = RunOptions(
        model="m",
        max_turns=3,
        on_disconnect="cancel",
        history=Memory(7, 8, 9, True),
        metadata={"a": [1, None]},
        instructions="Be brief.",
        tools=(DeclaredTool("light", parameters={"type": "object"}, strict=True),),
        output=OutputFormat({"type": "object"}),
        choices=ModelChoices(temperature=0.5, tool_choice="none"),
        echo={"store": True},
    )
    run = talk.run("Grüße 🌍", options=options, context={"plan": "pro", "n": 1.5}, trace="00-1-2-01")

    begun = await talk.begin(run, claimed=False)

    assert begun.fresh
    assert begun.run == replace(run, branch=begun.run.branch)
    assert await store.runs.get(SARAH, run.id) == begun.run


async def test_with_a_claim_a_run_is_in_progress_at_once_and_its_log_has_begun(talk: Talk, store: Store):
    run = await talk.playing("Hello")

    assert await store.runs.get(SARAH, run.id) == run
    assert await talk.texts() == ["Hello"]
    (first,) = await talk.log(run)
    assert first.position == first_position(0)
    assert first.event == RunStarted(run.id, "chat", run.conversation_id, "s")


async def test_base_item_is_the_head_before_the_runs_own_input(talk: Talk, store: Store):
    first = await talk.answered("One", "Two")
    head = (await store.sessions.page(SARAH, "s", limit=10)).conversation.head

    second = await talk.playing("Three")

    assert first.base_item is None
    assert second.base_item == head


async def test_a_session_is_one_conversation_whoever_runs_in_it(talk: Talk):
    first = await talk.answered("One")
    second = await talk.answered("Two", agent="assistant")

    assert second.conversation_id == first.conversation_id
    assert await talk.texts() == ["One", "Hi!", "Two", "Hi!"]


async def test_the_name_of_a_session_belongs_to_its_owner(talk: Talk):
    runs = [await talk.answered(f"by {p.tenant}/{p.user}", principal=p) for p in (SARAH, TOM, ELSEWHERE)]

    assert len({run.conversation_id for run in runs}) == 3
    assert await talk.texts(principal=TOM) == ["by default/tom", "Hi!"]
    assert await talk.texts(principal=ELSEWHERE) == ["by elsewhere/sarah", "Hi!"]


async def test_a_stateless_run_has_no_conversation(talk: Talk, store: Store):
    one, other = await talk.playing(session=None), await talk.playing(session=None)

    assert one.conversation_id is None
    assert other.conversation_id is None
    await talk.finish(one)
    assert (await store.runs.get(SARAH, one.id)).status is RunStatus.COMPLETED


async def test_behind_an_unfinished_run_a_claim_is_not_taken(talk: Talk, store: Store):
    first = await talk.playing("One")
    second = await talk.begin("Two")

    assert second.fresh
    assert second.run.status is RunStatus.QUEUED
    assert await talk.texts() == ["One"]  # what waits is not in the conversation yet
    await talk.finish(first)
    assert [run.id for run in await store.queue.claim(talk.claim(), 10)] == [second.run.id]


async def test_behind_a_queued_run_a_claim_is_not_taken_either(talk: Talk):
    await talk.queued("One")

    assert (await talk.begin("Two")).run.status is RunStatus.QUEUED


async def test_behind_a_run_that_waits_for_a_person_a_claim_is_not_taken(talk: Talk):
    run = await talk.playing("One")
    await talk.finish(run, "May I?", RunStatus.REQUIRES_ACTION)

    assert (await talk.begin("Two")).run.status is RunStatus.QUEUED


async def test_on_busy_reject_stores_nothing(talk: Talk, store: Store):
    await talk.playing("One")
    second = talk.run("Two", options=RunOptions(on_busy="reject"))

    with pytest.raises(ConversationBusy):
        await talk.begin(second, key=KEY)

    with pytest.raises(NotFound):
        await store.runs.get(SARAH, second.id)
    assert await store.queue.waiting() == 0
    third = talk.run("Three", options=RunOptions())
    assert (await talk.begin(third, key=KEY)).fresh  # the key was not used up


async def test_on_busy_reject_is_no_obstacle_in_an_idle_conversation(talk: Talk):
    await talk.answered("One")

    assert await talk.playing("Two", options=RunOptions(on_busy="reject"))


async def test_of_fifty_simultaneous_runs_in_one_conversation_exactly_one_is_claimed(talk: Talk, store: Store):
    begun = await asyncio.gather(*(talk.begin(f"message {i}") for i in range(50)))

    statuses = [b.run.status for b in begun]
    assert statuses.count(RunStatus.IN_PROGRESS) == 1
    assert statuses.count(RunStatus.QUEUED) == 49
    assert len({b.run.conversation_id for b in begun}) == 1
    assert await store.queue.waiting() == 49


async def test_the_same_idempotency_key_gives_the_same_run(talk: Talk, store: Store):
    first = await talk.begin("One", key=KEY)
    again = await talk.begin("One", key=KEY)

    assert (first.fresh, again.fresh) == (True, False)
    assert again.run == first.run
    assert await talk.texts() == ["One"]
    await talk.finish(first.run)
    assert (await talk.begin("One", key=KEY)).run.status is RunStatus.COMPLETED


async def test_the_same_idempotency_key_with_another_body_is_refused(talk: Talk):
    await talk.begin("One", key=KEY)

    with pytest.raises(IdempotencyMismatch):
        await talk.begin("Two", key=replace(KEY, digest="another"))
    assert await talk.texts() == ["One"]


async def test_an_idempotency_key_is_known_per_caller_and_route(talk: Talk):
    await talk.begin("One", key=KEY)

    assert (await talk.begin("One", key=KEY, principal=TOM)).fresh
    assert (await talk.begin("One", key=KEY, principal=ELSEWHERE)).fresh
    assert (await talk.begin("One", key=replace(KEY, route="POST /chat/stream"))).fresh


async def test_an_idempotency_key_is_forgotten_after_a_day(talk: Talk):
    first = talk.run("One")
    await talk.begin(first, key=KEY)
    hour = timedelta(hours=1)

    within = await talk.begin(talk.run("One", at=first.created_at + 23 * hour), key=KEY)
    later = await talk.begin(talk.run("Two", at=first.created_at + 24 * hour), key=replace(KEY, digest="another"))
    again = await talk.begin(talk.run("Two", at=first.created_at + 25 * hour), key=replace(KEY, digest="another"))

    assert (within.fresh, later.fresh, again.fresh) == (False, True, False)
    assert again.run.id == later.run.id


async def test_of_simultaneous_requests_with_one_idempotency_key_one_begins(talk: Talk, store: Store):
    begun = await asyncio.gather(*(talk.begin("One", key=KEY) for _ in range(20)))

    assert [b.fresh for b in begun].count(True) == 1
    assert len({b.run.id for b in begun}) == 1
    assert len((await store.runs.list(SARAH)).runs) == 1


@pytest.mark.parametrize("stranger", [TOM, ELSEWHERE])
async def test_somebody_elses_run_looks_like_none(talk: Talk, store: Store, stranger):
    run = await talk.playing("Secret")

    with pytest.raises(NotFound) as theirs:
        await store.runs.get(stranger, run.id)
    with pytest.raises(NotFound):
        await store.runs.cancel(stranger, run.id, "now")
    with pytest.raises(NotFound) as nobodys:
        await store.runs.get(stranger, "run_none")
    assert (await store.runs.list(stranger)).runs == ()
    assert str(theirs.value).replace(run.id, "run_none") == str(nobodys.value)


async def test_runs_are_listed_newest_first_in_pages(talk: Talk, store: Store):
    ids = sorted([(await talk.queued(f"{i}", session=f"s{i}")).id for i in range(7)], reverse=True)

    seen: list[str] = []
    after = None
    for expected in (3, 3, 1):
        page = await store.runs.list(SARAH, after=after, limit=3)
        assert len(page.runs) == expected
        seen += [run.id for run in page.runs]
        after = page.next
    assert after is None
    assert seen == ids


async def test_a_page_that_takes_all_has_no_next(talk: Talk, store: Store):
    await talk.queued()

    assert (await store.runs.list(SARAH, limit=1)).next is None


async def test_a_stateless_run_is_never_listed(talk: Talk, store: Store):
    await talk.queued(session=None)

    assert (await store.runs.list(SARAH)).runs == ()


async def test_runs_are_listed_by_status_agent_and_conversation(talk: Talk, store: Store):
    done = await talk.answered("One", session="a")
    waiting = await talk.queued("Two", session="b")
    other = replace(talk.run("Three", session="c"), agent="assistant")
    await talk.begin(other, claimed=False)

    async def ids(**where):
        return {run.id for run in (await store.runs.list(SARAH, **where)).runs}

    assert await ids(status=RunStatus.QUEUED) == {waiting.id, other.id}
    assert await ids(status=RunStatus.QUEUED, agent="assistant") == {other.id}
    assert await ids(conversation_id=done.conversation_id) == {done.id}


async def test_cancelling_a_queued_run_ends_it_and_keeps_its_message(talk: Talk, store: Store):
    going = await talk.playing("One")
    waiting = (await talk.begin("Two")).run

    cancelled = await store.runs.cancel(SARAH, waiting.id, "after_turn")

    assert cancelled.status is RunStatus.CANCELLED
    assert cancelled == await store.runs.get(SARAH, waiting.id)
    (last,) = await talk.log(waiting)
    assert last.position == first_position(0)
    assert last.event == RunCompleted(RunStatus.CANCELLED, None, Usage(), session_id="s")
    assert await talk.texts() == ["One"]
    await talk.finish(going)
    assert await talk.texts() == ["One", "Hi!", "Two"]  # behind the turn in which it was cancelled
    assert await store.queue.claim(talk.claim(), 10) == []


async def test_cancelling_a_run_that_waits_to_be_taken_up_again_keeps_its_message_once(talk: Talk, store: Store):
    run = await talk.playing("One")
    await store.queue.release(talk.claim(), [run])

    marked = await store.runs.cancel(SARAH, run.id, "now")

    assert (marked.status, marked.base_item) == (RunStatus.QUEUED, None), (
        "its next player ends it, with what it has said"
    )
    (again,) = await store.queue.claim(talk.claim(), 1)
    assert await store.queue.renew(talk.claim(), [again.id]) == {again.id: "now"}
    assert await talk.texts() == ["One"]


async def test_cancelling_a_stateless_queued_run_ends_it(talk: Talk, store: Store):
    run = await talk.queued(session=None)

    assert (await store.runs.cancel(SARAH, run.id, "now")).status is RunStatus.CANCELLED


async def test_cancelling_a_run_in_progress_leaves_it_to_its_player(talk: Talk, store: Store):
    run = await talk.playing()

    assert (await store.runs.cancel(SARAH, run.id, "now")).status is RunStatus.IN_PROGRESS
    await talk.finish(run, status=RunStatus.CANCELLED)
    assert (await store.runs.get(SARAH, run.id)).status is RunStatus.CANCELLED


async def test_cancelling_a_run_that_waits_for_a_person_ends_it(talk: Talk, store: Store):
    run = await talk.playing("One")
    waiting = End(RunStatus.REQUIRES_ACTION, Usage())
    await talk.write(run, RunCompleted(RunStatus.REQUIRES_ACTION, None, Usage()), end=waiting)

    assert (await store.runs.cancel(SARAH, run.id, "now")).status is RunStatus.CANCELLED

    statuses = [entry.event.status for entry in await talk.log(run) if isinstance(entry.event, RunCompleted)]
    assert statuses == [RunStatus.REQUIRES_ACTION, RunStatus.CANCELLED]
    assert await talk.texts() == ["One"]
    assert await talk.playing("Two")


async def test_an_ended_run_cannot_be_cancelled(talk: Talk, store: Store):
    run = await talk.answered()

    with pytest.raises(RunEnded):
        await store.runs.cancel(SARAH, run.id, "now")


async def test_several_input_items_enter_the_conversation_in_order(talk: Talk):
    await talk.playing(input=(message("system", "Be brief."), message("user", "Hello")))

    assert await talk.texts() == ["Be brief.", "Hello"]


async def test_a_conversation_may_begin_without_a_name(talk: Talk, store: Store):
    one, two = [await talk.answered(session=None, conversation_id=conversation_id()) for _ in range(2)]

    assert one.conversation_id != two.conversation_id
    assert (one.session_id, two.session_id) == (None, None)
    assert await talk.texts(one.conversation_id) == ["Hello", "Hi!"]
    again = await talk.answered(session=one.conversation_id)
    assert again.conversation_id == one.conversation_id


HIDDEN = RunOptions(hidden=True)


async def test_a_hidden_conversation_is_gone_on_with_but_never_listed(talk: Talk, store: Store):
    first = await talk.answered(session=None, conversation_id=conversation_id(), options=HIDDEN)
    await talk.answered(session=first.conversation_id)
    seen = await talk.answered()

    assert await talk.texts(first.conversation_id) == ["Hello", "Hi!"] * 2
    assert (await store.sessions.find(SARAH, first.conversation_id)).status == "hidden"
    for search in (None, search_for("hello")):
        page = await store.sessions.list(SARAH, search=search)
        assert [conversation.id for conversation in page.conversations] == [seen.conversation_id]
    assert not (await store.sessions.list(SARAH, status="inactive")).conversations


async def test_a_deleted_run_is_gone_with_its_log_and_what_it_said_stays(talk: Talk, store: Store):
    run = await talk.answered()

    for stranger in (TOM, ELSEWHERE):
        with pytest.raises(NotFound):
            await store.runs.delete(stranger, run.id)
    assert (await store.runs.delete(SARAH, run.id)).id == run.id

    assert await talk.log(run) == []
    for again in (store.runs.get, store.runs.delete):
        with pytest.raises(NotFound):
            await again(SARAH, run.id)
    assert await talk.texts() == ["Hello", "Hi!"]


async def test_whoever_plays_a_run_that_is_deleted_must_stop(talk: Talk, store: Store):
    run = await talk.playing()
    await store.runs.delete(SARAH, run.id)

    assert not await talk.write(run, RunCompleted(RunStatus.COMPLETED, None, Usage()))
    assert await talk.playing("Next")


async def test_a_hidden_conversation_goes_with_its_last_run(talk: Talk, store: Store):
    first = await talk.answered(session=None, conversation_id=conversation_id(), options=HIDDEN)
    second = await talk.answered(session=first.conversation_id)

    await store.runs.delete(SARAH, first.id)
    assert await talk.texts(first.conversation_id) == ["Hello", "Hi!"] * 2
    await store.runs.delete(SARAH, second.id)
    with pytest.raises(NotFound):
        await store.sessions.find(SARAH, first.conversation_id)


async def test_the_end_of_a_run_is_the_last_item_it_added(talk: Talk, store: Store):
    first = await talk.answered("One")
    second = await talk.answered("Two")
    items = (await store.sessions.page(SARAH, first.conversation_id, limit=10)).items

    assert await store.sessions.end_of(SARAH, first) == items[1].id
    assert await store.sessions.end_of(SARAH, second) == items[3].id
    assert await store.sessions.end_of(SARAH, await talk.queued("Three")) is None
    assert await store.sessions.end_of(TOM, first) is None
    assert await store.sessions.end_of(SARAH, await talk.answered(session=None)) is None


@pytest.mark.parametrize("kind", ["tenant", "user", "key"])
async def test_of_simultaneous_requests_only_as_many_begin_as_may_be_under_way(kind: str, talk: Talk, store: Store):
    subject = Subject("default", kind, {"tenant": "", "user": "sarah", "key": "key_1"}[kind])

    async def begin() -> Run | None:
        try:
            run = talk.run(session=None, key="key_1")
            return (await store.runs.begin(run, claim=talk.claim(), at_most={subject: 3})).run
        except TooManyRuns:
            return None

    begun = [run for run in await asyncio.gather(*(begin() for _ in range(12))) if run]
    assert len(begun) == 3
    await talk.finish(begun[0])
    assert await begin()
    assert await begin() is None


async def test_others_and_what_waits_for_a_person_do_not_count_as_under_way(talk: Talk, store: Store):
    subject = Subject("default", "user", "sarah")
    waiting = await talk.playing("May I?")
    await talk.finish(waiting, status=RunStatus.REQUIRES_ACTION)
    await talk.playing(principal=TOM)
    await talk.playing(principal=ELSEWHERE)

    begun = await store.runs.begin(talk.run(session="a"), claim=talk.claim(), at_most={subject: 1})

    assert begun.fresh
    with pytest.raises(TooManyRuns):
        await store.runs.begin(talk.run(session="b"), claim=talk.claim(), at_most={subject: 1})
    with pytest.raises(NotFound):
        await store.sessions.find(SARAH, "b")


async def test_a_repeated_request_finds_its_run_however_many_are_under_way(talk: Talk, store: Store):
    subject, key = Subject("default", "user", "sarah"), IdempotencyKey("k", "POST /x", "d")
    first = await store.runs.begin(talk.run(), claim=None, idempotency=key, at_most={subject: 1})
    again = await store.runs.begin(talk.run(), claim=None, idempotency=key, at_most={subject: 1})
    assert (again.run.id, again.fresh) == (first.run.id, False)

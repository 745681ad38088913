"""``SessionStore``: bounded history, pages, and a deletion that leaves nothing."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from dragoman.domain.conversations import Change, Conversation
from dragoman.domain.errors import Invalid, NotFound
from dragoman.domain.events import AgentUpdated, Delta, RunFailed
from dragoman.domain.items import message, text_of
from dragoman.domain.runs import RunStatus
from dragoman.ports.runs import IdempotencyKey
from tests.contracts.talk import ELSEWHERE, SARAH, TOM, Store, Talk


async def conversation_of(talk: Talk, turns: int) -> list[str]:
    for i in range(turns):
        await talk.answered(f"q{i}", f"a{i}")
    return [text for i in range(turns) for text in (f"q{i}", f"a{i}")]


async def test_history_is_the_branch_up_to_an_item_oldest_first(talk: Talk, store: Store):
    texts = await conversation_of(talk, 4)
    items = (await store.sessions.page(SARAH, "s", limit=100)).items

    for i, item in enumerate(items):
        for limit in (0, 1, 3, 100):
            history = await store.sessions.history(SARAH, item.id, limit)
            expected = texts[: i + 1][-limit:] if limit else []
            assert [text_of(each.content) for each in history] == expected


async def test_history_of_nothing_is_empty(store: Store):
    assert list(await store.sessions.history(SARAH, None, 10)) == []
    assert list(await store.sessions.history(SARAH, "item_none", 10)) == []


async def test_items_know_their_place_their_run_and_their_time(talk: Talk, store: Store):
    run = await talk.answered("Hello", "Hi!")
    one, two = (await store.sessions.page(SARAH, "s", limit=10)).items

    assert (one.parent, two.parent) == (None, one.id)
    assert (one.role, two.role, one.kind) == ("user", "assistant", "message")
    assert one.run_id == two.run_id == run.id
    assert one.conversation_id == run.conversation_id
    assert one.content == message("user", "Hello")
    assert one.created_at.tzinfo is not None
    assert one.created_at <= two.created_at


async def test_a_conversation_is_titled_by_its_first_words(talk: Talk, store: Store):
    await talk.answered("What   is\nthe weather " + "x" * 200)
    conversation = (await store.sessions.page(SARAH, "s", limit=1)).conversation

    assert conversation.title.startswith("What is the weather xxx")
    assert len(conversation.title) == 80
    assert (conversation.key, conversation.agent, conversation.owner) == ("s", "chat", "sarah")


async def test_pages_lead_from_the_newest_item_to_the_oldest(talk: Talk, store: Store):
    texts = await conversation_of(talk, 5)

    read: list[str] = []
    before = None
    for expected, more in ((4, True), (4, True), (2, False)):
        page = await store.sessions.page(SARAH, "s", limit=4, before=before)
        assert (len(page.items), page.has_more) == (expected, more)
        read[:0] = [text_of(item.content) for item in page.items]
        before = page.items[0].id
    assert read == texts
    assert (await store.sessions.page(SARAH, "s", limit=4, before=before)).items == ()


async def test_a_page_before_an_unknown_item_is_refused(talk: Talk, store: Store):
    await talk.answered()
    other = await talk.answered(session="other")
    foreign = (await store.sessions.page(SARAH, "other", limit=1)).items[0]
    assert other.conversation_id

    for before in ("item_none", foreign.id):
        with pytest.raises(Invalid) as refused:
            await store.sessions.page(SARAH, "s", limit=4, before=before)
        assert refused.value.field == "before"


async def test_a_conversation_whose_first_run_still_waits_is_empty(talk: Talk, store: Store):
    await talk.queued("Hello")

    page = await store.sessions.page(SARAH, "s", limit=4)
    assert (page.items, page.has_more, page.conversation.head) == ((), False, None)


@pytest.mark.parametrize("stranger", [TOM, ELSEWHERE])
async def test_somebody_elses_conversation_looks_like_none(talk: Talk, store: Store, stranger):
    await talk.answered("Secret")
    item = (await store.sessions.page(SARAH, "s", limit=1)).items[0]

    assert list(await store.sessions.history(stranger, item.id, 10)) == []
    with pytest.raises(NotFound):
        await store.sessions.page(stranger, "s", limit=10)
    with pytest.raises(NotFound):
        await store.sessions.delete(stranger, "s")
    assert await talk.texts() == ["Secret", "Hi!"]


async def test_a_deleted_conversation_is_gone_with_everything_in_it(talk: Talk, store: Store):
    ended = await talk.answered("One")
    item = (await store.sessions.page(SARAH, "s", limit=1)).items[0]
    going = await talk.playing("Two")
    waiting = (await talk.begin("Three")).run

    unfinished = await store.sessions.delete(SARAH, "s")

    assert sorted(unfinished) == sorted([going.id, waiting.id])
    for run in (ended, going, waiting):
        with pytest.raises(NotFound):
            await store.runs.get(SARAH, run.id)
        assert await talk.log(run) == []
    assert list(await store.sessions.history(SARAH, item.id, 10)) == []
    assert await store.queue.waiting() == 0
    assert await store.queue.abandoned(talk.claim("anyone")) == []
    with pytest.raises(NotFound):
        await store.sessions.page(SARAH, "s", limit=1)
    with pytest.raises(NotFound):
        await store.sessions.delete(SARAH, "s")


async def test_the_players_of_a_deleted_conversation_are_fenced_off(talk: Talk, store: Store):
    run = await talk.playing()
    await store.sessions.delete(SARAH, "s")

    assert not await talk.write(run, Delta("text", "anybody there?"))
    assert not await talk.write(run, RunFailed("c", "m"))


async def test_the_name_of_a_deleted_conversation_may_be_used_again(talk: Talk, store: Store):
    key = IdempotencyKey("k", "r", "d")
    first = (await talk.begin("One", key=key)).run
    await store.sessions.delete(SARAH, "s")

    second = await talk.begin("Two", key=key)  # the key has gone with its run

    assert second.fresh
    assert second.run.conversation_id != first.conversation_id
    assert second.run.status is RunStatus.IN_PROGRESS
    assert await talk.texts() == ["Two"]


async def test_deleting_leaves_other_conversations_alone(talk: Talk, store: Store):
    await talk.answered("mine")
    await talk.answered("other", session="other")
    await talk.answered("toms", principal=TOM)

    await store.sessions.delete(SARAH, "s")

    assert await talk.texts("other") == ["other", "Hi!"]
    assert await talk.texts(principal=TOM) == ["toms", "Hi!"]


async def test_a_conversation_that_is_used_and_deleted_at_once_stays_whole(talk: Talk, store: Store):
    async def use(i: int) -> None:
        begun = await talk.begin(f"q{i}", session="busy")
        if begun.run.status is RunStatus.IN_PROGRESS:
            await talk.write(begun.run, RunFailed("c", "m"))

    async def remove() -> None:
        with contextlib.suppress(NotFound):
            await store.sessions.delete(SARAH, "busy")

    await asyncio.gather(*(use(i) if i % 4 else remove() for i in range(60)))

    try:
        page = await store.sessions.page(SARAH, "busy", limit=100)
    except NotFound:
        return
    assert all(item.conversation_id == page.conversation.id for item in page.items)
    runs = (await store.runs.list(SARAH, limit=100)).runs
    assert {run.conversation_id for run in runs} <= {page.conversation.id}


async def test_whoever_spoke_last_on_the_current_branch_is_known_to_the_owner(talk: Talk, store: Store):
    first = await talk.answered("Hello", "Hi!", agent="general")
    await talk.answered("My back hurts", "Sit straight.", agent="health")
    empty = await talk.answered(session="t", agent="chat")
    id = first.conversation_id

    assert await store.sessions.speakers(SARAH, [id, empty.conversation_id, "conv_none"]) == {
        id: "health",
        empty.conversation_id: "chat",
    }
    answer = (await store.sessions.page(SARAH, "s", limit=10)).items[1]
    await store.sessions.fork(SARAH, "s", answer.id)
    assert await store.sessions.speakers(SARAH, [id]) == {id: "general"}
    for other in (TOM, ELSEWHERE):
        assert await store.sessions.speakers(other, [id]) == {}
    assert await store.sessions.speakers(SARAH, []) == {}


async def test_whoever_took_over_in_the_last_run_is_who_spoke_last(talk: Talk, store: Store):
    run = await talk.playing(agent="triage")
    await talk.write(run, AgentUpdated("General", "general", "triage"), AgentUpdated("Health", "health", "general"))
    await talk.finish(run)
    assert run.conversation_id is not None
    assert await store.sessions.speakers(SARAH, [run.conversation_id]) == {run.conversation_id: "health"}


async def test_conversations_in_which_nothing_was_said_for_a_while_are_put_away(talk: Talk, store: Store):
    for name in ("a", "b", "c"):
        await talk.answered(session=name)
    await talk.answered(session="d", principal=TOM)
    between = datetime.now(UTC)
    await talk.answered(session="b", at=between + timedelta(seconds=1))

    assert [await store.sessions.put_away(between, 2) for _ in range(3)] == [2, 1, 0]
    status = [(await store.sessions.find(SARAH, name)).status for name in ("a", "b", "c")]
    assert status == ["inactive", "active", "inactive"]
    await talk.answered(session="a", at=between + timedelta(seconds=2))
    assert (await store.sessions.find(SARAH, "a")).status == "active"


async def test_a_message_and_the_clearing_away_of_its_conversation_come_one_after_the_other(talk: Talk, store: Store):
    await talk.answered()
    before = datetime.now(UTC) + timedelta(seconds=5)
    for round in range(10):
        run = talk.run(at=before + timedelta(seconds=round + 1))
        await asyncio.gather(store.sessions.put_away(before, 10), store.runs.begin(run, claim=talk.claim()))
        assert (await store.sessions.find(SARAH, "s")).status == "active"
        await talk.finish(run)


async def test_old_conversations_are_removed_with_everything_but_none_with_an_unfinished_run(talk: Talk, store: Store):
    old = await talk.answered(session="old")
    waiting = await talk.playing(session="waiting")
    await talk.finish(waiting, "May I?", RunStatus.REQUIRES_ACTION)
    await store.sessions.change(SARAH, "old", Change(status="inactive"))
    between = datetime.now(UTC)
    await talk.answered(session="young")

    assert [await store.sessions.remove_old(between, 5) for _ in range(2)] == [1, 0]
    left = (await store.sessions.list(SARAH)).conversations
    assert {conversation.key for conversation in left} == {"waiting", "young"}
    with pytest.raises(NotFound):
        await store.runs.get(SARAH, old.id)
    assert await talk.log(old) == []


async def test_of_two_who_clear_away_at_once_each_conversation_meets_one(talk: Talk, store: Store):
    for i in range(12):
        await talk.answered(session=f"s{i}")
    before = datetime.now(UTC) + timedelta(seconds=5)

    async def all_of(step) -> int:
        done = 0
        while count := await step(before, 2):
            done += count
        return done

    assert sum(await asyncio.gather(*(all_of(store.sessions.put_away) for _ in range(4)))) == 12
    assert sum(await asyncio.gather(*(all_of(store.sessions.remove_old) for _ in range(4)))) == 12


async def test_a_conversation_that_is_held_is_neither_put_away_nor_removed(talk: Talk, store: Store):
    now = datetime.now(UTC)
    held = Conversation("conv_h", "default", "sarah", "h", "chat", "branch_h", None, now, now, now, hold=True)
    await store.sessions.create(held)
    await talk.answered(session="free")
    later = now + timedelta(days=1)

    assert await store.sessions.put_away(later, 10) == 1
    assert await store.sessions.remove_old(later, 10) == 1
    assert (await store.sessions.find(SARAH, "h")).status == "active"

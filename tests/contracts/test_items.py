"""``SessionStore``: items that an owner reads one by one, adds and takes out."""

import pytest

from dragoman.domain.conversations import START, Change, search_for
from dragoman.domain.errors import ConversationBusy, Invalid, NotFound
from dragoman.domain.items import NewItem, assistant_message, message, text_of, tool_call, tool_output
from tests.contracts.talk import ELSEWHERE, SARAH, TOM, Store, Talk


def said(*texts: str) -> list[NewItem]:
    return [NewItem(message("user", text)) for text in texts]


async def items_of(store: Store, name: str = "s", branch: str | None = None):
    return (await store.sessions.page(SARAH, name, limit=1000, branch=branch)).items


def texts(items) -> list[str]:
    return [text_of(item.content) for item in items]


# Forward ---------------------------------------------------------------------------------------------------------------


async def test_pages_lead_from_the_oldest_item_to_the_newest(talk: Talk, store: Store):
    for i in range(5):
        await talk.answered(f"q{i}", f"a{i}")

    read: list[str] = []
    after = START
    for expected, more in ((4, True), (4, True), (2, False)):
        page = await store.sessions.page(SARAH, "s", limit=4, after=after)
        assert (len(page.items), page.has_more) == (expected, more)
        read += texts(page.items)
        after = page.items[-1].id
    assert read == [text for i in range(5) for text in (f"q{i}", f"a{i}")]
    last = await store.sessions.page(SARAH, "s", limit=4, after=after)
    assert (last.items, last.has_more) == ((), False)


async def test_forward_it_is_the_branch_that_is_read(talk: Talk, store: Store):
    await talk.answered("one", "two")
    first = (await items_of(store))[0]
    other = await store.sessions.fork(SARAH, "s", first.id)
    await store.sessions.add(SARAH, "s", said("three"))
    page = await store.sessions.page(SARAH, "s", limit=10, after=START)
    assert texts(page.items) == ["one", "three"]
    page = await store.sessions.page(SARAH, "s", limit=10, after=first.id, branch=other.id)
    assert texts(page.items) == ["three"]


async def test_forward_from_an_item_that_is_not_on_the_branch_is_refused(talk: Talk, store: Store):
    await talk.answered("one", "two")
    await talk.answered("x", session="other")
    one, two = await items_of(store)
    (foreign, _) = await items_of(store, "other")
    await store.sessions.fork(SARAH, "s", one.id)
    for after in ("item_none", foreign.id, two.id):
        with pytest.raises(Invalid) as refused:
            await store.sessions.page(SARAH, "s", limit=10, after=after)
        assert refused.value.field == "after"


async def test_forward_in_an_empty_conversation_there_is_nothing(talk: Talk, store: Store):
    await talk.answered("one", "two")
    await store.sessions.fork(SARAH, "s", START)
    assert (await store.sessions.page(SARAH, "s", limit=10, after=START)).items == ()


# One -------------------------------------------------------------------------------------------------------------------


async def test_an_item_is_read_by_its_id_on_whichever_branch(talk: Talk, store: Store):
    await talk.answered("one", "two")
    one, two = await items_of(store)
    await store.sessions.fork(SARAH, "s", one.id)
    assert await store.sessions.item(SARAH, "s", two.id) == two


@pytest.mark.parametrize("principal", [TOM, ELSEWHERE])
async def test_somebody_elses_item_looks_like_none(talk: Talk, store: Store, principal):
    run = await talk.answered("one", "two")
    await talk.answered("mine", session="s", principal=principal)
    one, _ = await items_of(store)
    for name in ("s", run.conversation_id):
        with pytest.raises(NotFound):
            await store.sessions.item(principal, name, one.id)
        with pytest.raises(NotFound):
            await store.sessions.remove(principal, name, one.id)
    with pytest.raises(NotFound):
        await store.sessions.add(principal, run.conversation_id, said("intruder"))
    assert texts(await items_of(store)) == ["one", "two"]


async def test_an_item_of_another_conversation_is_not_in_this_one(talk: Talk, store: Store):
    await talk.answered("one", "two")
    await talk.answered("three", session="other")
    (foreign, _) = await items_of(store, "other")
    for verb in (store.sessions.item, store.sessions.remove):
        with pytest.raises(NotFound):
            await verb(SARAH, "s", foreign.id)


# Adding ----------------------------------------------------------------------------------------------------------------


async def test_what_is_added_goes_on_where_the_conversation_stands(talk: Talk, store: Store):
    await talk.answered("one", "two")
    call, output = tool_call("call_1", "weather", "{}"), tool_output("call_1", "Snow")
    given = [*said("three"), NewItem(call), NewItem(output), NewItem(assistant_message("four"), "incomplete")]
    added = await store.sessions.add(SARAH, "s", given)

    items = await items_of(store)
    assert list(items[2:]) == list(added)
    assert [item.parent for item in items[1:]] == [item.id for item in items[:-1]]
    assert [item.content for item in added] == [new.content for new in given]
    assert [item.run_id for item in added] == [None] * 4
    assert added[-1].status == "incomplete"
    await talk.answered("five", "six")
    assert texts(await items_of(store))[-3:] == ["four", "five", "six"]


async def test_what_is_added_titles_a_conversation_is_found_and_wakes_it(talk: Talk, store: Store):
    await talk.answered("Rivers", "two")
    await store.sessions.change(SARAH, "s", Change(status="inactive"))
    await store.sessions.add(SARAH, "s", said("Lakes of Finland"))
    await store.sessions.fork(SARAH, "s", START)
    conversation = await store.sessions.find(SARAH, "s")
    assert (conversation.title, conversation.status) == ("Rivers", "active")
    found = await store.sessions.list(SARAH, search=search_for("finland"))
    assert [each.id for each in found.conversations] == [conversation.id]


async def test_nothing_is_added_or_taken_out_under_a_run(talk: Talk, store: Store):
    run = await talk.playing("one")
    (one,) = await items_of(store)
    with pytest.raises(ConversationBusy):
        await store.sessions.add(SARAH, "s", said("two"))
    with pytest.raises(ConversationBusy):
        await store.sessions.remove(SARAH, "s", one.id)
    await talk.finish(run)
    await store.sessions.add(SARAH, "s", said("two"))
    assert texts(await items_of(store)) == ["one", "Hi!", "two"]


# Taking out ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", range(4))
async def test_what_is_taken_out_leaves_no_gap(talk: Talk, store: Store, place):
    await talk.answered("0", "1")
    await talk.answered("2", "3")
    items = await items_of(store)
    conversation = await store.sessions.remove(SARAH, "s", items[place].id)

    rest, remaining = await items_of(store), [text for i, text in enumerate("0123") if i != place]
    assert texts(rest) == remaining
    assert [item.parent for item in rest] == [None, *(item.id for item in rest[:-1])]
    assert conversation.head == rest[-1].id
    with pytest.raises(NotFound):
        await store.sessions.item(SARAH, "s", items[place].id)
    await talk.answered("4", "5")
    assert texts(await items_of(store)) == [*remaining, "4", "5"]


async def test_every_branch_that_held_it_goes_on_without_it(talk: Talk, store: Store):
    await talk.answered("one", "two")
    one, _ = await items_of(store)
    first = (await store.sessions.find(SARAH, "s")).branch
    second = await store.sessions.fork(SARAH, "s", one.id)
    await store.sessions.add(SARAH, "s", said("three"))
    third = await store.sessions.fork(SARAH, "s", one.id)

    await store.sessions.remove(SARAH, "s", one.id)
    assert [texts(await items_of(store, branch=branch)) for branch in (first, second.id, third.id)] == [
        ["two"],
        ["three"],
        [],
    ]


async def test_the_only_item_can_be_taken_out_and_talk_goes_on(talk: Talk, store: Store):
    await talk.answered("one", "two")
    for item in reversed(await items_of(store)):
        await store.sessions.remove(SARAH, "s", item.id)
    assert await items_of(store) == ()
    assert (await store.sessions.find(SARAH, "s")).head is None
    await talk.answered("three", "four")
    assert texts(await items_of(store)) == ["three", "four"]


async def test_what_is_taken_out_is_not_found_any_more(talk: Talk, store: Store):
    await talk.answered("elephant", "two")
    await store.sessions.change(SARAH, "s", Change(title="Animals"))
    (one, _) = await items_of(store)
    await store.sessions.remove(SARAH, "s", one.id)
    assert (await store.sessions.list(SARAH, search=search_for("elephant"))).conversations == ()


async def test_a_provider_that_keeps_the_conversation_too_is_not_trusted_with_what_was_taken_out(
    talk: Talk, store: Store
):
    run = await talk.playing("one")
    await store.provider_conversations.begin(run, "theirs")
    await talk.finish(run, "two")
    one, _ = await items_of(store)
    await store.sessions.remove(SARAH, "s", one.id)
    again = await talk.playing("three")
    assert await store.provider_conversations.resume(again) is None

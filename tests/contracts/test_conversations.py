"""``SessionStore``: conversations as their owner lists, finds and arranges them."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dragoman.domain.conversations import Change, Conversation, search_for
from dragoman.domain.errors import Invalid, NameTaken, NotFound
from dragoman.domain.ids import branch_id, conversation_id
from tests.contracts.talk import ELSEWHERE, SARAH, TOM, Store, Talk


def conversation(key: str | None = None, **fields: object) -> Conversation:
    now = datetime.now(UTC)
    given = {
        "id": conversation_id(),
        "tenant": "default",
        "owner": "sarah",
        "agent": "",
        "branch": branch_id(),
        **fields,
    }
    return Conversation(key=key, head=None, created_at=now, updated_at=now, last_message_at=now, **given)


async def found(store: Store, query: str, principal=SARAH) -> list[str | None]:
    page = await store.sessions.list(principal, search=search_for(query))
    return [each.key for each in page.conversations]


# Creating and naming


async def test_a_conversation_is_read_as_it_was_created(store: Store):
    given = conversation(
        "s", title="Rivers", tags=("a", "b"), metadata={"n": [1, None]}, status="inactive", agent="chat"
    )

    assert await store.sessions.create(given) == given
    for name in (given.id, "s"):
        assert await store.sessions.find(SARAH, name) == given
    assert (await store.sessions.page(SARAH, given.id, limit=5)).items == ()


async def test_a_name_is_taken_once_per_owner(store: Store):
    await store.sessions.create(conversation("s"))

    with pytest.raises(NameTaken):
        await store.sessions.create(conversation("s"))
    await store.sessions.create(conversation("s", owner="tom"))
    await store.sessions.create(conversation("s", tenant="elsewhere"))
    for _ in range(2):
        await store.sessions.create(conversation(None))  # without a name there may be many


@pytest.mark.parametrize("by_id", [True, False])
async def test_a_run_finds_a_conversation_by_its_name_and_by_its_id(talk: Talk, store: Store, by_id):
    created = await store.sessions.create(conversation("s" if not by_id else None))

    run = await talk.answered("Hello there", session=created.id if by_id else "s")

    assert (run.conversation_id, run.session_id, run.branch) == (created.id, created.key, created.branch)
    now = await store.sessions.find(SARAH, created.id)
    assert (now.title, now.agent, now.branch) == ("Hello there", "chat", created.branch)
    assert await talk.texts(created.id) == ["Hello there", "Hi!"]


@pytest.mark.parametrize("stranger", [TOM, ELSEWHERE])
async def test_a_run_by_the_id_of_nobodys_or_somebody_elses_conversation_is_refused(talk: Talk, store: Store, stranger):
    created = await store.sessions.create(conversation())

    for name in (created.id, conversation_id()):
        with pytest.raises(NotFound):
            await talk.begin(session=name, principal=stranger)
    assert (await store.runs.list(stranger)).runs == ()
    assert (await store.sessions.list(stranger)).conversations == ()


# Changing


async def test_what_is_changed_is_changed_and_the_rest_stays(talk: Talk, store: Store):
    await talk.answered("Hello")
    before = await store.sessions.find(SARAH, "s")

    changed = await store.sessions.change(SARAH, "s", Change(title="Greetings", tags=("x", "y")))
    changed = await store.sessions.change(SARAH, changed.id, Change(metadata={"a": 1}, status="inactive"))

    assert changed == await store.sessions.find(SARAH, "s")
    expected = replace(before, title="Greetings", tags=("x", "y"), metadata={"a": 1}, status="inactive")
    assert changed == replace(expected, updated_at=changed.updated_at)
    assert changed.updated_at >= before.updated_at


async def test_a_title_that_was_given_stays_whatever_is_said_later(talk: Talk, store: Store):
    await talk.answered("Hello")
    await store.sessions.change(SARAH, "s", Change(title="Mine"))
    await talk.answered("Something else")

    assert (await store.sessions.find(SARAH, "s")).title == "Mine"


async def test_a_message_makes_an_inactive_conversation_active_again(talk: Talk, store: Store):
    await talk.answered("Hello")
    await store.sessions.change(SARAH, "s", Change(status="inactive"))
    await talk.answered("Still there?")

    assert (await store.sessions.find(SARAH, "s")).status == "active"


# Listing


async def test_conversations_are_listed_by_their_last_message_in_pages(talk: Talk, store: Store):
    for name in "abcde":
        await talk.answered(session=name)
    await talk.answered(session="b")

    seen: list[str | None] = []
    after = None
    for expected in (2, 2, 1):
        page = await store.sessions.list(SARAH, after=after, limit=2)
        assert len(page.conversations) == expected
        seen += [each.key for each in page.conversations]
        after = page.next
    assert after is None
    assert seen == ["b", "e", "d", "c", "a"]


async def test_of_conversations_of_the_same_moment_none_is_lost_between_pages(store: Store):
    at = datetime.now(UTC)
    all_of_them = [await store.sessions.create(replace(conversation(), last_message_at=at)) for _ in range(5)]

    seen: list[str] = []
    after = None
    while len(seen) < 5:
        page = await store.sessions.list(SARAH, after=after, limit=2)
        seen += [each.id for each in page.conversations]
        after = page.next
    assert after is None
    assert seen == sorted((each.id for each in all_of_them), reverse=True)


async def test_a_page_ends_where_it_ended_even_if_that_conversation_is_gone(talk: Talk, store: Store):
    for name in "abc":
        await talk.answered(session=name)
    first = await store.sessions.list(SARAH, limit=2)
    await store.sessions.delete(SARAH, "b")

    rest = await store.sessions.list(SARAH, after=first.next)

    assert [each.key for each in rest.conversations] == ["a"]


SOME_ID = "conv_01m7x19szb7v281cb2rdg8zc56"


@pytest.mark.parametrize("after", ["", "x", "conv_1", "1-conv_1", f"-1-{SOME_ID}", f"{'9' * 30}-{SOME_ID}"])
async def test_a_cursor_that_is_none_is_refused(store: Store, after):
    with pytest.raises(Invalid) as refused:
        await store.sessions.list(SARAH, after=after)
    assert refused.value.field == "after"


async def test_conversations_are_listed_by_status_agent_and_tag(talk: Talk, store: Store):
    await store.sessions.create(conversation("a", tags=("home", "work")))
    await store.sessions.create(conversation("b", tags=("homework", "Work", "100%")))
    await store.sessions.create(conversation("c", status="inactive", agent="chat"))

    async def keys(**where: object) -> set[str | None]:
        return {each.key for each in (await store.sessions.list(SARAH, **where)).conversations}

    assert await keys(status="active") == {"a", "b"}
    assert await keys(agent="chat") == {"c"}
    assert await keys(tag="work") == {"a"}
    assert await keys(tag="home") == {"a"}
    assert await keys(tag="100%") == {"b"}
    assert await keys(tag="%") == set()
    assert await keys(tag="home", status="inactive") == set()


@pytest.mark.parametrize("stranger", [TOM, ELSEWHERE])
async def test_nobody_sees_somebody_elses_conversations(talk: Talk, store: Store, stranger):
    run = await talk.answered("Secret rivers")
    head = (await store.sessions.find(SARAH, "s")).head
    assert head

    assert (await store.sessions.list(stranger)).conversations == ()
    assert await found(store, "secret", stranger) == []
    for name in ("s", run.conversation_id):
        for ask in (
            store.sessions.find(stranger, name),
            store.sessions.change(stranger, name, Change(title="Mine")),
            store.sessions.fork(stranger, name, head),
            store.sessions.branches(stranger, name),
            store.sessions.compare(stranger, name, None, run.branch, limit=5),
        ):
            with pytest.raises(NotFound):
                await ask
    assert (await store.sessions.find(SARAH, "s")).title == "Secret rivers"


# Searching


async def test_a_search_finds_messages_of_both_sides_and_titles_that_were_given(talk: Talk, store: Store):
    await talk.answered("Tell me about rivers", "The Nile is long.", session="a")
    await talk.answered("And mountains?", "Everest is high.", session="b")
    await store.sessions.change(SARAH, "b", Change(title="The great outdoors"))

    assert await found(store, "rivers") == ["a"]
    assert await found(store, "NILE long") == ["a"]
    assert await found(store, "outdoors") == ["b"]
    assert await found(store, "is") == ["b", "a"]
    assert await found(store, "rivers nile") == []  # not in one message


async def test_the_last_word_may_be_unfinished(talk: Talk, store: Store):
    await talk.answered("Tell me about rivers")

    assert await found(store, "about riv") == ["s"]
    assert await found(store, "riv about") == []
    assert await found(store, "about riv ") == []


async def test_words_are_found_however_they_are_written(talk: Talk, store: Store):
    await talk.answered("Grüße aus CAFÉ-Straße, user_name@example.org! 日本語 don't 3.14")

    for query in ("grüße", "cafe\u0301", "STRASSE", "example.org", "user name", "日本", "don't", "3.14", "(grüße)"):
        assert await found(store, query) == ["s"], query


@pytest.mark.parametrize(
    "query",
    [
        '"',
        "'",
        'hello" OR "x',
        "hello'); --",
        "NOT hello",
        "hello AND NEAR(",
        "-hello",
        "col:x",
        "a:*",
        "\\",
        "&|!<->",
        "* ^",
        "\0",
    ],
)
async def test_quotes_and_operators_do_no_harm(talk: Talk, store: Store, query):
    await talk.answered("hello")
    search = search_for(query)

    if not search.empty:
        assert (await store.sessions.list(SARAH, search=search)).conversations in (
            (),
            (await store.sessions.find(SARAH, "s"),),
        )


async def test_a_title_is_found_as_it_is_now(talk: Talk, store: Store):
    await talk.answered("Hello")
    await store.sessions.change(SARAH, "s", Change(title="Rivers"))
    await store.sessions.change(SARAH, "s", Change(title="Mountains"))

    assert await found(store, "rivers") == []
    assert await found(store, "mountains") == ["s"]
    await store.sessions.change(SARAH, "s", Change(title="???"))
    assert await found(store, "mountains") == []


async def test_what_was_deleted_is_not_found(talk: Talk, store: Store):
    await talk.answered("rivers", session="a")
    await talk.answered("rivers", session="b")
    await store.sessions.delete(SARAH, "a")

    assert await found(store, "rivers") == ["b"]


async def test_a_search_goes_with_every_filter_and_in_pages(talk: Talk, store: Store):
    for name in "abc":
        await talk.answered("rivers", session=name)
    await store.sessions.change(SARAH, "b", Change(tags=("x",), status="inactive"))
    search = search_for("rivers")

    page = await store.sessions.list(SARAH, search=search, limit=2)
    rest = await store.sessions.list(SARAH, search=search, limit=2, after=page.next)
    tagged = await store.sessions.list(SARAH, search=search, tag="x", status="inactive")

    assert [each.key for each in (*page.conversations, *rest.conversations)] == ["c", "b", "a"]
    assert [each.key for each in tagged.conversations] == ["b"]


async def test_a_message_longer_than_an_index_may_hold_is_stored_and_found(talk: Talk, store: Store):
    text = " ".join(f"word{i}" for i in range(60_000)) + " " + "x" * 100_000
    await talk.answered(text)

    assert await found(store, "word1234") == ["s"]
    assert (await talk.texts())[0] == text


async def test_what_is_said_and_arranged_at_once_stays_whole(talk: Talk, store: Store):
    await talk.answered("One")
    head = (await store.sessions.find(SARAH, "s")).head
    assert head

    await asyncio.gather(
        *(store.sessions.fork(SARAH, "s", head) for _ in range(10)),
        *(store.sessions.change(SARAH, "s", Change(title=f"Title {i}")) for i in range(10)),
        *(talk.begin(f"m{i}", at=datetime.now(UTC) + timedelta(seconds=i)) for i in range(10)),
    )

    assert len((await store.sessions.branches(SARAH, "s", limit=100)).branches) == 11
    title = (await store.sessions.find(SARAH, "s")).title
    assert await found(store, title) == ["s"]

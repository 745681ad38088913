"""The verbs of conversations over a store in memory: what they check before the store is asked."""

import pytest

from dragoman.adapters.memory import MemoryStore
from dragoman.adapters.system import SystemClock
from dragoman.application.conversations import Conversations
from dragoman.application.log import LiveLog
from dragoman.domain.conversations import Change
from dragoman.domain.errors import Invalid, NotFound, SessionsDisabled
from dragoman.domain.identity import Principal
from dragoman.ports.signals import Alone

SARAH = Principal("sarah")


def verbs(*, enabled: bool = True) -> Conversations:
    store = MemoryStore()
    return Conversations(store.sessions, LiveLog(store.events), Alone(), SystemClock(), enabled)


async def test_what_no_database_could_store_is_made_storable_where_it_enters():
    conversations = verbs()
    created = await conversations.create(SARAH, title="a\0b", metadata={"k\0": ["\ud800"]}, tags=["t\0"])

    assert created.title == "a\N{REPLACEMENT CHARACTER}b"
    assert created.tags == ("t\N{REPLACEMENT CHARACTER}",)
    assert created.metadata == {"k\N{REPLACEMENT CHARACTER}": ["\N{REPLACEMENT CHARACTER}"]}
    changed = await conversations.change(SARAH, created.id, Change(title="\0", metadata={"\0": 1}))
    assert (changed.title, *changed.metadata) == ("\N{REPLACEMENT CHARACTER}",) * 2


async def test_a_search_without_a_word_finds_nothing_and_no_search_finds_all():
    conversations = verbs()
    await conversations.create(SARAH, title="Rivers")

    assert len((await conversations.list(SARAH)).conversations) == 1
    assert len((await conversations.list(SARAH, query="riv")).conversations) == 1
    for query in ("", " ", '"*"', "_"):
        assert (await conversations.list(SARAH, query=query)).conversations == ()


async def test_a_name_must_not_look_like_an_id():
    conversations = verbs()
    created = await conversations.create(SARAH)

    with pytest.raises(Invalid):
        await conversations.create(SARAH, session_id=created.id)
    with pytest.raises(NotFound):
        await conversations.get(Principal("tom"), created.id)


async def test_without_sessions_every_verb_says_so():
    with pytest.raises(SessionsDisabled):
        await verbs(enabled=False).create(SARAH)

"""Titles, tags, places in a list, and the words by which a conversation is found."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.domain.conversations import (
    MAX_TERMS,
    MAX_WORD,
    MAX_WORDS,
    Conversation,
    Search,
    bookmark,
    checked_tags,
    checked_title,
    findable,
    place_of,
    preview_of,
    search_for,
    title_from,
    words_of,
)
from dragoman.domain.errors import Invalid
from dragoman.domain.ids import branch_id, conversation_id, is_conversation_id, run_id
from dragoman.domain.items import assistant_message, message, tool_call


def test_a_title_is_how_the_first_message_of_a_user_begins():
    assert title_from([message("system", "Be kind."), message("user", " Hello \n there ")]) == "Hello there"
    assert title_from([]) == ""
    assert preview_of(assistant_message("Well,\nthen")) == "Well, then"


@pytest.mark.parametrize("title", ["", "  ", "x" * 201])
def test_a_title_that_is_none_is_refused(title):
    with pytest.raises(Invalid):
        checked_title(title)


def test_tags_are_kept_once_in_their_order():
    assert checked_tags([" b", "a", "b", "it's 100%", "Ü"]) == ("b", "a", "it's 100%", "Ü")


@pytest.mark.parametrize("tag", ["", " ", 'a"b', "a,b", "a\\b", "x" * 65, "a\nb"])
def test_a_tag_that_could_be_taken_for_another_is_refused(tag):
    with pytest.raises(Invalid):
        checked_tags([tag])


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)))
def test_a_bookmark_leads_back_to_its_place(moment):
    at = moment.replace(tzinfo=UTC)
    conversation = Conversation(conversation_id(), "t", "o", None, "", branch_id(), None, at, at, at)

    assert place_of(bookmark(conversation)) == (at, conversation.id)
    later = Conversation(
        conversation_id(), "t", "o", None, "", branch_id(), None, at, at, at + timedelta(microseconds=1)
    )
    assert place_of(bookmark(later)) > place_of(bookmark(conversation))


def test_only_ids_of_conversations_look_like_one():
    assert is_conversation_id(conversation_id())
    assert not any(
        is_conversation_id(name) for name in ("", "conv_", "conv_x", run_id(), conversation_id() + "\n", "user_1")
    )


def test_words_are_what_people_would_call_words():
    assert words_of("It's 3.14, user_name: GRÜẞE grüße CAFE\u0301!") == (
        "it",
        "s",
        "3",
        "14",
        "user",
        "name",
        "grüsse",
        "café",
    )
    assert words_of("?! _ …") == ()
    assert words_of("x" * 100) == ("x" * MAX_WORD,)
    assert len(words_of(" ".join(map(str, range(10_000))))) == MAX_WORDS


def test_only_messages_are_found():
    assert findable(assistant_message("Hello")) == ("hello",)
    assert findable(tool_call("c", "tool", "{}")) == ()


def test_the_last_word_of_a_search_is_a_beginning_unless_something_follows_it():
    assert search_for("river Jord") == Search(("river",), "jord")
    assert search_for("river Jordan ") == Search(("river", "jordan"))
    assert search_for("river J") == Search(("river", "j"))
    assert search_for('" * ').empty


@given(st.text(), st.text())
def test_whatever_is_typed_nothing_but_letters_and_digits_reaches_a_database(text, more):
    search = search_for(text + more)
    assert all(word.replace("_", "?").isalnum() for word in (*search.words, search.prefix or "x"))


@given(st.lists(st.text("abc", min_size=2, max_size=5), min_size=1, max_size=MAX_TERMS))
def test_a_text_is_found_by_its_own_words(words):
    said = words_of(" ".join(words))
    assert search_for(" ".join(words)).finds(said)
    assert search_for(words[0][:2]).finds(said)
    assert not search_for("de").finds(said)

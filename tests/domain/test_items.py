"""Histories that no model refuses."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from dragoman.domain.conversations import title_from
from dragoman.domain.items import (
    UNANSWERED,
    NewItem,
    answering,
    assistant_message,
    complete_pairs,
    is_call,
    is_output,
    message,
    text_of,
    tool_call,
    tool_output,
    window,
)

ids = st.sampled_from(["c1", "c2", "c3"])
histories = st.lists(
    st.one_of(
        ids.map(lambda call: tool_call(call, "f", "{}")),
        ids.map(lambda call: tool_output(call, "1")),
        st.sampled_from(["one", "two"]).map(lambda text: message("user", text)),
    )
)
"""In any disorder, and with call ids that are used again."""


def is_complete(history) -> bool:
    """As strict endpoints see it: each call is answered once, before its id is used again."""
    waiting = set()
    for item in history:
        if is_call(item):
            if item["call_id"] in waiting:
                return False
            waiting.add(item["call_id"])
        elif is_output(item):
            if item["call_id"] not in waiting:
                return False
            waiting.remove(item["call_id"])
    return not waiting


@given(histories)
def test_a_repaired_history_has_an_output_behind_every_call_and_a_call_before_every_output(history):
    assert is_complete(complete_pairs(history))


@given(histories)
def test_what_was_complete_is_kept_as_it_is(history):
    repaired = complete_pairs(history)

    assert complete_pairs(repaired) == repaired
    assert [i for i in repaired if not is_output(i)] == [i for i in history if not is_output(i)]
    if is_complete(history):
        assert repaired == history


def test_an_output_that_came_late_is_moved_to_its_call():
    light, clock = tool_call("c1", "light", "{}"), tool_call("c2", "clock", "{}")
    late = [light, clock, tool_output("c2", "noon"), message("user", "Well?"), tool_output("c1", "on")]

    assert answering(late, []) == ([*late[:3], late[4], late[3]], [])
    assert answering([], late) == ([], [*late[:3], late[4], late[3]])


@given(histories, histories)
def test_what_a_turn_is_told_has_each_output_next_to_its_call(history, given):
    told, rest = answering(history, given)

    assert is_complete(told)
    assert is_complete(rest)
    assert [i for i in (*told, *rest) if not is_output(i)] == [i for i in (*history, *given) if not is_output(i)]
    for item, following in pairwise((*told, *rest)):
        assert not is_output(following) or is_call(item) or is_output(item)


def test_a_call_that_is_handed_back_may_wait():
    light, clock = tool_call("c1", "light", "{}"), tool_call("c2", "clock", "{}")

    assert complete_pairs([light, clock], {"light"}) == [light, clock, tool_output("c2", UNANSWERED)]


def test_outputs_in_an_input_are_put_behind_calls_in_the_history():
    history = [message("user", "Light!"), tool_call("c1", "light", "{}")]
    asked, on = message("user", "Well?"), tool_output("c1", "on")

    assert answering(history, [asked, on]) == ([*history, on], [asked])
    assert answering(history, [asked]) == ([*history, tool_output("c1", UNANSWERED)], [asked])
    assert answering([], [*history, on, asked]) == ([], [*history, on, asked])


def test_an_unanswered_call_says_so():
    assert complete_pairs([tool_call("c", "f", "{}")])[1] == tool_output("c", UNANSWERED)


@given(histories, st.integers(0, 20))
def test_a_window_is_the_newest_items_without_outputs_whose_call_is_outside(history, limit):
    history = complete_pairs(history)
    newest = history[-limit:] if limit else []

    kept = window(history, limit)

    assert len(kept) <= limit
    assert [item for item in kept if not is_output(item)] == [item for item in newest if not is_output(item)]
    assert not kept or not is_output(kept[0])
    assert is_complete(complete_pairs(kept))


def test_text_is_found_in_every_shape_of_a_message():
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_image"}, {"type": "refusal", "refusal": "b"}]
    assert text_of(message("user", "x")) == "x"
    assert text_of(assistant_message("y")) == "y"
    assert text_of({"role": "user", "content": parts}) == "ab"
    assert text_of(tool_output("c", "z")) == ""


def test_a_new_item_has_an_id_of_its_own():
    one, two = NewItem(message("user", "x")), NewItem(message("user", "x"))
    assert one.id.startswith("item_")
    assert one.id != two.id
    assert NewItem(message("user", "x"), id="item_1").id == "item_1"


def test_a_title_is_how_the_first_user_message_begins():
    assert title_from([message("system", "Be brief"), message("user", " Hello \n there ")]) == "Hello there"
    assert len(title_from([message("user", "word " * 100)])) <= 80
    assert title_from([message("system", "x")]) == ""

"""Thoughts inside the text."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.providers.openai.agents.models.thinking import Thoughts


def told(pieces):
    thoughts = Thoughts()
    split = [part for piece in pieces for part in thoughts.split(piece)] + thoughts.rest()
    return tuple("".join(text for kind, text in split if kind == wanted) for wanted in ("reasoning", "text"))


@pytest.mark.parametrize(
    ("answer", "thought", "text"),
    [
        ("Hello", "", "Hello"),
        ("<think>hm</think>Hello", "hm", "Hello"),
        ("\n<think>\nhm</think>\n\nHello", "hm", "Hello"),
        ("<think></think>Hello", "", "Hello"),
        ("<think>a < b </ c</think>Yes", "a < b </ c", "Yes"),
        ("Use <think>x</think> tags", "", "Use <think>x</think> tags"),
        ("<think>never ends </thi", "never ends </thi", ""),
        ("<think>a</think>b<think>c</think>", "a", "b<think>c</think>"),
        ("<thin", "", "<thin"),
        ("<b>bold</b>", "", "<b>bold</b>"),
        ("  ", "", "  "),
    ],
)
def test_what_is_thought_and_what_is_said(answer, thought, text):
    assert told([answer]) == (thought, text)
    assert told(answer) == (thought, text)


@settings(deadline=None)
@given(st.text("<>/think a\n"), st.lists(st.integers(0, 1000), max_size=6))
def test_it_does_not_matter_where_it_is_cut(answer, places):
    marks = [0, *sorted(place % (len(answer) + 1) for place in places), len(answer)]
    assert told([answer[a:b] for a, b in itertools.pairwise(marks)]) == told([answer])


@settings(deadline=None)
@given(st.text("<>/think ab\n", min_size=1).filter(lambda text: not text.lstrip().startswith("<think>")))
def test_an_answer_without_thoughts_is_left_alone(answer):
    assert told(list(answer)) == ("", answer)

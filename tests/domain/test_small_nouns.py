"""Ids, text, usage, errors, keys of agents."""

import json
from dataclasses import asdict
from decimal import Decimal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.domain import errors
from dragoman.domain.agents import AgentSpec, check_key, key_from
from dragoman.domain.errors import DragomanError, Invalid
from dragoman.domain.ids import conversation_id, item_id, new_id, request_id, run_id
from dragoman.domain.text import storable, storable_json
from dragoman.domain.usage import Usage, usage_from

# ids -----------------------------------------------------------------------------------------------------------------


def test_ids_say_what_they_name():
    assert [make().split("_")[0] for make in (run_id, conversation_id, item_id, request_id)] == [
        "run",
        "conv",
        "item",
        "req",
    ]


def test_ids_are_unique_and_sort_by_the_time_they_were_made():
    ids = [new_id("x") for _ in range(10_000)]
    assert len(set(ids)) == len(ids)
    made = [id[: len("x_") + 10] for id in ids]  # 50 bits that hold the milliseconds
    assert made == sorted(made)
    assert {len(id) for id in ids} == {28}


# text ----------------------------------------------------------------------------------------------------------------

any_text = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates and NUL included


@given(any_text)
def test_storable_text_can_be_stored_everywhere(text):
    stored = storable(text)
    assert "\0" not in stored
    assert stored.encode().decode() == stored
    assert storable(stored) == stored


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_ordinary_text_is_left_as_it_is(text):
    assert storable(text) == text


def test_a_pair_of_surrogates_becomes_its_character():
    assert storable("\ud83c\udf0d") == "🌍"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | any_text,
        lambda inner: st.lists(inner) | st.dictionaries(any_text, inner),
        max_leaves=10,
    )
)
def test_storable_json_can_be_encoded_whatever_it_holds(value):
    stored = storable_json(value)
    assert orjson.loads(orjson.dumps(stored)) == stored
    assert storable_json(stored) == stored


# usage ---------------------------------------------------------------------------------------------------------------

counts = st.integers(0, 10**9)
costs = st.none() | st.decimals(0, 1000, places=6).map(str)
usages = st.builds(
    Usage,
    st.integers(1, 100),
    counts,
    counts,
    counts,
    counts,
    counts,
    cost=costs,
    models=st.lists(st.sampled_from("abc"), unique=True).map(tuple),
)


@given(usages)
def test_nothing_added_changes_nothing(usage):
    assert usage + Usage() == Usage() + usage == usage


@given(usages, usages, usages)
def test_usage_adds_up_in_any_grouping(a, b, c):
    left, right = (a + b) + c, a + (b + c)
    assert left.total_tokens == right.total_tokens == a.total_tokens + b.total_tokens + c.total_tokens
    assert left.models == right.models
    assert (left.cost is None) == (right.cost is None) == (None in {a.cost, b.cost, c.cost})
    if left.cost is not None:
        assert Decimal(left.cost) == Decimal(right.cost)


@given(usages)
def test_usage_comes_back_from_json(usage):
    assert usage_from(json.loads(json.dumps(asdict(usage)))) == usage


# errors --------------------------------------------------------------------------------------------------------------


def tree(cls=DragomanError):
    return [
        cls,
        *(below for child in cls.__subclasses__() if child.__module__ == errors.__name__ for below in tree(child)),
    ]


def test_every_error_has_a_code_of_its_own():
    codes = [error.code for error in tree()]
    assert len(set(codes)) == len(codes)


def test_the_picture_shows_every_error():
    drawn = set(errors.__doc__.replace("│", " ").replace("├──", " ").replace("└──", " ").split())
    assert {error.__name__ for error in tree()} <= drawn


def test_an_error_is_a_sentence():
    for error in tree():
        assert error.message[0].isupper()


# agents --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Math Tutor", "  math-tutor!", "math_tutor"])
def test_a_key_is_made_from_a_name(name):
    assert key_from(name) == "math_tutor"


@pytest.mark.parametrize("key", ["", "A", "a b", "-a", "a/b", "x" * 65])
def test_a_key_that_fits_no_address_is_refused(key):
    with pytest.raises(Invalid) as refused:
        check_key(key)
    assert refused.value.field == "key"
    with pytest.raises(Invalid):
        AgentSpec(key=key, name="x", instructions="")

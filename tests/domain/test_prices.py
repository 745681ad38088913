"""Prices: found by name, exact to the last digit, and unknown where nobody knows."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.domain.events import Delta, ModelAnswered, ModelFailed, Recorded
from dragoman.domain.ledger import entries
from dragoman.domain.prices import Price, Prices
from dragoman.domain.usage import Try, Usage, money, total

CHEAP, DEAR, HERE = (Price(Decimal(n), Decimal(2 * n)) for n in (1, 100, 7))
PRICES = Prices({"gpt-4o": DEAR, "gpt-4o-mini": CHEAP, "claude-sonnet-4-5": DEAR, "here:gpt-4o": HERE})


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gpt-4o", DEAR),
        ("gpt-4o-2024-08-06", DEAR),
        ("gpt-4o-mini-2024-07-18", CHEAP),
        ("claude-sonnet-4-5-20250929", DEAR),
        ("openai/gpt-4o", DEAR),
        ("openai/gpt-4o-2024-08-06", DEAR),
        ("openai/gpt-4o:free", None),
        ("gpt-4o-audio-preview", None),
        ("gpt-4", None),
        ("2024-08-06", None),
        ("", None),
    ],
)
def test_a_price_is_found_by_documented_rules_and_never_guessed(model, price):
    assert PRICES.find(model) == price


def test_a_price_of_an_endpoint_wins_there():
    assert PRICES.find("gpt-4o", "here") is HERE
    assert PRICES.find("gpt-4o", "there") is DEAR


def test_cached_input_has_a_price_of_its_own():
    usage = Usage(1, 1000, 10, 1010, cached_input_tokens=400)
    assert Price(Decimal("1.25"), Decimal(10), Decimal("0.125")).of(usage) == Decimal("0.0009")
    assert Price(Decimal("1.25"), Decimal(10)).of(usage) == Decimal("0.00135")


def test_more_cached_than_read_is_no_discount():
    assert CHEAP.of(Usage(1, 10, 0, 10, cached_input_tokens=1000)) == Decimal("0.00001")


def test_what_used_nothing_costs_nothing_and_what_has_no_price_costs_nobody_knows_what():
    assert PRICES.cost(Usage(1), "strange") == "0"
    assert PRICES.cost(Usage(1, 1, 0, 1), "strange") is None


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "0"), ("0E-7", "0"), ("1E-7", "0.0000001"), ("12.3400", "12.34"), ("100", "100"), ("1E+2", "100")],
)
def test_money_is_plain_text(amount, text):
    assert money(Decimal(amount)) == text


prices = st.decimals(0, 1000, places=6)


@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**6)), min_size=1), prices, prices)
def test_sums_of_costs_are_exact(calls, input_price, output_price):
    known = Prices({"m": Price(input_price, output_price)})
    usages = [Usage(1, i, o, i + o, models=("m",)) for i, o in calls]
    summed = total(Usage(1, u.input_tokens, u.output_tokens, u.total_tokens, cost=known.cost(u, "m")) for u in usages)
    whole = Usage(1, sum(i for i, _ in calls), sum(o for _, o in calls))
    assert Decimal(summed.cost) * 10**6 == whole.input_tokens * input_price + whole.output_tokens * output_price


def test_an_unknown_cost_makes_the_sum_unknown():
    assert total([Usage(1, cost="1"), Usage(1, cost=None), Usage(1, cost="1")]).cost is None
    assert total([]).cost is None
    assert total([Usage(), Usage(1, cost="1")]).cost == "1"


def test_the_ledger_reads_every_request_that_was_made():
    failed = Try("a", "m", "failed", "model_unavailable", Usage(1), 5)
    skipped = Try("b", "m", "failed", "circuit_open", Usage(), 0)
    told = [
        Delta("text", "Hi"),
        ModelAnswered("chat", "n", 0, 1, Usage(1, 2, 3, 5), endpoint="c", tries=(failed, skipped)),
        ModelFailed("chat", 1, (skipped, failed), first_try=3),
    ]
    found = [(entry.endpoint, entry.key) for entry in entries(Recorded(i, event) for i, event in enumerate(told))]
    assert found == [("a", ("", 0, 0)), ("c", ("", 0, 2)), ("a", ("", 1, 4))]

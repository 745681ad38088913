"""What a model call costs. Prices are data: each has a date and a source, and what has no price costs an unknown amount.

A price is found by the first of these names that has one:

1. ``endpoint:model``, so that the same model may have another price elsewhere;
2. the model as it is;
3. without the date at its end: ``gpt-4o-2024-08-06`` is ``gpt-4o``, ``claude-sonnet-4-5-20250929`` is ``claude-sonnet-4-5``;
4. without the vendor before it, as routers name it: ``openai/gpt-4o`` is ``gpt-4o``.

Nothing else is guessed: a variant (``:free``, ``-preview``) is another model.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from dragoman.domain.usage import Usage, money

MILLION = Decimal(1_000_000)
DECIMALS = 6
"""Of a price per million tokens, so that every amount is exact with twelve."""

_DATE = re.compile(r"-20\d\d-?[01]\d-?[0-3]\d$")


@dataclass(frozen=True, slots=True)
class Price:
    """In US dollars per million tokens."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None  # unset: as any other input
    date: str = ""  # when it was looked up
    source: str = ""

    def of(self, usage: Usage) -> Decimal:
        cached = min(usage.cached_input_tokens, usage.input_tokens)
        cached_price = self.input if self.cached_input is None else self.cached_input
        amount = (usage.input_tokens - cached) * self.input + cached * cached_price + usage.output_tokens * self.output
        return amount / MILLION


@dataclass(frozen=True, slots=True)
class Prices:
    by_name: Mapping[str, Price] = field(default_factory=dict)

    def find(self, model: str, endpoint: str = "") -> Price | None:
        return next((self.by_name[name] for name in _names(model, endpoint) if name in self.by_name), None)

    def cost(self, usage: Usage, model: str, endpoint: str = "") -> str | None:
        """Exact, as text. A call that used nothing costs nothing, whatever the price."""
        if not usage.input_tokens and not usage.output_tokens:
            return "0"
        price = self.find(model, endpoint)
        return None if price is None else money(price.of(usage))


def _names(model: str, endpoint: str) -> Iterator[str]:
    yield f"{endpoint}:{model}"
    yield model
    undated = _DATE.sub("", model)
    yield undated
    yield undated.rpartition("/")[2]

"""What model calls used. An unknown cost is ``None``, never zero."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Literal

CallStatus = Literal["answered", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Usage:
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    cost: str | None = None
    currency: str = "USD"
    models: tuple[str, ...] = ()

    def __add__(self, other: "Usage") -> "Usage":
        if not self.requests:
            return other
        if not other.requests:
            return self
        known = self.cost is not None and other.cost is not None
        return Usage(
            requests=self.requests + other.requests,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            total_tokens=self.total_tokens + other.total_tokens,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
            cost=money(Decimal(self.cost or 0) + Decimal(other.cost or 0)) if known else None,
            currency=self.currency,
            models=tuple(dict.fromkeys(self.models + other.models)),
        )


@dataclass(frozen=True, slots=True)
class Try:
    """One request to one endpoint that gave no answer: why, and what it may have cost all the same."""

    endpoint: str
    model: str
    status: CallStatus
    code: str | None  # of the failure
    usage: Usage
    latency_ms: int
    estimated: bool = False


def total(usages: Iterable[Usage]) -> Usage:
    return sum(usages, Usage())


def money(amount: Decimal) -> str:
    """An exact amount as plain text: never an exponent, no zeros at the end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def usage_from(content: dict[str, Any]) -> Usage:
    """Read what ``dataclasses.asdict`` wrote, after a trip through JSON."""
    return Usage(**{**content, "models": tuple(content.get("models", ()))})


def try_from(content: dict[str, Any]) -> Try:
    known = {field.name for field in fields(Try)}
    values = {name: value for name, value in content.items() if name in known}
    return Try(**{**values, "usage": usage_from(content["usage"])})

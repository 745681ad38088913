"""The ledger of model calls: one entry per request to an endpoint, read from the events that tell of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from dragoman.domain.events import ModelAnswered, ModelFailed, Recorded
from dragoman.domain.usage import CallStatus, Try, Usage

GroupBy = Literal["day", "agent", "model", "conversation"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What one request used. The key is run, path, ordinal and try: nothing enters twice."""

    path: str
    ordinal: int
    number: int  # of the try
    agent: str
    model: str
    endpoint: str
    status: CallStatus
    code: str | None
    usage: Usage
    estimated: bool
    latency_ms: int

    @property
    def key(self) -> tuple[str, int, int]:
        return self.path, self.ordinal, self.number


@dataclass(frozen=True, slots=True)
class Sum:
    """Many entries added up. ``cost`` is that of the priced ones; ``unpriced_requests`` are not in it."""

    requests: int = 0
    failed_requests: int = 0  # cancelled ones included
    estimated_requests: int = 0
    unpriced_requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    cost: str | None = None
    currency: str = "USD"


@dataclass(frozen=True, slots=True)
class Period:
    since: datetime
    until: datetime  # not included


@dataclass(frozen=True, slots=True)
class Report:
    """``groups`` by their name: a day, an agent, a model, a conversation (``None``: none, or one that is deleted)."""

    total: Sum
    groups: tuple[tuple[str | None, Sum], ...]


def entries(events: Iterable[Recorded]) -> Iterator[Entry]:
    for recorded in events:
        event = recorded.event
        if isinstance(event, ModelAnswered):
            yield from _tries(event)
            yield _answered(event)
        elif isinstance(event, ModelFailed):
            yield from _tries(event)


def settled(events: Iterable[Recorded]) -> dict[str, tuple[Decimal, int]]:
    """What the model calls among these have cost that something was reserved for, and their tokens, by reservation."""
    sums: dict[str, tuple[Decimal, int]] = {}
    for recorded in events:
        event = recorded.event
        if isinstance(event, ModelAnswered | ModelFailed) and event.reservation:
            usages = [entry.usage for entry in entries([recorded])]
            cost, tokens = sums.get(event.reservation, (Decimal(0), 0))
            cost += sum((Decimal(usage.cost or 0) for usage in usages), Decimal(0))
            sums[event.reservation] = cost, tokens + sum(usage.total_tokens for usage in usages)
    return sums


def _tries(event: ModelAnswered | ModelFailed) -> Iterator[Entry]:
    for number, tried in enumerate(event.tries, event.first_try):
        if tried.usage.requests:  # else it was not even asked
            yield _tried(event, tried, number)


def _tried(event: ModelAnswered | ModelFailed, tried: Try, number: int) -> Entry:
    return Entry(
        path=event.path,
        ordinal=event.ordinal,
        number=number,
        agent=event.agent,
        model=tried.model,
        endpoint=tried.endpoint,
        status=tried.status,
        code=tried.code,
        usage=tried.usage,
        estimated=tried.estimated,
        latency_ms=tried.latency_ms,
    )


def _answered(event: ModelAnswered) -> Entry:
    return Entry(
        path=event.path,
        ordinal=event.ordinal,
        number=event.first_try + len(event.tries),
        agent=event.agent,
        model=event.model,
        endpoint=event.endpoint,
        status="answered",
        code=None,
        usage=event.usage,
        estimated=event.estimated,
        latency_ms=event.latency_ms,
    )

"""One person: the kinds of things that are kept of them, as they are exported and erased."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from dragoman.domain.budgets import Account, Balance
from dragoman.domain.ledger import Entry

Kind = Literal[
    "conversations",
    "branches",
    "items",
    "runs",
    "events",
    "approvals",
    "usage",
    "notes",
    "idempotency_keys",
    "spending",
    "requests",
    "api_keys",
    "audit",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

REMOVED: tuple[Kind, ...] = (
    "events",
    "idempotency_keys",
    "approvals",
    "usage",
    "notes",
    "runs",
    "items",
    "conversations",
    "spending",
    "requests",
    "api_keys",
)
"""What is erased, in this order: what others point at comes last. Branches go with their conversations; the audit log stays,
without the name."""


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """A row of a run's log."""

    run_id: str
    position: int
    kind: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UsedKey:
    """An idempotency key, and the run it leads to."""

    route: str
    key: str
    run_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Call:
    """A model call in the ledger."""

    run_id: str
    conversation_id: str | None
    at: datetime
    entry: Entry


@dataclass(frozen=True, slots=True)
class Spending:
    """What was spent in a day or a month, by the person or with a key of theirs."""

    account: Account
    balance: Balance


@dataclass(frozen=True, slots=True)
class Requests:
    """How much was asked for in the last minute in which something was."""

    kind: str  # user | key
    name: str
    minute: int  # since 1970
    requests: int

"""Budgets in money: how much a tenant, a user, an agent or a key may spend in a day or a month.

What is spent is counted in *accounts*: one for each of them and each day or month, as far as a budget asks for it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

Payer = Literal["tenant", "user", "agent", "key"]
Span = Literal["day", "month"]


@dataclass(frozen=True, slots=True)
class Party:
    """Everybody a model call is paid by."""

    tenant: str
    user: str
    agent: str
    key: str | None = None

    def name(self, payer: Payer) -> str | None:
        names = {"tenant": "", "user": self.user, "agent": self.agent, "key": self.key}
        return names[payer]


@dataclass(frozen=True, slots=True, order=True)
class Account:
    """What one of them has spent since the day or the month began, in UTC."""

    tenant: str
    payer: Payer
    name: str  # of the user or the agent, or the id of the key; empty for a tenant
    span: Span
    since: datetime


@dataclass(frozen=True, slots=True)
class Balance:
    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)  # by model calls that are under way
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """``ceiling`` for each tenant, user, agent or key by itself; only for those of ``tenant`` or called ``only``, if it says so."""

    name: str
    span: Span
    ceiling: Decimal  # in US dollars
    per: Payer
    tenant: str | None = None
    only: str | None = None

    def account(self, party: Party, now: datetime) -> Account | None:
        """Where this party's spending is counted, if the budget is about it."""
        name = party.name(self.per)
        if name is None or self.tenant not in (None, party.tenant) or self.only not in (None, name):
            return None
        return Account(party.tenant, self.per, name, self.span, beginning(self.span, now))


def beginning(span: Span, now: datetime) -> datetime:
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return day if span == "day" else day.replace(day=1)


def end(span: Span, since: datetime) -> datetime:
    return since + timedelta(days=1) if span == "day" else (since + timedelta(days=32)).replace(day=1)


def accounts_of(budgets: Sequence[Budget], party: Party, now: datetime) -> Iterator[tuple[Account, Budget]]:
    for budget in budgets:
        if (account := budget.account(party, now)) is not None:
            yield account, budget

"""Spending: what a model call may cost is reserved before it, in every account that pays for it, and settled by the ledger."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from dragoman.domain.budgets import Account, Balance, Budget, Party, accounts_of, beginning, end
from dragoman.domain.errors import BudgetExhausted, TokensUsedUp
from dragoman.domain.identity import Principal
from dragoman.domain.limits import LimitBook
from dragoman.domain.runs import Run
from dragoman.domain.usage import money
from dragoman.ports.budgets import AccountStore
from dragoman.ports.clock import Clock
from dragoman.ports.runtime import Spending

PATIENCE = 120.0
"""How many seconds a call may wait for others to end that have reserved what is left."""
PAUSE = 0.1
LONGEST_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class Status:
    """How a budget stands for somebody."""

    budget: Budget
    account: Account
    balance: Balance

    @property
    def left(self) -> Decimal:
        return max(Decimal(0), self.budget.ceiling - self.balance.spent)

    @property
    def until(self) -> datetime:
        return end(self.account.span, self.account.since)


@dataclass(frozen=True, slots=True)
class Budgets:
    accounts: AccountStore
    clock: Clock
    budgets: Sequence[Budget] = ()
    limits: LimitBook = field(default_factory=LimitBook)

    async def check(self, principal: Principal, agent: str) -> None:
        """Whether somebody may begin a run: ``TokensUsedUp``, ``BudgetExhausted``."""
        now = self.clock.now()
        party = Party(principal.tenant, principal.user, agent, principal.key)
        paid = list(accounts_of(self.budgets, party, now))
        tokens = self._token_limits(principal, now)
        if not paid and not tokens:
            return
        balances = await self.accounts.balances({*(account for account, _ in paid), *tokens})
        for account, limit in tokens.items():
            if account in balances and balances[account].tokens >= limit:
                raise _used_up(account, limit, now)
        for account, budget in paid:
            if account in balances and balances[account].spent >= budget.ceiling:
                raise _exhausted(budget, account)

    def of(self, run: Run) -> Spending | None:
        """How the model calls of a run are paid; ``None`` if nobody counts."""
        principal = Principal(run.owner, run.tenant, key=run.key)
        now = self.clock.now()
        counted = self._token_limits(principal, now) or any(self._about(budget, run) for budget in self.budgets)
        return _Purse(self, run, principal) if counted else None

    async def status(self, principal: Principal) -> Sequence[Status]:
        """The budgets that the principal pays from, as a tenant, a user or by a key."""
        now = self.clock.now()
        party = Party(principal.tenant, principal.user, "", principal.key)
        found = [(a, b) for a, b in accounts_of(self.budgets, party, now) if a.payer != "agent"]
        balances = await self.accounts.balances({account for account, _ in found})
        return [Status(budget, account, balances.get(account, Balance())) for account, budget in found]

    async def every(self, tenant: str | None = None) -> Sequence[Status]:
        """Every budget that somebody pays from in its current day or month."""
        now = self.clock.now()
        month = beginning("month", now)
        found = await self.accounts.list(tenant, month)
        return [
            Status(budget, account, balance)
            for account, balance in found
            for budget in self.budgets
            if account.since == beginning(account.span, now) and _counts(budget, account)
        ]

    def ceilings(self, principal: Principal, agent: str, now: datetime) -> Mapping[Account, Decimal | None]:
        """Every account that a call by this agent is counted in, with the lowest ceiling that it has."""
        ceilings: dict[Account, Decimal | None] = dict.fromkeys(self._token_limits(principal, now))
        party = Party(principal.tenant, principal.user, agent, principal.key)
        for account, budget in accounts_of(self.budgets, party, now):
            known = ceilings.get(account)
            ceilings[account] = budget.ceiling if known is None else min(known, budget.ceiling)
        return ceilings

    def _token_limits(self, principal: Principal, now: datetime) -> dict[Account, int]:
        today = beginning("day", now)
        return {
            Account(subject.tenant, subject.kind, subject.name, "day", today): limits.tokens_per_day
            for subject, limits in self.limits.of(principal)
            if limits.tokens_per_day is not None
        }

    @staticmethod
    def _about(budget: Budget, run: Run) -> bool:
        """Whether a call of this run, by whichever agent, may be paid from a budget."""
        if budget.tenant not in (None, run.tenant):
            return False
        name = Party(run.tenant, run.owner, run.agent, run.key).name(budget.per)
        return budget.per == "agent" or (name is not None and budget.only in (None, name))


@dataclass(frozen=True, slots=True)
class _Purse:
    """``Spending``."""

    budgets: Budgets
    run: Run
    principal: Principal

    async def reserve(self, reservation: str, agent: str, cost: Decimal | None) -> None:
        ceilings = self.budgets.ceilings(self.principal, agent, self.budgets.clock.now())
        if cost is None and any(ceiling is not None for ceiling in ceilings.values()):
            raise BudgetExhausted("The model has no known price, so it cannot be paid from a budget.")
        if not ceilings:
            return
        deadline = asyncio.get_running_loop().time() + PATIENCE
        pause = PAUSE
        while True:
            answer = await self.budgets.accounts.reserve(self.run, reservation, cost or Decimal(0), ceilings)
            if answer == "reserved":
                return
            if answer == "exhausted" or asyncio.get_running_loop().time() > deadline:
                raise BudgetExhausted("What is left of a budget is less than the next request to a model may cost.")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _counts(budget: Budget, account: Account) -> bool:
    return (
        (budget.per, budget.span) == (account.payer, account.span)
        and budget.tenant in (None, account.tenant)
        and budget.only in (None, account.name)
    )


def _exhausted(budget: Budget, account: Account) -> BudgetExhausted:
    renewed = end(account.span, account.since)
    return BudgetExhausted(
        f"The budget of {money(budget.ceiling)} USD a {budget.span} is used up until {renewed:%Y-%m-%d}."
    )


def _used_up(account: Account, limit: int, now: datetime) -> TokensUsedUp:
    pause = (end(account.span, account.since) - now).total_seconds()
    return TokensUsedUp(f"The {limit:,} tokens of this day are used up.", retry_after=pause)

"""Accounts and reservations, in memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from dragoman.adapters.memory.state import Reservation, State
from dragoman.domain.budgets import Account, Balance, Party
from dragoman.domain.runs import Run, RunStatus
from dragoman.domain.usage import total
from dragoman.ports.budgets import Reserved


@dataclass(frozen=True, slots=True)
class MemoryAccounts:
    """``AccountStore``."""

    state: State

    async def balances(self, accounts: Collection[Account]) -> Mapping[Account, Balance]:
        return {account: self._balance(account) for account in accounts if account in self.state.accounts}

    async def reserve(
        self, run: Run, reservation: str, cost: Decimal, ceilings: Mapping[Account, Decimal | None]
    ) -> Reserved:
        if not self._played(run.id, run.attempt):
            return "exhausted"
        answer: Reserved = "reserved"
        for account, ceiling in ceilings.items():
            self.state.accounts.setdefault(account, self._known(account))
            balance = self._balance(account)
            if ceiling is not None and balance.spent + cost > ceiling:
                return "exhausted"
            if ceiling is not None and balance.spent + balance.reserved + cost > ceiling:
                answer = "wait"
        if answer == "reserved":
            held = self.state.reservations.get(reservation)
            amount = cost + (held.amount if held else Decimal(0))
            accounts = frozenset(ceilings) | (held.accounts if held else frozenset())
            self.state.reservations[reservation] = Reservation(run.id, run.attempt, amount, accounts)
        return answer

    async def list(self, tenant: str | None, since: datetime) -> Sequence[tuple[Account, Balance]]:
        found = sorted(a for a in self.state.accounts if tenant in (None, a.tenant) and a.since >= since)
        return [(account, self._balance(account)) for account in found]

    def _balance(self, account: Account) -> Balance:
        held = (
            each.amount
            for each in self.state.reservations.values()
            if account in each.accounts and self._played(each.run_id, each.attempt)
        )
        return replace(self.state.accounts[account], reserved=sum(held, Decimal(0)))

    def _played(self, run_id: str, attempt: int) -> bool:
        run = self.state.runs.get(run_id)
        return run is not None and (run.attempt, run.status) == (attempt, RunStatus.IN_PROGRESS)

    def _known(self, account: Account) -> Balance:
        """What the ledger knows already."""
        usages = [
            charge.entry.usage
            for charge in self.state.ledger.values()
            if charge.at >= account.since
            and charge.tenant == account.tenant
            and self._party(charge.run_id, charge.owner, charge.entry.agent).name(account.payer) == account.name
        ]
        costs = (Decimal(usage.cost or 0) for usage in usages)
        return Balance(sum(costs, Decimal(0)), tokens=total(usages).total_tokens)

    def _party(self, run_id: str, owner: str, agent: str) -> Party:
        run = self.state.runs.get(run_id)
        return Party("", owner, agent, run.key if run else None)

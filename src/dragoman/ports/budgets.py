"""Accounts: what was spent, and what is reserved for model calls that are under way."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal, Protocol

from dragoman.domain.budgets import Account, Balance
from dragoman.domain.runs import Run

Reserved = Literal["reserved", "wait", "exhausted"]


class AccountStore(Protocol):
    """Every method is one short transaction.

    An account comes into being when something is first reserved in it, and then holds what the ledger knows. From then on
    ``EventLog.append`` moves what a model call cost, by the ledger, from its reservation to what is spent, in the transaction
    that records the call. A reservation counts as long as the attempt that made it: one of a process that died is void as
    soon as somebody takes its run over.
    """

    async def balances(self, accounts: Collection[Account]) -> Mapping[Account, Balance]:
        """Those that exist."""
        ...

    async def reserve(
        self, run: Run, reservation: str, cost: Decimal, ceilings: Mapping[Account, Decimal | None]
    ) -> Reserved:
        """Add ``cost`` to a reservation in all of these accounts, or in none. ``exhausted`` if it is more than what is left
        below a ceiling, or the run is not in this attempt any more: nothing then comes into being; ``wait`` if it would fit in without what others have reserved. Whoever gets an answer comes before or
        after everybody else who asks about one of these accounts."""
        ...

    async def list(self, tenant: str | None, since: datetime) -> Sequence[tuple[Account, Balance]]:
        """All accounts of a tenant, or of all, that began then or later."""
        ...

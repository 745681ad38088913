"""What one run of a workflow may cost: its own limit, before those of whoever pays."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from dragoman.domain.errors import BudgetExhausted
from dragoman.domain.events import ModelAnswered, ModelFailed
from dragoman.ports.runtime import Spending

NO_PRICE = "The model has no known price, so it cannot be paid from a budget."
USED_UP = "What this run may cost is used up."


@dataclass(slots=True)
class Purse:
    """Reservations count in full until the call they are for is over."""

    limit: Decimal | None = None
    payer: Spending | None = None
    spent: Decimal = Decimal(0)
    _reserved: dict[str, Decimal] = field(default_factory=dict)  # by reservation

    def settle(self, event: ModelAnswered | ModelFailed) -> None:
        self._reserved.pop(event.reservation, None)
        self.spent += Decimal(event.used.cost or 0)

    def settle_all(self, events: Iterable[ModelAnswered]) -> None:
        for event in events:
            self.settle(event)

    def up_to(self, share: float) -> Spending | None:
        """For a stage that may use no more than this share of the whole."""
        if self.limit is None:
            return self.payer
        return _Share(self, self.limit * Decimal(str(share)))

    async def reserve(self, reservation: str, agent: str, cost: Decimal | None, limit: Decimal) -> None:
        if cost is None:
            raise BudgetExhausted(NO_PRICE)
        earlier = self._reserved.get(reservation, Decimal(0))
        if self.spent + sum(self._reserved.values()) + cost > limit:
            raise BudgetExhausted(USED_UP)
        self._reserved[reservation] = earlier + cost
        if self.payer is not None:
            await self.payer.reserve(reservation, agent, cost)


@dataclass(frozen=True, slots=True)
class _Share:
    """``Spending``."""

    purse: Purse
    limit: Decimal

    async def reserve(self, reservation: str, agent: str, cost: Decimal | None) -> None:
        await self.purse.reserve(reservation, agent, cost, self.limit)

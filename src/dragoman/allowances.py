"""Who may use how much: limits from the settings and ``dragoman.toml``, budgets from ``dragoman.toml``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from dragoman.domain.budgets import Budget
from dragoman.domain.limits import NO_LIMITS, Bearer, LimitBook, Limits
from dragoman.endpoints import TenantLimitsTable, read_config
from dragoman.settings import Settings

BEARERS: tuple[Bearer, ...] = get_args(Bearer)


@dataclass(frozen=True, slots=True)
class Allowances:
    limits: LimitBook
    budgets: Sequence[Budget]

    @property
    def empty(self) -> bool:
        return self.limits.empty and not self.budgets


def read_allowances(settings: Settings) -> Allowances:
    """Raises ``WrongSettings`` for anything that cannot be meant."""
    file = read_config(settings)
    tenants = {name: _limits_of(table.limits) for name, table in file.tenants.items()}
    book = LimitBook(_of_server(settings), tenants)
    return Allowances(book, tuple(table.budget(name) for name, table in file.budgets.items()))


def _of_server(settings: Settings) -> dict[Bearer, Limits]:
    names = ("requests_per_minute", "concurrent_runs", "tokens_per_day")
    limits = {bearer: Limits(*(getattr(settings, f"{bearer}_{name}") for name in names)) for bearer in BEARERS}
    return {bearer: found for bearer, found in limits.items() if found.effective != NO_LIMITS}


def _limits_of(table: TenantLimitsTable) -> dict[Bearer, Limits]:
    return {"tenant": table.tenant.limits(), "user": table.user.limits(), "key": table.key.limits()}

"""How much somebody may ask for: requests per minute, runs at once, tokens per day."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from dragoman.domain.identity import Principal

Bearer = Literal["tenant", "user", "key"]
"""Whose requests are counted together: those of a tenant, of one of its users, or those made with one key."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``None``: nothing is said about it; 0: as many as they like."""

    requests_per_minute: int | None = None
    concurrent_runs: int | None = None
    tokens_per_day: int | None = None

    def over(self, others: "Limits") -> "Limits":
        """These, and where they say nothing, the others."""
        return Limits(
            others.requests_per_minute if self.requests_per_minute is None else self.requests_per_minute,
            others.concurrent_runs if self.concurrent_runs is None else self.concurrent_runs,
            others.tokens_per_day if self.tokens_per_day is None else self.tokens_per_day,
        )

    @property
    def effective(self) -> "Limits":
        """Only what limits anybody."""
        return Limits(self.requests_per_minute or None, self.concurrent_runs or None, self.tokens_per_day or None)


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """Somebody who is limited."""

    tenant: str
    kind: Bearer
    name: str  # of the user, or the id of the key; empty for a tenant


@dataclass(frozen=True, slots=True)
class LimitBook:
    """The limits of everybody: those of the server, and what a tenant has instead."""

    server: Mapping[Bearer, Limits] = field(default_factory=dict)
    tenants: Mapping[str, Mapping[Bearer, Limits]] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nobody is limited by anything."""
        books = (self.server, *self.tenants.values())
        return all(limits.effective == NO_LIMITS for book in books for limits in book.values())

    def of(self, principal: Principal) -> Iterator[tuple[Subject, Limits]]:
        """Whoever is limited by what this principal does, the narrowest first."""
        own = self.tenants.get(principal.tenant, {})
        if not self.server and not own:
            return
        names: dict[Bearer, str | None] = {"key": principal.key, "user": principal.user, "tenant": ""}
        for kind, name in names.items():
            limits = own.get(kind, NO_LIMITS).over(self.server.get(kind, NO_LIMITS)).effective
            if name is not None and limits != NO_LIMITS:
                yield Subject(principal.tenant, kind, name), limits


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody stands in the current minute, for whoever asks to pace himself."""

    limit: int
    remaining: int
    reset: int  # seconds until it begins again
    refused: bool = False

"""Requests per minute, counted for all processes together: each draws a few at a time and serves them without asking."""

from collections.abc import Iterator
from dataclasses import dataclass

from dragoman.domain.errors import TooManyRequests
from dragoman.domain.identity import Principal
from dragoman.domain.limits import LimitBook, Standing, Subject
from dragoman.ports.clock import Clock
from dragoman.ports.limits import RequestCounts

MINUTE = 60
SHARE = 50
"""A process draws at most one part in so many of a limit at a time: so much may be left undrawn elsewhere when it is refused."""


@dataclass(slots=True)
class _Drawn:
    """What this process holds of somebody's minute."""

    minute: int
    left: int = 0  # that may be served without asking
    remaining: int = 0  # that nobody had drawn when we asked last
    over: bool = False  # nothing is left until the minute is over


class Limiter:
    def __init__(self, counts: RequestCounts, book: LimitBook, clock: Clock) -> None:
        self.book = book
        self._counts = counts
        self._clock = clock
        self._drawn: dict[Subject, _Drawn] = {}
        self._minute = 0

    async def admit(self, principal: Principal) -> Standing | None:
        """Count a request. Where the caller stands by the limit that is nearest, or ``None`` without one. A request that is
        refused counts for nobody behind whoever is over his limit."""
        nearest: Standing | None = None
        for subject, limit in self._limited(principal):
            standing = await self._count(subject, limit)
            if nearest is None or standing.remaining < nearest.remaining or standing.refused:
                nearest = standing
            if standing.refused:
                break
        return nearest

    def _limited(self, principal: Principal) -> Iterator[tuple[Subject, int]]:
        for subject, limits in self.book.of(principal):
            if limits.requests_per_minute is not None:
                yield subject, limits.requests_per_minute

    async def _count(self, subject: Subject, limit: int) -> Standing:
        seconds = self._clock.now().timestamp()
        minute, into = divmod(int(seconds), MINUTE)
        drawn = self._of(subject, minute)
        if not drawn.left and not drawn.over:
            await self._draw(subject, drawn, limit)
        if drawn.over and not drawn.left:
            return Standing(limit, 0, MINUTE - into, refused=True)
        drawn.left -= 1
        return Standing(limit, drawn.left + drawn.remaining, MINUTE - into)

    def _of(self, subject: Subject, minute: int) -> _Drawn:
        if minute != self._minute:
            self._drawn.clear()
            self._minute = minute
        return self._drawn.setdefault(subject, _Drawn(minute))

    async def _draw(self, subject: Subject, drawn: _Drawn, limit: int) -> None:
        wanted = max(1, limit // SHARE)
        counted = await self._counts.add(subject, drawn.minute, wanted, limit)
        if counted is not None:
            drawn.left += wanted - max(0, counted - limit)
        drawn.remaining = 0 if counted is None else max(0, limit - counted)
        drawn.over = not drawn.remaining


def refusal(standing: Standing) -> TooManyRequests:
    return TooManyRequests(
        f"{standing.limit:,} requests a minute are allowed. Try again in {standing.reset} seconds.",
        retry_after=standing.reset,
    )

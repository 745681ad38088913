"""A circuit breaker: an endpoint that keeps failing is left alone for a while, so that nobody waits for it in vain."""

import time
from collections.abc import Callable

from dragoman.domain.endpoints import Circuit

FAILURES = 5
"""So many in a row open the circuit."""
PAUSE = 10.0
LONGEST_PAUSE = 160.0
"""In seconds. Each probe that fails doubles the pause."""


class Breaker:
    """Whoever may ``enter`` says afterwards how it went: ``succeeded``, ``failed``, or that nobody knows: ``left``."""

    def __init__(self, *, failures: int | None = FAILURES, now: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures  # None: it never opens
        self._now = now
        self._failures = 0
        self._pause = PAUSE
        self._open_until: float | None = None
        self._probing = False

    @property
    def state(self) -> Circuit:
        if self._open_until is None:
            return "closed"
        return "open" if self._now() < self._open_until else "half_open"

    @property
    def rest(self) -> float:
        """Seconds until there is any point in asking."""
        if self._open_until is None:
            return 0.0
        return max(self._open_until - self._now(), PAUSE if self._probing else 0.0)

    def enter(self) -> bool:
        """Whether to ask now. Of those who come while it is half open, one may."""
        state = self.state
        if state == "half_open" and not self._probing:
            self._probing = True
            return True
        return state == "closed"

    def succeeded(self) -> None:
        self._failures = 0
        self._pause = PAUSE
        self._open_until = None
        self._probing = False

    def failed(self) -> None:
        self._failures += 1
        if self._probing:
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        elif self._open_until is not None or self._limit is None or self._failures < self._limit:
            return
        self._probing = False
        self._open_until = self._now() + self._pause

    def left(self) -> None:
        self._probing = False

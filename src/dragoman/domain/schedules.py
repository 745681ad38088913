"""Things that are due again and again."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Schedule:
    """One of them: when it is due, who is at it, and how it went the last time."""

    name: str
    due_at: datetime
    begun: int = 0  # how often; whoever began it last may end it, nobody else
    player: str | None = None
    lease_until: datetime | None = None
    ended_at: datetime | None = None
    failures: int = 0  # in a row
    result: str = ""  # what was done the last time, or what went wrong

    def held(self, now: datetime) -> bool:
        """Whether somebody is at it who has not been silent for too long."""
        return self.lease_until is not None and self.lease_until >= now

    def due(self, now: datetime) -> bool:
        return self.due_at <= now and not self.held(now)

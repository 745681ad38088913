"""The machine we run on."""

from datetime import UTC, datetime


class SystemClock:
    """Implements ``ports.clock.Clock``."""

    def now(self) -> datetime:
        return datetime.now(UTC)

"""What time it is, somewhere."""

from datetime import datetime
from zoneinfo import ZoneInfo

from dragoman.domain.tools import ToolError


async def current_time(timezone: str = "UTC") -> str:
    """Date, time and weekday in a time zone of the IANA database, such as ``Europe/Berlin``."""
    try:
        zone = ZoneInfo(timezone)
    except (LookupError, ValueError, OSError):
        raise ToolError(f"{timezone!r} is not a time zone; use a name such as 'UTC' or 'Europe/Berlin'.") from None
    return datetime.now(zone).strftime("%A, %Y-%m-%d %H:%M:%S %Z (UTC%z)")

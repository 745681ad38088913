"""What time it is, somewhere."""

from datetime import datetime
from zoneinfo import ZoneInfo

from dragoman.domain.tools import ToolError
from dragoman.tools.decorator import tool


@tool
async def current_time(timezone: str = "UTC") -> str:
    """Tell the current date, time and weekday in a time zone.

    Args:
        timezone: IANA name such as Europe/Berlin; UTC if left out
    """
    try:
        zone = ZoneInfo(timezone)
    except (LookupError, ValueError, OSError):
        raise ToolError(f"{timezone!r} is not a time zone; use a name such as 'UTC' or 'Europe/Berlin'.") from None
    return datetime.now(zone).strftime("%A, %Y-%m-%d %H:%M:%S %Z (UTC%z)")

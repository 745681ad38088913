"""A conversation in short. What this wire calls encrypted is ours to read only: the summary, as it was made."""

import base64
import binascii
from typing import Any

from dragoman.domain.errors import Invalid
from dragoman.domain.ids import new_id
from dragoman.domain.items import Content, message

REQUEST = (
    "Summarise our conversation so far for yourself, so that you can go on with it when you remember nothing else: what"
    " was asked, what was found or decided, names, numbers and open points. Answer with the summary only."
)
_BEFORE = "What was said before, in short:\n\n"


def compacted(summary: str) -> Content:
    return {
        "id": new_id("cmp"),
        "type": "compaction",
        "encrypted_content": base64.urlsafe_b64encode(summary.encode()).decode(),
    }


def expanded(index: int, item: Any) -> Content:
    """An item of an input, with the summary in place of a compaction."""
    if not isinstance(item, dict) or item.get("type") != "compaction":
        return item  # type: ignore[no-any-return]
    try:
        summary = base64.b64decode(item["encrypted_content"], b"-_", validate=True).decode()
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise Invalid("This compaction was not made here.", field=f"input.{index}.encrypted_content") from None
    return message("developer", _BEFORE + summary)

"""A conversation belongs to one owner and points at its newest item, its head."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Conversation:
    id: str
    tenant: str
    owner: str
    key: str | None  # the name its owner chose: the session_id of a request
    agent: str
    head: str | None
    created_at: datetime
    last_message_at: datetime
    title: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)

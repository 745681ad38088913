"""A conversation belongs to one owner and points at its newest item, its head."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dragoman.domain.items import Content, text_of

TITLE_LENGTH = 80


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


def title_from(contents: Iterable[Content]) -> str:
    """What a conversation is called until somebody names it: how its first user message begins."""
    said = next((text for content in contents if content.get("role") == "user" and (text := text_of(content))), "")
    return " ".join(said.split())[:TITLE_LENGTH]

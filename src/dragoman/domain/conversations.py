"""A conversation belongs to one owner. Its history is a tree; a branch is a name for a path through it that can grow.

A branch points at its newest item, its head. New messages go to the conversation's current branch; whatever a run adds
goes to the branch it was begun on, wherever its owner has gone since.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from dragoman.domain.errors import Invalid
from dragoman.domain.items import Content, Item, kind_of, text_of
from dragoman.domain.text import storable

ConversationStatus = Literal["active", "inactive"]
Hidden = Literal["hidden"]
"""The status of a conversation that its owner never asked for: it carries runs that others go on from."""

TITLE_LENGTH = 80
MAX_TITLE = 200
MAX_TAGS = 20
PREVIEW_LENGTH = 120

START = "start"
"""Stands for the place before the first item, where an item's id would name any other place."""


@dataclass(frozen=True, slots=True)
class Conversation:
    id: str
    tenant: str
    owner: str
    key: str | None  # the name its owner chose: the session_id of a request
    agent: str  # whom it began with; empty as long as nothing was said
    branch: str  # the current one
    head: str | None  # of the current branch
    created_at: datetime
    updated_at: datetime
    last_message_at: datetime
    title: str = ""
    status: ConversationStatus | Hidden = "active"
    tags: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    hold: bool = False  # it must be kept: neither time nor retention touch it


@dataclass(frozen=True, slots=True)
class Branch:
    id: str
    conversation_id: str
    head: str | None
    created_at: datetime
    preview: str = ""  # how the last message on it begins
    current: bool = False
    superseded_by: str | None = None  # the run for which what it ends with was undone


@dataclass(frozen=True, slots=True)
class Change:
    """What its owner changes about a conversation. ``None`` leaves a thing as it is."""

    title: str | None = None
    status: ConversationStatus | None = None
    tags: tuple[str, ...] | None = None
    metadata: dict[str, Any] | None = None
    branch: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two branches: the last item they share, and what each says after it, oldest first."""

    common: Item | None
    branch: str
    items: tuple[Item, ...]
    other: str
    other_items: tuple[Item, ...]


def title_from(contents: Iterable[Content]) -> str:
    """What a conversation is called until somebody names it: how its first user message begins."""
    said = next((text for content in contents if content.get("role") == "user" and (text := text_of(content))), "")
    return beginning(said, TITLE_LENGTH)


def preview_of(content: Content) -> str:
    return beginning(text_of(content), PREVIEW_LENGTH)


def beginning(text: str, length: int) -> str:
    return " ".join(text.split())[:length]


def checked_title(title: str) -> str:
    title = " ".join(storable(title).split())
    if not 1 <= len(title) <= MAX_TITLE:
        raise Invalid(f"A title has 1 to {MAX_TITLE} characters.", field="title")
    return title


# No quotes, commas or backslashes: so a tag, quoted as JSON, is found in a stored list of tags only where it is one.
_TAG = re.compile(r'[^\s",\\](?:[^",\\\x00-\x1f]{0,62}[^\s",\\])?')


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Each tag once, in the order given."""
    kept = tuple(dict.fromkeys(storable(tag).strip() for tag in tags))
    if len(kept) > MAX_TAGS:
        raise Invalid(f"A conversation has at most {MAX_TAGS} tags.", field="tags")
    if not all(_TAG.fullmatch(tag) for tag in kept):
        raise Invalid("A tag has 1 to 64 characters, without quotes, commas and backslashes.", field="tags")
    return kept


# Lists ---------------------------------------------------------------------------------------------------------------

_BOOKMARK = re.compile(r"([0-9]{1,18})-(conv_[0-9a-z]{26})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def bookmark(conversation: Conversation) -> str:
    """Where a page of conversations ended that are listed by their last message."""
    return f"{(conversation.last_message_at - _EPOCH) // _MICROSECOND}-{conversation.id}"


def place_of(after: str) -> tuple[datetime, str]:
    """Time and id of the last conversation on the page that a bookmark ends."""
    found = _BOOKMARK.fullmatch(after)
    if found is None:
        raise Invalid("This is not the `next` of an earlier page.", field="after")
    return _EPOCH + int(found[1]) * _MICROSECOND, found[2]


# Search --------------------------------------------------------------------------------------------------------------

_WORD = re.compile(r"[^\W_]+")
MAX_WORDS = 5000
MAX_WORD = 40
"""Databases limit what one entry of a full-text index may hold. Of longer words only the beginning counts."""
MAX_TERMS = 20
MIN_BEGINNING = 2
"""A single letter is a word, not the beginning of one: it would be the beginning of half of all words."""


def words_of(text: str) -> tuple[str, ...]:
    """The words by which a text is found: each once. The same words for every database, which only looks them up."""
    found = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return tuple(dict.fromkeys(word[:MAX_WORD] for word in found))[:MAX_WORDS]


def findable(content: Content) -> tuple[str, ...]:
    """The words by which an item is found. Only messages are."""
    return words_of(text_of(content)) if kind_of(content) == "message" else ()


@dataclass(frozen=True, slots=True)
class Search:
    """Words that must all stand in one message, or in the title; and the beginning of one more."""

    words: tuple[str, ...]
    prefix: str = ""

    @property
    def empty(self) -> bool:
        return not (self.words or self.prefix)

    def finds(self, words: Collection[str]) -> bool:
        return set(words).issuperset(self.words) and any(word.startswith(self.prefix) for word in words)


def search_for(query: str) -> Search:
    """What a person types: its last word may be unfinished, unless something follows it."""
    words = words_of(query)[:MAX_TERMS]
    if words and query[-1].isalnum() and MIN_BEGINNING <= len(words[-1]) < MAX_WORD:
        return Search(words[:-1], words[-1])
    return Search(words)

"""Takes conversations from one place to another: what is new there is added, what was taken before is recognised.

Recognised by content: when what the target holds is what the source held at some time, repaired, the rest follows. When the
target has gone on by itself it is left alone. So a transfer that broke off is simply made again.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dragoman.application.runs import ROLES, checked_session_id
from dragoman.domain.errors import Conflict, Invalid, NotFound
from dragoman.domain.items import UNANSWERED, Content, complete_pairs, is_call, is_output, kind_of
from dragoman.ports.transfer import Entry, Kept, Shelf

Result = Literal["new", "continued", "already there", "moved on", "busy", "refused", "empty"]

COMPLETE: frozenset[Result] = frozenset({"new", "continued", "already there", "empty"})
"""After these, everything that could be read is in the target."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """What became of one conversation."""

    key: str
    result: Result
    added: int = 0
    known: int = 0  # items that were there already
    repaired: int = 0  # outputs stood in for, or dropped because nothing had called for them
    skipped: tuple[str, ...] = ()  # what could not be read, and why
    reason: str = ""

    @property
    def complete(self) -> bool:
        return self.result in COMPLETE and not self.skipped


Target = Callable[[str], tuple[Shelf, str]]
"""Where a conversation of the source goes, and under which name. Raises ``Invalid`` for one that cannot go anywhere."""


class Nowhere:
    """A ``Shelf`` that holds nothing: what a place is before it is made."""

    async def keys(self) -> Sequence[str]:
        return ()

    async def read(self, key: str) -> Kept:  # noqa: ARG002
        return Kept()

    async def extend(self, key: str, kept: Kept, keep: int, entries: Sequence[Entry]) -> None:  # noqa: ARG002
        raise Conflict("There is no such place yet.")


async def transfer(source: Shelf, target: Target, *, dry_run: bool = False) -> AsyncIterator[Transferred]:
    """Take every conversation of ``source``; what became of each, as it happens."""
    for key in await source.keys():
        try:
            shelf, name = target(key)
            checked_session_id(name)
        except Invalid as error:
            yield Transferred(key, "refused", reason=error.detail)
            continue
        try:
            yield await _take(key, await source.read(key), shelf, name, dry_run=dry_run)
        except NotFound as error:
            yield Transferred(key, "refused", reason=error.detail)
        except Conflict as error:
            yield Transferred(key, "busy", reason=error.detail)


async def _take(key: str, read: Kept, shelf: Shelf, name: str, *, dry_run: bool) -> Transferred:
    sound = tuple(entry for entry in read.entries if flaw(entry.content) is None)
    flawed = tuple(f"{entry.id}: {found}" for entry in read.entries if (found := flaw(entry.content)))
    skipped = (*read.unreadable, *flawed)
    entries = repaired(sound)
    if not entries:
        return Transferred(key, "empty", skipped=skipped)
    there = await shelf.read(name)
    mine, theirs = _said(entries), _said(there.entries)
    known = _common(there.entries, entries)
    if mine[: len(theirs)] != theirs:
        if theirs[: len(mine)] == mine:
            return Transferred(key, "already there", known=known, skipped=skipped, reason="It has moved on there.")
        reason = "It has moved on there; it was left alone."
        return Transferred(key, "moved on", known=known, skipped=skipped, reason=reason)
    if len(mine) == len(theirs):
        return Transferred(key, "already there", known=len(there.entries), skipped=skipped)
    if not dry_run:
        await shelf.extend(name, there, known, entries[known:])
    return Transferred(
        key,
        "continued" if there.entries else "new",
        added=len(entries) - known,
        known=known,
        repaired=_repairs(sound, entries, known),
        skipped=skipped,
    )


# what makes a history sound ------------------------------------------------------------------------------------------


def flaw(content: Content) -> str | None:
    """Why this cannot be an item, if it cannot."""
    if not isinstance(content.get("type", ""), str):
        return "its type is no text"
    if kind_of(content) == "message":
        return _flaw_of_message(content)
    if is_call(content):
        return _not_texts(content, "call_id", "name", "arguments")
    if is_output(content):
        return _not_texts(content, "call_id") or (None if "output" in content else "an output without content")
    return None


def _flaw_of_message(content: Content) -> str | None:
    if content.get("role") not in ROLES:
        return "neither a message nor any other item"
    body = content.get("content")
    if not isinstance(body, str | list):
        return "a message without content"
    if isinstance(body, list) and not all(map(_is_part, body)):
        return "a message with a part that is none"
    return None


def _is_part(part: Any) -> bool:
    return isinstance(part, dict) and all(isinstance(part.get(name, ""), str | None) for name in ("text", "refusal"))


def _not_texts(content: Content, *names: str) -> str | None:
    missing = [name for name in names if not isinstance(content.get(name), str)]
    return f"a {kind_of(content)} without {missing[0]}" if missing else None


def repaired(entries: Sequence[Entry]) -> list[Entry]:
    """The same with an output behind every call and a call before every output. What is put in is as old as its call."""
    known = {id(entry.content): entry for entry in entries}
    result: list[Entry] = []
    for content in complete_pairs(entry.content for entry in entries):
        result.append(known.get(id(content)) or Entry(content, result[-1].at))
    return result


def _repairs(before: Sequence[Entry], after: Sequence[Entry], known: int) -> int:
    """How many there were among what is new, that is, behind the last entry that was known."""
    ours = {id(entry) for entry in before}
    kept = {id(entry) for entry in after}
    put_in = sum(id(entry) not in ours for entry in after[known:])
    last = next((i for i, entry in enumerate(before) if known and entry is after[known - 1]), -1)
    return put_in + sum(id(entry) not in kept for entry in before[last + 1 :])


# what is the same ----------------------------------------------------------------------------------------------------


def _said(entries: Sequence[Entry]) -> list[Content]:
    """Without what stands in for outputs: the real ones may have come since."""
    return [e.content for e in entries if not (is_output(e.content) and e.content.get("output") == UNANSWERED)]


def _common(some: Sequence[Entry], others: Sequence[Entry]) -> int:
    """With how many equal items both begin."""
    pairs = zip(some, others, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a.content != b.content), min(len(some), len(others)))

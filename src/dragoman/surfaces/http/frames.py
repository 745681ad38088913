"""What encoders of server-sent events share: events that may be one frame, and data that fits on one line."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from dragoman.domain.events import Delta, Recorded


def one_line(data: bytes) -> bytes:
    """Without the line separators of Unicode: SSE does not know them, but many a client splits lines there."""
    if b"\xe2\x80" in data or b"\xc2\x85" in data:
        for separator, escaped in _SEPARATORS:
            data = data.replace(separator, escaped)
    return data


_SEPARATORS = [(character.encode(), b"\\u%04x" % ord(character)) for character in "\u0085\u2028\u2029"]


def merged(batch: Sequence[Recorded]) -> Sequence[Recorded]:
    """The same, with neighbouring deltas of one item as one that has the place of the last."""
    if len(batch) == 1:
        return batch
    return [_joined(list(neighbours)) for _, neighbours in groupby(batch, _item_of)]


def _joined(entries: list[Recorded]) -> Recorded:
    last = entries[-1]
    if len(entries) == 1 or not isinstance(last.event, Delta):
        return last
    text = "".join(entry.event.text for entry in entries if isinstance(entry.event, Delta))
    return Recorded(last.position, replace(last.event, text=text))


def _item_of(entry: Recorded) -> object:
    """Equal for deltas of one item, different for everything else."""
    event = entry.event
    return (event.kind, event.path, event.output, event.call_id) if isinstance(event, Delta) else entry.position

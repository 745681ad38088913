"""Citations: every number in a report leads to a source that exists, whatever its writer wrote."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from dragoman.workflows.research.sources import SOURCES_HEADING, Source, same_place

_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
_OWN_LIST = re.compile(r"^#{1,6}\s+(?:sources|references|citations|bibliography|searches)\s*:?\s*$", re.IGNORECASE)
_CITED = re.compile(
    r"\[(?P<text>[^\[\]]*)\]\((?P<target>[^()\s]+)\)"  # a link
    r"|\[(?P<numbers>\d{1,4}(?:\s*[,;]\s*\d{1,4})*)\]"  # numbers
    r"|<?(?P<bare>https?://[^\s<>()\[\]]+)>?"
)
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Cited:
    """A source with its number in the report, and the headings below which it is cited."""

    number: int
    source: Source
    used_in: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    markdown: str
    sources: tuple[Cited, ...]  # the cited ones in the order of their numbers, then the others


def check(markdown: str, pool: Sequence[Source]) -> Checked:
    """A report whose numbers are places in the ``pool``, counted from 1, as it may be shown: what cites anything else is taken
    away, the rest is numbered in the order in which it is cited, and listed at the end."""
    editor = _Editor(pool)
    lines = [editor.line(line) for line in _without_own_list(markdown)]
    cited = [Cited(n, pool[place], tuple(editor.used[place])) for n, place in enumerate(editor.used, 1)]
    rest = [source for place, source in enumerate(pool) if place not in editor.used]
    others = [Cited(n, source, ()) for n, source in enumerate(rest, len(cited) + 1)]
    text = "\n".join(lines).strip()
    if listed := cited or others:
        text += f"\n\n{SOURCES_HEADING}\n\n" + "\n".join(f"{one.number}. {one.source.line}" for one in listed)
    return Checked(text, (*cited, *others))


class _Editor:
    def __init__(self, pool: Sequence[Source]) -> None:
        self.used: dict[int, dict[str, None]] = {}  # by place in the pool, in the order of citation: headings
        self._pool = pool
        self._places = {same_place(source.url): place for place, source in reversed(list(enumerate(pool)))}
        self._heading = ""

    def line(self, line: str) -> str:
        if match := _HEADING.match(line):
            self._heading = _CITED.sub("", match[1]).strip()
        edited = _CITED.sub(self._checked, line)
        return edited if edited == line else re.sub(r"(?<=\S) +(?=[.,;:!?) ]|$)", "", edited)

    def _checked(self, match: re.Match[str]) -> str:
        if match["numbers"]:
            places = [int(number) - 1 for number in _NUMBER.findall(match["numbers"])]
            return self._numbers([place for place in places if 0 <= place < len(self._pool)])
        place = self._places.get(same_place((match["target"] or match["bare"]).rstrip(".,;:")))
        text = (match["text"] or "").strip()
        number = "" if place is None else self._numbers([place])
        return f"{text} {number}".strip()

    def _numbers(self, places: Sequence[int]) -> str:
        if not places:
            return ""
        for place in places:
            self.used.setdefault(place, {})[self._heading] = None
        order = list(self.used)
        return f"[{', '.join(str(order.index(place) + 1) for place in dict.fromkeys(places))}]"


def _without_own_list(markdown: str) -> list[str]:
    """Whoever writes a list of sources all the same does not get it printed."""
    kept: list[str] = []
    listing = False
    for line in markdown.splitlines():
        if _HEADING.match(line):
            listing = _OWN_LIST.match(line) is not None
        if not listing:
            kept.append(line)
    return kept

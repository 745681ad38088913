"""Sources: which there really are, and what earlier reports of the conversation have brought."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from dragoman.application.workflows import Heard
from dragoman.domain.items import Content, is_output, text_of

QUOTE = 300
TITLE = 200
SOURCES_HEADING, SEARCHES_HEADING = "## Sources", "## Searches"

_LISTED = re.compile(r"^\d+\. \[(?P<title>.*)\]\((?P<url>\S+)\)(?: — “(?P<quote>.*)”)?$")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Source:
    title: str
    url: str
    quote: str = ""

    @property
    def line(self) -> str:
        """As reports list it, and ``earlier`` reads it."""
        quote = f" — “{self.quote}”" if self.quote else ""
        return f"[{self.title}]({self.url}){quote}"


def same_place(url: str) -> str:
    """What addresses of the same page have in common."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.scheme not in ("http", "https"):
        return url
    query = urlencode([(k, v) for k, v in parse_qsl(parts.query) if not k.startswith("utm_")])
    return urlunsplit(("https", parts.netloc.lower().removeprefix("www."), parts.path.rstrip("/"), query, ""))


def same_words(query: str) -> str:
    """What queries for the same thing have in common."""
    return " ".join(_WORD.findall(query.casefold()))


def sources_of(heard: Heard) -> list[Source]:
    """The sources that a search names and that its tools, or its model's own search, have really found."""
    evidence = _Evidence(heard.items)
    named = heard.output.get("findings") if isinstance(heard.output, dict) else None
    found = (_source(one, evidence) for one in (named if isinstance(named, list) else ()))
    return [source for source in found if source is not None]


def _source(named: Any, evidence: "_Evidence") -> Source | None:
    if not isinstance(named, dict) or not isinstance(url := named.get("url"), str) or not evidence.has_place(url):
        return None
    quote = _line(named.get("quote"), QUOTE)
    return Source(_line(named.get("title"), TITLE) or url, url, quote if evidence.has_words(quote) else "")


class _Evidence:
    """What tools have answered, and what a model that searches itself says it found."""

    def __init__(self, items: Iterable[Any]) -> None:
        texts = [text for done in items if not done.failed for text in _texts(done.item)]
        self._text = "\n".join(texts)
        self._words = same_words(self._text)

    def has_place(self, url: str) -> bool:
        return bool(url) and not any(sign in url for sign in " \n()<>") and url in self._text

    def has_words(self, quote: str) -> bool:
        return bool(quote) and same_words(quote) in self._words


def _texts(item: Content) -> Iterator[str]:
    if is_output(item):
        output = item["output"]
        text = output if isinstance(output, str) else text_of({"content": output})
        yield from _strings(_json(text))
    elif isinstance(parts := item.get("content"), list):
        for part in parts:
            annotations = part.get("annotations") if isinstance(part, dict) else None
            yield from (a["url"] for a in annotations or () if isinstance(a, dict) and isinstance(a.get("url"), str))


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner)


def _line(value: Any, limit: int) -> str:
    """One line of text that no Markdown link breaks at."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    return text.replace("[", "(").replace("]", ")")[:limit].strip()


@dataclass(frozen=True, slots=True)
class Earlier:
    """What reports of the conversation hold already."""

    sources: tuple[Source, ...] = ()
    queries: frozenset[str] = frozenset()  # as ``same_words`` writes them


def earlier(history: Sequence[Content]) -> Earlier:
    sources: dict[str, Source] = {}
    queries: set[str] = set()
    for item in history:
        if item.get("role") != "assistant":
            continue
        text = text_of(item)
        for line in _below(SOURCES_HEADING, text):
            if match := _LISTED.match(line):
                source = Source(match["title"], match["url"], match["quote"] or "")
                sources.setdefault(same_place(source.url), source)
        queries.update(same_words(line[2:]) for line in _below(SEARCHES_HEADING, text) if line.startswith("- "))
    return Earlier(tuple(sources.values()), frozenset(queries))


def _below(heading: str, text: str) -> Iterator[str]:
    """The lines below a heading."""
    inside = False
    for line in text.splitlines():
        if line.startswith("## "):
            inside = line == heading
        elif inside:
            yield line

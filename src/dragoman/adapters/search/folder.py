"""A folder of documents, searched by their words. The index is made in memory when it is first asked, from what is there then."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dragoman.domain.errors import FetchFailed
from dragoman.ports.search import Hit

ENDINGS = frozenset({".md", ".markdown", ".rst", ".txt"})
MAX_DOCUMENT = 2_000_000
MAX_DOCUMENTS = 10_000
MAX_WORDS = 32
"""Of a query; nobody means more."""
SCHEME = "doc:"

DULL = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "can",
        "do",
        "does",
        "for",
        "from",
        "has",
        "have",
        "how",
        "i",
        "in",
        "is",
        "it",
        "its",
        "of",
        "on",
        "or",
        "that",
        "the",
        "this",
        "to",
        "was",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
        "will",
        "with",
        "you",
    ]
)
"""Words that say nothing about what is looked for."""

_HEADING = re.compile(r"^(#{1,6})\s+(.+?)\s*#*\s*$")
_WORD = re.compile(r"\w+")


@dataclass(slots=True)
class FolderSearch:
    """Found are sections: what stands below one heading."""

    folder: Path
    leads_outside: bool = False
    _index: sqlite3.Connection | None = None
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def search(self, query: str, limit: int) -> Sequence[Hit]:
        said = _WORD.findall(query)
        words = ([word for word in said if word.lower() not in DULL] or said)[:MAX_WORDS]
        if not words:
            return []
        async with self._making:  # one at a time: the index is one connection
            if self._index is None:
                self._index = await asyncio.to_thread(_index_of, self.folder)
            return await asyncio.to_thread(_found, self._index, words, limit)


def _index_of(folder: Path) -> sqlite3.Connection:
    if not folder.is_dir():
        raise FetchFailed("The folder of documents is not there.")
    index = sqlite3.connect(":memory:", check_same_thread=False)
    index.execute("create virtual table sections using fts5(title, text, url unindexed, tokenize='porter unicode61')")
    index.executemany("insert into sections (title, url, text) values (?, ?, ?)", _sections(folder))
    return index


def _found(index: sqlite3.Connection, words: Sequence[str], limit: int) -> list[Hit]:
    """Any of the words will do; the rarer ones, and those in titles, count more."""
    wanted = " OR ".join(f'"{word}"' for word in words)
    rows = index.execute(
        "select title, url, text from sections where sections match ? order by bm25(sections, 4.0, 1.0), rowid limit ?",
        (wanted, limit),
    )
    return [Hit(title, url, text) for title, url, text in rows]


def _sections(folder: Path) -> Iterator[tuple[str, str, str]]:
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS and _readable(path, folder))
    for path in found[:MAX_DOCUMENTS]:
        name = path.relative_to(folder).as_posix()
        yield from _sections_of(name, path.read_text("utf-8", errors="replace"))


def _readable(path: Path, folder: Path) -> bool:
    """A link that leads out of the folder is not followed."""
    inside = path.resolve().is_relative_to(folder.resolve())
    return inside and path.is_file() and path.stat().st_size <= MAX_DOCUMENT


def _sections_of(name: str, text: str) -> Iterator[tuple[str, str, str]]:
    document, heading, lines = Path(name).stem, "", []
    for line in [*text.splitlines(), "# "]:
        match = _HEADING.match(line)
        if match is None and line != "# ":
            lines.append(line)
            continue
        if body := "\n".join(lines).strip():
            yield _titled(document, heading), f"{SCHEME}{name}{_anchor(heading)}", body
        lines = []
        if match is not None:
            document, heading = (match[2], "") if match[1] == "#" else (document, match[2])


def _titled(document: str, heading: str) -> str:
    return f"{document}: {heading}" if heading else document


def _anchor(heading: str) -> str:
    return "#" + "-".join(_WORD.findall(heading.lower())) if heading else ""

"""The tools of the searcher: searching, and reading a page of the web."""

from collections.abc import Mapping
from dataclasses import asdict
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.robotparser import RobotFileParser

from dragoman.domain.errors import FetchFailed, UrlRefused
from dragoman.domain.tools import Tool, ToolError, cut
from dragoman.ports.search import SearchEngine
from dragoman.ports.web import Fetched, Web

SEARCH, READ = "search_sources", "read_page"
HITS = 5
MAX_HIT = 3_000
"""Characters of one hit."""
MAX_PAGE, MAX_PAGE_TEXT, MAX_ROBOTS = 2_000_000, 20_000, 500_000
PATIENCE = 15.0
AGENT = "Dragoman"


def search_tool(engine: SearchEngine) -> Tool:
    async def search(query: str) -> list[dict[str, str]]:
        try:
            hits = await engine.search(query, HITS)
        except FetchFailed as failure:
            raise ToolError(f"The search could not be made. {failure.detail}") from None
        return [{**asdict(hit), "text": cut(hit.text, MAX_HIT)} for hit in hits]

    return Tool(SEARCH, "Search for sources. Gives titles, addresses and texts, the best first.", _one("query"), search)


def page_tool(web: Web) -> Tool:
    async def read(url: str) -> dict[str, str]:
        try:
            await _check_robots(web, url)
            page = await web.fetch(url, max_bytes=MAX_PAGE, timeout=PATIENCE)
        except (FetchFailed, UrlRefused) as failure:
            raise ToolError(f"The page cannot be read. {failure.detail}") from None
        if page.status != 200:
            raise ToolError(f"The page cannot be read: its server answers with status {page.status}.")
        return {"url": url, "text": cut(page_text(page), MAX_PAGE_TEXT)}

    return Tool(READ, "Read a page of the web that a search has found.", _one("url"), read)


def _one(name: str) -> dict[str, Any]:
    """The schema of a tool with one text as its argument."""
    properties: Mapping[str, Any] = {name: {"type": "string"}}
    return {"type": "object", "properties": properties, "required": [name], "additionalProperties": False}


async def _check_robots(web: Web, url: str) -> None:
    """``FetchFailed`` where its server does not want programs to read it. One that says nothing does not mind."""
    parts = urlsplit(url)
    robots = urlunsplit((parts.scheme, parts.netloc, "/robots.txt", "", ""))
    try:
        found = await web.fetch(robots, max_bytes=MAX_ROBOTS, timeout=PATIENCE)
    except FetchFailed:
        return
    rules = RobotFileParser()
    rules.parse(_decoded(found).splitlines() if found.status == 200 else [])
    if found.status in (401, 403) or not rules.can_fetch(AGENT, url):
        raise FetchFailed("Its server does not want programs to read it.")


def page_text(page: Fetched) -> str:
    """The words of a page."""
    kind = page.content_type.partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        reader = _Reader()
        reader.feed(_decoded(page))
        reader.close()
        return reader.text
    if kind.startswith("text/") or kind in ("application/json", "application/xml"):
        return _decoded(page)
    raise ToolError(f"The page cannot be read: it is {kind or 'of an unknown kind'}, not text.")


def _decoded(page: Fetched) -> str:
    _, _, charset = page.content_type.partition("charset=")
    try:
        return page.body.decode(charset.strip("\"' ;") or "utf-8", errors="replace")
    except LookupError:
        return page.body.decode("utf-8", errors="replace")


class _Reader(HTMLParser):
    """What a person would see."""

    UNSEEN = frozenset({"script", "style", "noscript", "template", "svg", "head"})
    APART = frozenset({"p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "section", "article"})

    def __init__(self) -> None:
        super().__init__()
        self._hidden = 0
        self._pieces: list[str] = []

    @property
    def text(self) -> str:
        lines = (" ".join(line.split()) for line in "".join(self._pieces).splitlines())
        return "\n".join(filter(None, lines))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in self.UNSEEN:
            self._hidden += 1
        elif tag in self.APART:
            self._pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.UNSEEN:
            self._hidden = max(0, self._hidden - 1)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._pieces.append(data)

"""Reads pages of the public web."""

import json
from html.parser import HTMLParser

from dragoman.domain.errors import FetchFailed, UrlRefused
from dragoman.domain.tools import Tool, ToolError
from dragoman.ports.web import Fetched, Web
from dragoman.tools.decorator import tool
from dragoman.tools.pages import page_of

MAX_BYTES = 2_000_000
TIMEOUT = 20.0


def url_fetch(web: Web) -> Tool:
    """The tool over a guarded web: it goes nowhere that ``web`` does not lead."""

    @tool
    async def fetch_url(url: str, start: int = 0) -> str:
        """Fetch a web page or a text from a public address, as plain text.

        Args:
            url: the whole address, with http:// or https://
            start: the character to begin with, to go on reading a long text
        """
        try:
            fetched = await web.fetch(url, max_bytes=MAX_BYTES, timeout=TIMEOUT)
        except (UrlRefused, FetchFailed) as error:
            raise ToolError(error.detail) from None
        if fetched.status >= 400:
            raise ToolError(f"{fetched.url} answered with the status {fetched.status}.")
        return page_of(_text(fetched), start)

    return fetch_url


def _text(fetched: Fetched) -> str:
    kind, _, rest = fetched.content_type.lower().partition(";")
    kind = kind.strip()
    if not (kind.startswith("text/") or kind.endswith(("json", "xml")) or not kind):
        raise ToolError(f"{fetched.url} is {kind}, which is not text.")
    text = _decoded(fetched.body, rest)
    if kind in ("text/html", "application/xhtml+xml"):
        return text_of_html(text)
    return _indented(text) if kind.endswith("json") else text


def _decoded(body: bytes, parameters: str) -> str:
    charset = parameters.partition("charset=")[2].partition(";")[0].strip(" \"'") or "utf-8"
    try:
        return body.decode(charset, "replace")
    except LookupError:
        return body.decode("utf-8", "replace")


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def text_of_html(html: str) -> str:
    """What a reader of the page sees, without its layout."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.pieces).splitlines())
    return "\n".join(line for line in lines if line)


_UNSEEN = frozenset({"script", "style", "noscript", "template", "svg"})
_INLINE = frozenset(
    {"a", "abbr", "b", "code", "em", "i", "mark", "q", "s", "small", "span", "strong", "sub", "sup", "u"}
)


class _Reader(HTMLParser):
    """Gathers what is seen of a page. Everything but inline markup begins a line."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag in _UNSEEN:
            self._unseen += 1
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.pieces.append(data)

    def _break(self, tag: str) -> None:
        if tag not in _INLINE:
            self.pieces.append("\n")

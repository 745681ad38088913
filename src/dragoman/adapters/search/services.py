"""Search services of the web. Each is one request, and its answer read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from dragoman.domain.errors import FetchFailed
from dragoman.ports.search import Hit

TIMEOUT = 20.0
MAX_ANSWER = 4_000_000
MAX_TEXT = 4_000
"""Characters of what a service quotes from one page."""


@dataclass(frozen=True, slots=True)
class SearxngSearch:
    """An instance of SearXNG, whose settings must allow the format JSON."""

    url: str
    leads_outside: bool = True

    async def search(self, query: str, limit: int) -> Sequence[Hit]:
        asked = {"q": query, "format": "json"}
        answer = await _ask("GET", f"{self.url.rstrip('/')}/search", params=asked)
        return _hits(answer.get("results"), "content", limit)


@dataclass(frozen=True, slots=True)
class TavilySearch:
    key: str = field(repr=False)
    url: str = "https://api.tavily.com"
    leads_outside: bool = True

    async def search(self, query: str, limit: int) -> Sequence[Hit]:
        answer = await _ask(
            "POST",
            f"{self.url.rstrip('/')}/search",
            headers={"authorization": f"Bearer {self.key}"},
            json={"query": query, "max_results": limit},
        )
        return _hits(answer.get("results"), "content", limit)


@dataclass(frozen=True, slots=True)
class BraveSearch:
    key: str = field(repr=False)
    url: str = "https://api.search.brave.com"
    leads_outside: bool = True

    async def search(self, query: str, limit: int) -> Sequence[Hit]:
        answer = await _ask(
            "GET",
            f"{self.url.rstrip('/')}/res/v1/web/search",
            headers={"x-subscription-token": self.key},
            params={"q": query, "count": str(limit), "text_decorations": "false"},
        )
        web = answer.get("web")
        return _hits(web.get("results") if isinstance(web, dict) else None, "description", limit)


async def _ask(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    json: Any = None,
) -> dict[str, Any]:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.request(method, url, headers=headers, params=params, json=json, allow_redirects=False) as answer,
        ):
            return await _read(answer)
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
        raise FetchFailed("The search service does not answer.") from None


async def _read(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    if answer.status != 200:
        raise FetchFailed(f"The search service answers with status {answer.status}.")
    body = bytearray()
    async for chunk in answer.content.iter_chunked(65_536):
        body += chunk
        if len(body) > MAX_ANSWER:
            raise FetchFailed("The answer of the search service is too large.")
    found = orjson.loads(body)
    if not isinstance(found, dict):
        raise FetchFailed("The answer of the search service makes no sense.")
    return found


def _hits(results: Any, text: str, limit: int) -> list[Hit]:
    """What of the results has an address."""
    if not isinstance(results, list):
        return []
    return [hit for hit in _read_hits(results, text) if hit.url.startswith(("http://", "https://"))][:limit]


def _read_hits(results: Iterable[Any], text: str) -> Iterable[Hit]:
    for one in results:
        if isinstance(one, dict):
            url = str(one.get("url") or "")
            yield Hit(str(one.get("title") or url), url, str(one.get(text) or "")[:MAX_TEXT])

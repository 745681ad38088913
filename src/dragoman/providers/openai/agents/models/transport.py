"""The wire to one endpoint: a shared pool of connections, time limits, and failures in our own words.

What comes back is handed to a ``Reader`` packet by packet, in the task that asked; there is nothing to clean up elsewhere.
"""

import asyncio
import logging
import urllib.request
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from dragoman.domain.errors import DragomanError, ModelBroken, ModelUnavailable
from dragoman.providers.openai.agents.models.payload import code_of, error_in, parsed
from dragoman.providers.openai.agents.models.sse import MAX_LINE, Events
from dragoman.providers.openai.config import ModelEndpoint, TimeLimits
from dragoman.providers.openai.errors import status_failure

logger = logging.getLogger(__name__)

AFTERWORD = 1.0
"""How long a finished answer may go on, in seconds: with its usage, its end mark, the end of its body."""
ERROR_BODY = 65_536
"""As much of a refusal is read, in bytes."""


class Reader(Protocol):
    """Makes sense of an answer. Raises ``DragomanError`` for one that is a failure or makes none."""

    begun: bool
    """Somebody has heard some of it."""

    @property
    def finished(self) -> bool:
        """It could end here."""
        ...

    def read(self, event: bytes) -> None:
        """The data of one server-sent event."""
        ...

    def read_whole(self, body: bytes) -> None:
        """A plain JSON answer: some servers do not stream, whatever they are asked."""
        ...


class Wire:
    """Lives in one event loop, from the first question on."""

    def __init__(self, endpoint: ModelEndpoint, limits: TimeLimits) -> None:
        base, _, query = endpoint.base_url.partition("?")
        self._base = base.rstrip("/")
        self._query = {**dict(parse_qsl(query)), **endpoint.query}
        self._limits = limits
        self._headers = {
            "user-agent": f"dragoman/{version('dragoman')}",
            "content-type": "application/json",
            "accept": "text/event-stream",
            "accept-encoding": "identity",  # what is compressed comes late
            **({"authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}),
            **{name.lower(): value for name, value in endpoint.headers.items()},
        }
        self._proxy = _proxy(self._base)
        self._session: aiohttp.ClientSession | None = None

    async def ask(
        self,
        path: str,
        body: bytes,
        reader: Reader,
        *,
        headers: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> None:
        """Send a request and read its answer to the end. A header that is no text is one to leave out."""
        limits = self._limits
        try:
            async with asyncio.timeout(limits.call), asyncio.timeout(_first_wait(limits)) as alarm:
                async with self._open().post(
                    self._base + path,
                    data=body,
                    headers=self._with_headers(headers or {}),
                    params=list(_pairs({**self._query, **(query or {})})),
                    proxy=self._proxy,
                    allow_redirects=False,  # our key is for this host
                ) as reply:
                    if reply.status != 200:
                        raise await _refusal(reply)
                    await _read(reply.content, reader, _Patience(alarm, limits))
        except TimeoutError as error:
            if not reader.finished:
                raise ModelUnavailable from error
        except (aiohttp.ClientError, ConnectionError) as error:
            if not reader.finished:
                raise ModelBroken() if reader.begun else ModelUnavailable() from error
        if not reader.finished:
            raise ModelBroken

    async def aclose(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
                timeout=aiohttp.ClientTimeout(connect=self._limits.connect),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _with_headers(self, given: Mapping[str, Any]) -> dict[str, str]:
        merged = {**self._headers, **{name.lower(): value for name, value in given.items()}}
        return {name: value for name, value in merged.items() if isinstance(value, str)}


class _Patience:
    """Puts an alarm off while there is something to hear: not at every word, that would cost more than the word."""

    __slots__ = ("_alarm", "_begun", "_finished", "_limits", "_now", "_renew", "_started")

    def __init__(self, alarm: asyncio.Timeout, limits: TimeLimits) -> None:
        self._alarm = alarm
        self._limits = limits
        self._now = asyncio.get_running_loop().time
        self._started = self._now()
        self._renew = 0.0
        self._begun = self._finished = False

    def heard(self, reader: Reader) -> None:
        now = self._now()
        if now < self._renew and reader.begun is self._begun and reader.finished is self._finished:
            return
        self._begun, self._finished = reader.begun, reader.finished
        silence = self._limits.silence
        self._renew = now + silence / 10
        until = now + silence * 1.1
        if self._finished:
            until = now + AFTERWORD
            self._renew = until
        elif not self._begun and self._limits.first_token is not None:
            until = min(until, self._started + self._limits.first_token)
        self._alarm.reschedule(until)


def _first_wait(limits: TimeLimits) -> float:
    return limits.silence if limits.first_token is None else min(limits.silence, limits.first_token)


async def _read(content: aiohttp.StreamReader, reader: Reader, patience: _Patience) -> None:
    packet = await content.readany()
    if packet.lstrip().startswith(b"{"):
        reader.read_whole(packet + await _upto(content, MAX_LINE))
        return
    events = Events()
    while packet:
        if found := events.feed(packet):
            for event in found:
                reader.read(event)
            patience.heard(reader)
        packet = await content.readany()
    for event in events.rest():
        reader.read(event)


async def _upto(content: aiohttp.StreamReader, limit: int) -> bytes:
    body = bytearray()
    while len(body) < limit and (packet := await content.readany()):
        body += packet
    return bytes(body)


async def _refusal(reply: aiohttp.ClientResponse) -> DragomanError:
    """What an answer other than 200 means. Its text is for nobody but a log that is read by few."""
    body = await _upto(reply.content, ERROR_BODY)
    try:
        code = code_of(error_in(parsed(body)))
    except ModelBroken:  # a proxy's page
        code = None
    logger.warning("%s answered %d (%s)", reply.url.host, reply.status, code or "no code")
    logger.debug("it said: %s", body[:2000].decode(errors="replace"))
    return status_failure(reply.status, code, reply.headers)


def _pairs(query: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in query.items():
        for each in value if isinstance(value, list | tuple) else (value,):
            yield name, str(each).lower() if isinstance(each, bool) else str(each)


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for this address, asked once: it does not change while we run."""
    where = urlsplit(url)
    if urllib.request.proxy_bypass(where.hostname or ""):
        return None
    return urllib.request.getproxies().get(where.scheme)

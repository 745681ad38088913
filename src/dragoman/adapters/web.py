"""``ports.web.Web`` over aiohttp: addresses are looked up once, checked, and connected to as they were checked."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from dragoman.domain.errors import FetchFailed, UrlRefused
from dragoman.ports.web import MAX_URL, Fetched

PORTS = {"http": 80, "https": 443}
REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_REDIRECTS = 5
PATIENCE = 3.0
"""Seconds a name may take to be looked up."""

INTERNAL = (".internal", ".local", ".localhost", ".lan", ".home.arpa", ".intranet", ".corp", ".home")
"""Endings of names that lead nowhere in public."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a name; none if there is no such name."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")


async def look_up(host: str) -> Sequence[str]:
    """As the operating system does, which also knows other ways to write an address: ``127.1``, ``0x7f000001``."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@dataclass(frozen=True, slots=True)
class AiohttpWeb:
    """``trusted``: hosts, perhaps with a port, that may have private addresses."""

    trusted: frozenset[str] = frozenset()
    look_up: Lookup = field(default=look_up)

    async def check(self, url: str) -> None:
        parts = _parts(url)
        if not self._trusts(parts):
            host = _host(parts)
            _refuse_private(host, await self._addresses(host))

    async def fetch(
        self, url: str, *, max_bytes: int, timeout: float, headers: dict[str, str] | None = None
    ) -> Fetched:
        try:
            async with asyncio.timeout(timeout):
                return await self._follow(url, max_bytes, {"user-agent": "Dragoman", **(headers or {})})
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            raise FetchFailed from None

    async def _follow(self, url: str, max_bytes: int, headers: dict[str, str]) -> Fetched:
        for _ in range(MAX_REDIRECTS + 1):
            found = await self._get(url, max_bytes, headers)
            if isinstance(found, Fetched):
                return found
            url = urljoin(url, found)
        raise FetchFailed("It leads from one address to the next without end.")

    async def _get(self, url: str, max_bytes: int, headers: dict[str, str]) -> Fetched | str:
        """What is there, or where it leads."""
        parts = _parts(url)
        resolver = _Resolver(self, trusted=self._trusts(parts))
        if not resolver.trusted:
            resolver.refuse_literal(_host(parts))
        connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False, force_close=True)
        async with (
            aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http,
            http.get(url, headers=headers, allow_redirects=False) as answer,
        ):
            if answer.status in REDIRECTS and (target := answer.headers.get("location")):
                return target
            body = await _read(answer, max_bytes)
            return Fetched(url, answer.status, answer.headers.get("content-type", ""), body)

    async def _addresses(self, host: str) -> Sequence[str]:
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.look_up(host)
        except TimeoutError:
            raise UrlRefused(f"Nobody could say in time where {host!r} is.") from None

    def _trusts(self, parts: SplitResult) -> bool:
        host = _host(parts)
        return host in self.trusted or f"{host}:{parts.port or PORTS[parts.scheme]}" in self.trusted


class _Resolver(AbstractResolver):
    """Gives a connection the addresses that were checked, and no others."""

    def __init__(self, web: AiohttpWeb, *, trusted: bool) -> None:
        self.trusted = trusted
        self._web = web

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family  # whichever there is
        addresses = await self._web._addresses(host)  # noqa: SLF001 - its other half
        if not addresses:
            raise OSError(f"there is no {host}")
        if not self.trusted:
            _refuse_private(host, addresses)
        return [_result(host, port, address) for address in addresses]

    def refuse_literal(self, host: str) -> None:
        """An address that is written out is not looked up."""
        if _address(host) is not None:
            _refuse_private(host, [host])

    async def close(self) -> None:
        pass


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)


async def _read(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(65_536):
        body += chunk
        if len(body) > max_bytes:
            raise FetchFailed(f"It is larger than {max_bytes} bytes.")
    return bytes(body)


def _parts(url: str) -> SplitResult:
    """An address taken apart, if it is one and could be public at all."""
    if len(url) > MAX_URL or not url.isprintable() or " " in url or "\\" in url:
        raise UrlRefused("It is no address on the web.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UrlRefused("It is no address on the web.") from None
    if parts.scheme not in PORTS or not parts.hostname or port == 0:
        raise UrlRefused("An address begins with https:// or http:// and names a host.")
    if parts.username is not None or parts.password is not None:
        raise UrlRefused("An address must not hold a user or a password.")
    return parts


def _host(parts: SplitResult) -> str:
    return (parts.hostname or "").rstrip(".").lower()


def _refuse_private(host: str, addresses: Sequence[str]) -> None:
    internal = _address(host) is None and ("." not in host or host.endswith(INTERNAL))
    if internal or not all(map(_is_public, addresses)):
        raise UrlRefused(f"{host!r} is not a public host.")


def _is_public(text: str) -> bool:
    address = _address(text)
    return address is not None and all(one.is_global and not one.is_multicast for one in _meant(address))


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])  # without the zone of a link-local one
    except ValueError:
        return None


def _meant(address: Address) -> Sequence[Address]:
    """The address itself, or the ones of IPv4 that are wrapped in it."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    wrapped: list[Address] = [one for one in (address.ipv4_mapped, address.sixtofour) if one is not None]
    if address.teredo is not None:
        wrapped.extend(address.teredo)
    if address in _NAT64 or address in _COMPATIBLE:
        wrapped.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return wrapped or [address]

"""Addresses that somebody gave: none of them leads into the operator's own network, whatever it looks like."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from dragoman.adapters.web import AiohttpWeb, look_up
from dragoman.domain.errors import FetchFailed, Invalid, UrlRefused

PUBLIC = "93.184.216.34"
PRIVATE = [
    *("127.0.0.1", "127.8.9.10", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254"),
    *("100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
    *("::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "fe80::1%1"),
]


@dataclass
class Names:
    """A name service that answers what it is told, and remembers what it was asked."""

    answers: dict[str, list[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        return self.answers.get(host, [])


def at(*addresses: str, trusted: frozenset[str] = frozenset()) -> AiohttpWeb:
    """The web, in which ``www.example.com`` is there."""
    return AiohttpWeb(trusted, Names({"www.example.com": list(addresses)}))


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_leads_to_a_private_address_is_refused_even_if_only_one_does(address: str):
    for addresses in ([address], [PUBLIC, address]):
        with pytest.raises(UrlRefused):
            await at(*addresses).check("https://www.example.com/image.png")


@pytest.mark.parametrize("address", [a for a in PRIVATE if "%" not in a])
async def test_a_private_address_itself_is_refused(address: str):
    host = f"[{address}]" if ":" in address else address
    refusing = AiohttpWeb()
    for visit in (refusing.check(f"http://{host}/"), refusing.fetch(f"http://{host}/", max_bytes=1, timeout=5)):
        with pytest.raises(UrlRefused):
            await visit


@pytest.mark.parametrize(
    "host", ["127.1", "0x7f000001", "2130706433", "0177.0.0.1", "localhost", "LOCALHOST", "localhost."]
)
async def test_other_ways_to_write_this_machine_are_refused(host: str):
    with pytest.raises(UrlRefused):
        await AiohttpWeb(look_up=look_up).check(f"http://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "ftp://www.example.com/", "gopher://www.example.com/", "javascript:alert(1)", ""),
        *("//www.example.com/", "/etc/passwd", "https://", "http:///x", "https://www.example.com:0/", "http://[::1"),
        *("https://user:pw@www.example.com/", "https://user@www.example.com/", "https://www.example.com:x/"),
        *("https://www.example.com\\@10.0.0.1/", "https://www.example.com/a b", "https://www.example.com/\r\nHost: x"),
        *("https://metadata.google.internal/", "http://printer.local/", "http://database/", "https://a.localhost/"),
        "https://www.example.com/" + "x" * 2048,
    ],
)
async def test_what_is_no_address_on_the_web_is_refused(url: str):
    with pytest.raises(UrlRefused):
        await at(PUBLIC).check(url)


@pytest.mark.parametrize(
    "url", ["https://www.example.com/a.png?b=c#d", "HTTP://WWW.EXAMPLE.COM:8080", "https://93.184.216.34/"]
)
async def test_what_is_public_passes(url: str):
    await at(PUBLIC, "2606:2800:220:1:248:1893:25c8:1946").check(url)


async def test_a_name_that_is_not_found_passes_because_nobody_will_find_it():
    await at().check("https://nowhere.example.com/")


async def test_a_host_the_operator_trusts_may_be_private():
    await at("10.0.0.7", trusted=frozenset({"www.example.com"})).check("http://www.example.com:9000/")
    narrow = at("10.0.0.7", trusted=frozenset({"www.example.com:9000"}))
    await narrow.check("http://www.example.com:9000/")
    with pytest.raises(UrlRefused):
        await narrow.check("http://www.example.com/")


def test_a_refused_address_is_a_request_that_makes_no_sense():
    assert issubclass(UrlRefused, Invalid)


# fetching ----------------------------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def site(**answers) -> AsyncIterator[int]:
    """A server on this machine, by path; its port."""
    app = web.Application()
    for name, answer in answers.items():
        app.router.add_get(f"/{name}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def near(port: int, **names: list[str]) -> AiohttpWeb:
    """The web, in which the site is at ``site.example.com`` and trusted."""
    found = {"site.example.com": ["127.0.0.1"], **{name.replace("_", "."): to for name, to in names.items()}}
    return AiohttpWeb(frozenset({f"site.example.com:{port}"}), Names(found))


async def hello(request: web.Request) -> web.Response:
    return web.Response(text=f"Hello {request.headers['host']}", headers={"set-cookie": "a=b"})


async def test_what_is_there_is_fetched():
    async with site(hello=hello) as port:
        url = f"http://site.example.com:{port}/hello"
        found = await near(port).fetch(url, max_bytes=1000, timeout=10)
    assert (found.url, found.status, found.content_type) == (url, 200, "text/plain; charset=utf-8")
    assert found.body == f"Hello site.example.com:{port}".encode()


async def test_a_name_is_looked_up_once_so_that_it_cannot_change_its_mind():
    async with site(hello=hello) as port:
        visited = near(port)
        await visited.fetch(f"http://site.example.com:{port}/hello", max_bytes=1000, timeout=10)
    assert visited.look_up.asked == ["site.example.com"]


async def test_a_name_that_leads_here_by_the_time_it_is_fetched_is_refused_and_nobody_calls():
    called = []

    async def answer(request: web.Request) -> web.Response:
        called.append(request.path)
        return web.Response()

    async with site(hello=answer) as port:
        rebinding = near(port, www_example_com=[PUBLIC])
        url = f"http://www.example.com:{port}/hello"
        await rebinding.check(url)
        rebinding.look_up.answers["www.example.com"] = ["127.0.0.1"]
        with pytest.raises(UrlRefused):
            await rebinding.fetch(url, max_bytes=1000, timeout=10)
    assert called == []


@pytest.mark.parametrize(
    "target", ["http://127.0.0.1:{}/hello", "http://inner.example.com:{}/hello", "file:///etc/passwd"]
)
async def test_a_redirect_is_looked_at_as_the_first_address_was(target: str):
    async def lead(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"location": target.format(port)})

    async with site(lead=lead, hello=hello) as port:
        with pytest.raises(UrlRefused):
            await near(port, inner_example_com=["127.0.0.1"]).fetch(
                f"http://site.example.com:{port}/lead", max_bytes=1000, timeout=10
            )


async def test_a_redirect_is_followed_also_a_relative_one_but_not_for_ever():
    async def lead(_: web.Request) -> web.Response:
        return web.Response(status=307, headers={"location": "hello?x=1"})

    async def circle(_: web.Request) -> web.Response:
        return web.Response(status=301, headers={"location": "/circle"})

    async with site(lead=lead, hello=hello, circle=circle) as port:
        base = f"http://site.example.com:{port}"
        found = await near(port).fetch(f"{base}/lead", max_bytes=1000, timeout=10)
        assert found.url == f"{base}/hello?x=1"
        with pytest.raises(FetchFailed):
            await near(port).fetch(f"{base}/circle", max_bytes=1000, timeout=10)


async def test_what_is_too_large_is_not_read_to_its_end_packed_or_not():
    async def large(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 100_000)

    async def bomb(_: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"x" * 10_000_000), headers={"content-encoding": "gzip"})

    async with site(large=large, bomb=bomb) as port:
        for name in ("large", "bomb"):
            with pytest.raises(FetchFailed):
                await near(port).fetch(f"http://site.example.com:{port}/{name}", max_bytes=50_000, timeout=10)


async def test_what_takes_too_long_is_given_up():
    never = asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    async with site(slow=slow) as port:
        with pytest.raises(FetchFailed):
            await near(port).fetch(f"http://site.example.com:{port}/slow", max_bytes=1000, timeout=0.2)
        never.set()


async def test_an_error_is_an_answer_and_a_name_that_is_not_there_is_none():
    async with site() as port:
        found = await near(port).fetch(f"http://site.example.com:{port}/nothing", max_bytes=1000, timeout=10)
        assert found.status == 404
        with pytest.raises(FetchFailed):
            await near(port).fetch("http://nowhere.example.com/", max_bytes=1000, timeout=10)

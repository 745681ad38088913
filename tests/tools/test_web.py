"""The built-in tool that fetches pages: as text, in pages, and only where the guard lets it."""

import contextlib

import pytest
from aiohttp import web

from dragoman.adapters.web import AiohttpWeb
from dragoman.domain.tools import ToolError
from dragoman.tools.pages import PAGE
from dragoman.tools.web import text_of_html, url_fetch

HTML = """<!doctype html><html><head><title>Rivers</title><style>p {}</style></head>
<body><script>alert("no")</script><h1>The <b>Jordan</b></h1><p>It flows
south &amp; ends.</p></body></html>"""


@contextlib.asynccontextmanager
async def site():
    pages = {
        "/html": ("text/html; charset=utf-8", HTML.encode()),
        "/json": ("application/json", b'{"a": [1]}'),
        "/latin": ("text/plain; charset=latin-1", "Müll".encode("latin-1")),
        "/odd": ("text/plain; charset=nonsense", b"still read"),
        "/long": ("text/plain", b"x" * (PAGE + 5)),
        "/image": ("image/png", b"\x89PNG"),
    }

    async def serve(request):
        if request.path not in pages:
            raise web.HTTPNotFound
        kind, body = pages[request.path]
        return web.Response(body=body, headers={"content-type": kind})

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        place = web.TCPSite(runner, "127.0.0.1", 0)
        await place.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_pages_are_told_as_text():
    fetch = url_fetch(AiohttpWeb(frozenset({"127.0.0.1"})))
    async with site() as at:
        assert await fetch(f"{at}/html") == "Rivers\nThe Jordan\nIt flows\nsouth & ends."
        assert await fetch(f"{at}/json") == '{\n "a": [\n  1\n ]\n}'
        assert await fetch(f"{at}/latin") == "Müll"
        assert await fetch(f"{at}/odd") == "still read"
        first = await fetch(f"{at}/long")
        assert first.endswith(f"Go on with start={PAGE}.]")
        assert await fetch(f"{at}/long", start=PAGE) == "x" * 5


async def test_what_cannot_be_read_is_said_in_words():
    fetch = url_fetch(AiohttpWeb(frozenset({"127.0.0.1"})))
    async with site() as at:
        for path, reason in (("/image", "not text"), ("/gone", "status 404")):
            with pytest.raises(ToolError, match=reason):
                await fetch(at + path)
        with pytest.raises(ToolError, match="begin between"):
            await fetch(f"{at}/html", start=10_000)


async def test_an_address_that_is_not_public_is_not_fetched():
    async with site() as at:
        with pytest.raises(ToolError, match="not a public host"):
            await url_fetch(AiohttpWeb())(f"{at}/html")


def test_markup_that_is_broken_hides_nothing():
    assert text_of_html("<p>one</style><p>two<script>x</script>three<b>!</p>") == "one\ntwo\nthree!"

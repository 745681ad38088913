"""Where research searches: a folder, and services of the web that answer on this machine."""

import contextlib

import pytest
from aiohttp import web

from dragoman.adapters.search.folder import FolderSearch
from dragoman.adapters.search.services import BraveSearch, SearxngSearch, TavilySearch
from dragoman.adapters.web import AiohttpWeb
from dragoman.domain.errors import FetchFailed
from dragoman.domain.tools import ToolError
from dragoman.workflows.research.tools import page_tool

RESULT = {"title": "A page", "url": "https://example.org/page", "content": "Words.", "description": "Words."}


@contextlib.asynccontextmanager
async def service(handler):
    """A server on this machine; gives its address, and what it was asked."""
    asked = []

    async def answer(request):
        asked.append((request.method, request.path, dict(request.query), request.headers.copy(), await request.text()))
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}", asked
    finally:
        await runner.cleanup()


def telling(body, status=200):
    async def handler(request):
        return web.json_response(body, status=status)

    return handler


SERVICES = {
    "searxng": (SearxngSearch, {"results": [RESULT, {"title": "no address"}, "nonsense"]}),
    "tavily": (lambda url: TavilySearch("key", url), {"results": [RESULT, {"url": "ftp://elsewhere"}]}),
    "brave": (lambda url: BraveSearch("key", url), {"web": {"results": [RESULT]}}),
}


@pytest.fixture(params=SERVICES)
def kind(request):
    return SERVICES[request.param]


async def test_what_a_service_finds_comes_with_title_address_and_text(kind):
    made, body = kind
    async with service(telling(body)) as (url, asked):
        hits = await made(url).search("dragoman & guide", 5)
    assert [(hit.title, hit.url, hit.text) for hit in hits] == [("A page", "https://example.org/page", "Words.")]
    method, _, query, _, sent = asked[0]
    assert "dragoman & guide" in (query.get("q", "") if method == "GET" else sent)


@pytest.mark.parametrize("body", [{}, {"results": "none", "web": []}, {"results": [], "web": {"results": []}}])
async def test_an_answer_without_results_is_none(kind, body):
    made, _ = kind
    async with service(telling(body)) as (url, _):
        assert await made(url).search("x", 5) == []


@pytest.mark.parametrize(("body", "status"), [({}, 429), ({}, 500), ([1], 200)])
async def test_a_service_that_fails_is_said_to_fail(kind, body, status):
    made, _ = kind
    async with service(telling(body, status)) as (url, _):
        with pytest.raises(FetchFailed):
            await made(url).search("x", 5)


async def test_keys_go_where_each_service_wants_them():
    async with service(telling({})) as (url, asked):
        await TavilySearch("tavily-key", url).search("x", 3)
        await BraveSearch("brave-key", url).search("x", 3)
    assert asked[0][3]["Authorization"] == "Bearer tavily-key"
    assert asked[1][3]["X-Subscription-Token"] == "brave-key"
    assert "key" not in repr(TavilySearch("tavily-key"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "guide.md").write_text(
        "# Guides\n\nIntro.\n\n## Interpreters\n\nA dragoman interprets between people.\n"
    )
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "boats.txt").write_text("Boats go on water. Interpreting is rare there.")
    (tmp_path / "image.png").write_bytes(b"dragoman")
    return tmp_path


async def test_a_folder_is_searched_by_words_and_gives_sections(folder):
    hits = await FolderSearch(folder).search("What do dragomans interpret?", 5)
    assert (hits[0].title, hits[0].url) == ("Guides: Interpreters", "doc:guide.md#interpreters")
    assert [hit.url for hit in hits] == ["doc:guide.md#interpreters", "doc:deep/boats.txt"]


@pytest.mark.parametrize("query", ["", "?!", '"', "NEAR(", "zeppelin", "AND OR NOT", "the of and"])
async def test_no_query_is_too_strange_for_a_folder(folder, query):
    assert isinstance(await FolderSearch(folder).search(query, 5), list)


async def test_a_link_that_leads_out_of_the_folder_is_not_followed(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.md"
    outside.write_text("A zeppelin.")
    (folder / "link.md").symlink_to(outside)
    assert await FolderSearch(folder).search("zeppelin", 5) == []


async def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(FetchFailed):
        await FolderSearch(tmp_path / "nowhere").search("x", 5)


PAGE = (
    "<html><head><title>x</title></head><body><h1>Head</h1><script>no()</script><p>Some <b>words</b>.</p></body></html>"
)


def site(robots="", status=200):
    async def handler(request):
        if request.path == "/robots.txt":
            return web.Response(text=robots, status=status)
        if request.path == "/large":
            return web.Response(body=b"x" * 3_000_000, content_type="text/html")
        if request.path == "/image":
            return web.Response(body=b"x", content_type="image/png")
        return web.Response(text=PAGE, content_type="text/html")

    return handler


async def read(url):
    return await page_tool(AiohttpWeb(frozenset({"127.0.0.1"}))).call(url=url)


async def test_a_page_is_read_as_a_person_would_see_it():
    async with service(site()) as (url, _):
        page = await read(f"{url}/page")
    assert page["text"] == "Head\nSome words."


@pytest.mark.parametrize(
    ("path", "robots", "status"),
    [
        ("/page", "User-agent: *\nDisallow: /", 200),
        ("/page", "", 403),
        ("/large", "", 200),
        ("/image", "", 200),
    ],
    ids=["robots", "robots forbidden", "too large", "no text"],
)
async def test_a_page_that_may_not_or_cannot_be_read_is_not(path, robots, status):
    async with service(site(robots, status)) as (url, _):
        with pytest.raises(ToolError):
            await read(f"{url}{path}")


async def test_a_page_in_the_operators_own_network_is_not_read():
    async with service(site()) as (url, asked):
        with pytest.raises(ToolError):
            await page_tool(AiohttpWeb()).call(url=f"{url}/page")
    assert asked == []

"""The built-in tool that searches the caller's own conversations, in runs of the real application."""

from dragoman.domain.identity import Principal
from tests.providers.played import outputs, played, spec

SEARCH = "search_conversations"


async def test_what_was_said_earlier_is_found_and_quoted_and_only_ones_own():
    async with played("scripted", [], spec(SEARCH)) as app:
        for user, place in (("sarah", "Lisbon"), ("tom", "Porto")):
            await app.run("ann", f"/say I shall remember your trip to {place}", user=user, session_id="trips")
        run = await app.run("ann", f'/call {SEARCH} {{"query": "trip"}}', user="sarah", session_id="now")
        told = await said(app, "sarah", run)
    assert "- assistant: I shall remember your trip to Lisbon" in told
    assert "Porto" not in told
    assert SEARCH not in told  # the question itself is no answer


async def test_nothing_found_is_said_in_words():
    async with played("scripted", [], spec(SEARCH)) as app:
        nothing = await app.run("ann", f'/call {SEARCH} {{"query": "submarine"}}', session_id="s")
        empty = await app.run("ann", f'/call {SEARCH} {{"query": " ?! "}}')
        assert await outputs(app, nothing) == [
            ("Nothing was found for 'submarine'. Fewer or other words may find more.", False)
        ]
        assert await outputs(app, empty) == [("Give at least one word to search for.", True)]


async def said(app, user, run):
    log = await app.application.services.runs.events.read(Principal(user), run.id, -1, 1000)
    return next(e.event.item["output"] for e in log if getattr(e.event, "name", "") == "tool_output")

"""Memory does the same whoever plays: within its budget, summarised once, and the same again when a run is replayed."""

import pytest

from dragoman.adapters.memory import MemoryStore
from dragoman.application.replay import replay
from dragoman.domain.events import HistorySummarized, ModelAnswered
from dragoman.domain.identity import LOCAL
from dragoman.domain.items import text_of
from dragoman.domain.memory import HEADING, Memory
from dragoman.domain.runs import RunOptions, RunStatus
from tests.providers.played import PROVIDERS, logged, played, spec

SUMMARIZE = Memory(limit=4, summarize=True)


@pytest.fixture(params=PROVIDERS)
def provider(request):
    return request.param


async def talk(app, count, first=0):
    for n in range(first, first + count):
        run = await app.run("ann", f"/say answer {n}", session_id="s")
        assert run.status is RunStatus.COMPLETED, run.error
    return run


async def summaries(app):
    page = await app.application.services.conversations.page(LOCAL, "s", limit=100)
    return [item for item in page.items if "summary" in item.content]


async def test_what_is_too_old_is_summarised_once_and_kept_as_an_item(provider):
    async with played(provider, [], spec(memory=SUMMARIZE)) as app:
        run = await talk(app, 2)
        assert await summaries(app) == []
        run = await talk(app, 1, first=2)
        assert await summaries(app) == []
        run = await talk(app, 1, first=3)
        (summary,) = await summaries(app)
        assert text_of(summary.content).startswith(HEADING)
        assert summary.run_id == run.id
        paths = [event.path for event in await logged(app, run) if isinstance(event, ModelAnswered)]
        assert paths == ["memory", ""]
        assert run.usage.requests == 2
        after = await talk(app, 1, first=4)
        assert after.usage.requests == 1
        assert len(await summaries(app)) == 1
        await talk(app, 3, first=5)
        assert len(await summaries(app)) == 3


async def test_a_replay_does_not_ask_for_the_summary_again(provider):
    store = MemoryStore()
    async with played(provider, [], spec(memory=SUMMARIZE), store=store) as app:
        run = await talk(app, 4)
        done = await replay(app.application.services.player, run)
        assert (done.answers, done.differences) == (2, ())
        assert len([event for event in await logged(app, run) if isinstance(event, HistorySummarized)]) == 1


async def test_who_asks_may_want_another_memory(provider):
    async with played(provider, [], spec(memory=SUMMARIZE)) as app:
        await talk(app, 3)
        options = RunOptions(history=Memory(tokens=10_000, summarize=False))
        run = await app.run("ann", "/say all of it", session_id="s", options=options)
        assert run.usage.requests == 1
        assert await summaries(app) == []


async def test_the_demo_model_knows_from_a_summary_what_it_was_told():
    async with played("openai", [], spec(memory=SUMMARIZE)) as app:
        await app.run("ann", "Hello, my name is Sarah.", session_id="s")
        await talk(app, 8)
        assert len(await summaries(app)) >= 2
        run = await app.run("ann", "What is my name?", session_id="s")
    assert "Sarah" in run.final_output


async def test_the_server_has_a_budget_of_its_own(provider):
    async with played(provider, [], spec(), history_tokens=60, history_summary=True) as app:
        await talk(app, 6)
        assert await summaries(app)

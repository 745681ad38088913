"""Research over memory with scripted agents, whose words a test writes."""

import contextlib
import json
from collections.abc import AsyncIterator

from dragoman.adapters.memory import MemoryStore
from dragoman.asgi import Dragoman, create_app
from dragoman.domain.prices import Prices
from dragoman.providers.scripted import build_scripted_provider
from dragoman.settings import Settings
from dragoman.testing import call, say
from dragoman.workflows.research import agents, research_workflow
from dragoman.workflows.research.pipeline import Habit

QUESTION = "What is a dragoman?"
HIT = {
    "title": "Dragomans",
    "url": "https://example.org/dragoman",
    "text": "A dragoman was an interpreter and a guide.",
}


def plan(*queries: str):
    return [say(json.dumps({"searches": [{"query": query, "reason": "Because."} for query in queries]}))]


def found(*hits: dict[str, str], claims: list[dict[str, str]] | None = None):
    """A searcher whose tool finds these, and who names them, or claims others."""
    named = claims or [{"title": hit["title"], "url": hit["url"], "quote": hit["text"]} for hit in hits]
    return [
        call("search_sources", {"query": "it"}, returns=list(hits)),
        say(json.dumps({"summary": "It was a guide.", "findings": named})),
    ]


def written(markdown: str = "# Dragomans\n\nAn interpreter. [1]", missing: tuple[str, ...] = ()):
    return [
        say(
            json.dumps(
                {
                    "short_summary": "A guide.",
                    "markdown_report": markdown,
                    "follow_up_questions": ["Where?"],
                    "missing": [{"query": query, "reason": "It is missing."} for query in missing],
                }
            )
        )
    ]


@contextlib.asynccontextmanager
async def desk(
    *, planner=None, searcher=None, writer=None, habit: Habit | None = None, prices: Prices | None = None, store=None
) -> AsyncIterator[Dragoman]:
    scripts = {
        "research_planner": planner or plan("first", "second"),
        "research_searcher": searcher or found(HIT),
        "research_writer": writer or written(),
    }
    provider = build_scripted_provider(agents(), scripts=scripts, prices=prices)
    app = create_app(
        agents=[research_workflow(habit)],
        providers={provider.name: provider},
        store=store or MemoryStore(),
        settings=Settings.of(builtin_agents=False),
    )
    async with app:
        yield app


async def ask(app: Dragoman, question: str = QUESTION, *, session_id: str | None = None, **wishes):
    from dragoman.domain.runs import RunOptions

    return await app.run("research", question, session_id=session_id, options=RunOptions(workflow=wishes))

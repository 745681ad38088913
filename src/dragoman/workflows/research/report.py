"""What research comes to: the report and how it was made, as JSON and as words for the conversation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dragoman.workflows.research.citations import check
from dragoman.workflows.research.sources import SEARCHES_HEADING, Source

SearchStatus = Literal["done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Query:
    query: str
    reason: str


@dataclass(frozen=True, slots=True)
class Search:
    """A search that was made, or should have been."""

    query: Query
    status: SearchStatus
    seconds: float = 0.0
    code: str | None = None  # of the failure
    summary: str = ""
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """What a writer wrote."""

    short_summary: str
    markdown: str
    follow_ups: tuple[str, ...] = ()
    missing: tuple[Query, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    output: dict[str, Any]
    text: str


def report(draft: Draft, searches: Sequence[Search], pool: Sequence[Source]) -> Report:
    checked = check(draft.markdown, pool)
    output = {
        "short_summary": draft.short_summary,
        "markdown_report": checked.markdown,
        "follow_up_questions": list(draft.follow_ups),
        "searches": [
            {
                "query": one.query.query,
                "reason": one.query.reason,
                "status": one.status,
                "seconds": one.seconds,
                "code": one.code,
            }
            for one in searches
        ],
        "sources": [
            {
                "number": one.number,
                "title": one.source.title,
                "url": one.source.url,
                "quote": one.source.quote,
                "used_in": list(one.used_in),
            }
            for one in checked.sources
        ],
    }
    made = [f"- {one.query.query}" for one in searches if one.status == "done"]
    listed = "\n\n".join([checked.markdown, SEARCHES_HEADING, "\n".join(made)]) if made else checked.markdown
    return Report(output, listed)


def plain_draft(question: str, note: str, searches: Sequence[Search], pool: Sequence[Source]) -> Draft:
    """What was found, put together without a writer."""
    numbers = {source.url: n for n, source in enumerate(pool, 1)}
    parts = [f"# {' '.join(question.split())[:200]}", note]
    for one in searches:
        if one.status == "done":
            cited = "".join(f" [{numbers[source.url]}]" for source in one.sources if source.url in numbers)
            parts += [f"## {one.query.query}", (one.summary or "Nothing was found.") + cited]
    return Draft(note, "\n\n".join(parts))

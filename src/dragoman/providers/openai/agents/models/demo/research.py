"""How the demo model plans a research, makes its searches and writes its report: with the words of others, and honestly so."""

import json
import re
from collections.abc import Sequence

from dragoman.providers.openai.agents.models.demo.question import Question, Result
from dragoman.providers.openai.agents.models.demo.schema import Schema
from dragoman.providers.openai.agents.models.demo.steps import Call, Say, Step

ASPECTS = ("how it works", "what is promised", "limits", "failures", "configuration")
MOST_QUOTES = 12

_QUESTION = re.compile(r"^Question: (.+)$", re.MULTILINE)
_AT_MOST = re.compile(r"at most (\d+) searches")
_SEARCH_FOR = re.compile(r"^Search for: (.+)$", re.MULTILINE)
_SOURCE = re.compile(r"^(\d+)\. \[(.+)\]\(\S+\)(?: — “(.*)”)?$", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_WORD = re.compile(r"[a-z]{4,}")


def research(question: Question) -> Sequence[Step] | None:
    """One of the three parts in a research, told by the form of the answer."""
    if question.schema is None:
        return None
    wanted = set(question.schema.get("properties", ()))
    for part, names in _PARTS.items():
        if wanted >= names:
            return part(question, question.schema)
    return None


def _plan(question: Question, _: Schema) -> Sequence[Step]:
    topic = _found(_QUESTION, question.text)
    most = int(_found(_AT_MOST, question.text) or "5")
    known = question.text.partition("Searched already: ")[2]
    queries = [(topic, "It is the question itself.")]
    queries += [(f"{topic.rstrip('?.! ')}: {aspect}", f"To learn about {aspect}.") for aspect in ASPECTS]
    searches = [{"query": query, "reason": reason} for query, reason in queries[:most]]
    return [_json({"searches": [] if known and "again" in topic.lower() else searches})]


def _search(question: Question, _: Schema) -> Sequence[Step] | None:
    query = _found(_SEARCH_FOR, question.text)
    tool = question.tools[0].name if question.tools else None
    if not question.calls_made and tool is not None:
        name = next(iter(question.tools[0].parameters.get("properties", {"query": {}})))
        return [Call.of(tool, **{name: query})]
    findings = [
        {"title": hit["title"], "url": hit["url"], "quote": _best_sentence(hit["text"], query)}
        for hit in _hits(question.results)
    ]
    said = " ".join(finding["quote"] for finding in findings[:2])
    return [_json({"summary": said or "Nothing was found.", "findings": findings})]


def _write(question: Question, _: Schema) -> Sequence[Step]:
    topic = _found(_QUESTION, question.text)
    sources = [(number, title, quote) for number, title, quote in _SOURCE.findall(question.text) if quote]
    parts = [f"# {topic}", "Put together by the demo model, which quotes and does not think."]
    heading = ""
    for number, title, quote in sources[:MOST_QUOTES]:
        if (document := title.partition(":")[0]) != heading:
            heading = document
            parts.append(f"## {document}")
        parts.append(f"{quote} [{number}]")
    summary = f"{len(sources)} sources say something about: {topic}"
    follow_ups = [f"What more is there about {title}?" for _, title, _ in sources[:3]]
    return [
        _json(
            {
                "short_summary": summary,
                "markdown_report": "\n\n".join(parts),
                "follow_up_questions": follow_ups,
                "missing": [],
            }
        )
    ]


_PARTS = {
    _plan: {"searches"},
    _search: {"summary", "findings"},
    _write: {"short_summary", "markdown_report"},
}


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match[1].strip() if match else " ".join(text.split())


def _hits(results: Sequence[Result]) -> list[dict[str, str]]:
    hits: list[dict[str, str]] = []
    for result in results:
        try:
            found = json.loads(result.output)
        except ValueError:
            continue
        hits += [hit for hit in found if isinstance(hit, dict) and {"title", "url", "text"} <= hit.keys()]
    return hits


def _best_sentence(text: str, query: str) -> str:
    """The sentence that shares most words with what was searched for; the first of them."""
    wanted = set(_WORD.findall(query.lower()))
    sentences = _SENTENCE.split(" ".join(text.split()))
    return max(sentences, key=lambda sentence: len(wanted & set(_WORD.findall(sentence.lower()))))[:280]


def _json(value: object) -> Say:
    return Say(json.dumps(value, ensure_ascii=False))

"""How much of a conversation a model is told: the newest turns within a budget, and of what is older a summary, if wanted.

A summary is an item of the conversation like any other: a message that says in ``summary`` up to which item it tells. From then
on it stands for what is older, until what came after it outgrows the budget as well.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from dragoman.domain.items import Content, Item, is_call, is_output, text_of, window

CHARACTERS_PER_TOKEN = 4
SUMMARY_PATH = "memory"
"""The path in the log of the model call that summarises."""

INSTRUCTIONS = (
    "Summarise the conversation below for yourself: you will go on with it, and this summary is all you will have of it."
    " Keep names, facts, preferences, numbers, decisions, open questions and promises. Leave out greetings. Answer with the"
    " summary alone, in the language of the conversation."
)
HEADING = "Summary of what was said before:"
OMITTED = "[The output of this call, {size:,} characters, is no longer shown.]"
LONGEST = 4000
"""Characters of one item that are summarised."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What somebody says about it. ``None``: nothing."""

    limit: int | None = None  # items
    tokens: int | None = None  # about as many, in whole turns
    outputs: int | None = None  # of tools: how many of the newest stay whole
    summarize: bool | None = None  # whether there is a summary of what is older

    def or_else(self, other: Self) -> Self:
        """With what the other says where this says nothing. A limit and a budget are two words for one thing."""
        unsized = self.limit is None and self.tokens is None
        return replace(
            self,
            limit=other.limit if unsized else self.limit,
            tokens=other.tokens if unsized else self.tokens,
            outputs=other.outputs if self.outputs is None else self.outputs,
            summarize=other.summarize if self.summarize is None else self.summarize,
        )

    def holds(self, contents: Sequence[Content]) -> bool:
        if self.limit is not None and len(contents) > self.limit:
            return False
        return self.tokens is None or sum(map(tokens_of, contents)) <= self.tokens

    @property
    def half(self) -> Self:
        """What is kept when a summary is made, so that the next turn does not need another one."""
        return replace(
            self,
            limit=None if self.limit is None else self.limit // 2,
            tokens=None if self.tokens is None else self.tokens // 2,
        )


@dataclass(frozen=True, slots=True)
class Older:
    """What a summary has to be made of, and the item it will reach to."""

    contents: tuple[Content, ...]
    until: str
    before: Content | None = None  # the summary there was


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a turn starts from, oldest first."""

    history: tuple[Content, ...]
    summary: Content | None = None
    older: Older | None = None  # what has to be summarised first


def tokens_of(content: Content) -> int:
    """About as many as a model would count."""
    return -(-len(json.dumps(content, ensure_ascii=False)) // CHARACTERS_PER_TOKEN)


def remember(items: Sequence[Item], memory: Memory, *, least: int = 0) -> Remembered:
    """The newest items of a conversation, as they are told. The last ``least`` are, whatever their size."""
    summary = next((item.content for item in reversed(items) if is_summary(item.content)), None)
    told = [item for item in _since(items, summary) if not is_summary(item.content)]
    contents = shortened([item.content for item in told], memory.outputs)
    if memory.holds(contents):
        return Remembered(tuple(contents), summary)
    if not memory.summarize:
        return Remembered(tuple(newest(contents, memory, least=least)), summary)
    kept = newest(contents, memory.half, least=least)
    gone = len(contents) - len(kept)
    if not gone:
        return Remembered(tuple(kept), summary)
    older = Older(tuple(item.content for item in told[:gone]), told[gone - 1].id, summary)
    return Remembered(tuple(kept), older=older)


def newest(contents: Sequence[Content], memory: Memory, *, least: int = 0) -> list[Content]:
    """Whole turns, from the end, as long as memory holds them; of a newest turn that is too large its end. Never begins inside
    a call and its output."""
    begin = _fitting(contents, memory, lambda place: contents[place].get("role") == "user")
    if begin == len(contents):
        begin = _fitting(contents, memory, lambda _: True)
    return window(contents, max(len(contents) - begin, least))


def _fitting(contents: Sequence[Content], memory: Memory, may_begin: Callable[[int], bool]) -> int:
    """The first place from which on everything fits."""
    begin, tokens = len(contents), 0
    for place in range(len(contents) - 1, -1, -1):
        tokens += tokens_of(contents[place]) if memory.tokens is not None else 0
        if memory.limit is not None and len(contents) - place > memory.limit:
            break
        if memory.tokens is not None and tokens > memory.tokens:
            break
        if may_begin(place):
            begin = place
    return begin


def shortened(contents: Sequence[Content], outputs: int | None) -> list[Content]:
    """The same, with placeholders for all outputs of tools but the newest."""
    places = [place for place, content in enumerate(contents) if is_output(content)]
    old = () if outputs is None else places[: max(len(places) - outputs, 0)]
    result = list(contents)
    for place in old:
        size = len(str(contents[place].get("output", "")))
        if size > len(OMITTED):
            result[place] = {**contents[place], "output": OMITTED.format(size=size)}
    return result


def is_summary(content: Content) -> bool:
    return "summary" in content and content.get("role") == "developer"


def summary_item(text: str, until: str) -> Content:
    return {"type": "message", "role": "developer", "content": f"{HEADING}\n{text}", "summary": {"until": until}}


def as_told(summary: Content) -> Content:
    """A summary as a model reads it."""
    return {"type": "message", "role": "developer", "content": summary["content"]}


def transcript(older: Older) -> str:
    """What is to be summarised, as a text to read."""
    parts = [text_of(older.before)] if older.before else []
    return "\n".join([*parts, *(line for content in older.contents if (line := _line(content)))])


def _line(content: Content) -> str:
    if is_call(content):
        return f"(calls {content.get('name')} with {str(content.get('arguments'))[:LONGEST]})"
    if is_output(content):
        return f"(the output: {str(content.get('output'))[:LONGEST]})"
    text = text_of(content)[:LONGEST]
    return f"{content.get('role')}: {text}" if text else ""


def _since(items: Sequence[Item], summary: Content | None) -> Sequence[Item]:
    """The items that a summary does not tell of."""
    until = None if summary is None else summary["summary"].get("until")
    place = next((place for place, item in enumerate(items) if item.id == until), -1)
    return items[place + 1 :]

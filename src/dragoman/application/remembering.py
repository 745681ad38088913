"""What a run is told of its conversation: read within a bound, and what has become too much for it summarised once."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from dragoman.domain.errors import ModelError
from dragoman.domain.events import HistorySummarized
from dragoman.domain.identity import Principal
from dragoman.domain.items import Item
from dragoman.domain.memory import (
    Memory,
    Remembered,
    as_told,
    is_summary,
    remember,
    summary_item,
    tokens_of,
    transcript,
)
from dragoman.domain.runs import Run
from dragoman.domain.text import storable
from dragoman.ports.runtime import Recorder, Turn
from dragoman.ports.sessions import SessionStore

logger = logging.getLogger(__name__)

FIRST = 50
MOST = 1000
"""Items that are read for a budget of tokens, at first and at most."""
SLACK = 20
"""Items beyond a limit that are read where there may be a summary."""

Ask = Callable[[str], Awaitable[str]]
"""Ask the run's model for the summary of a text, in a call that is recorded like any other."""


async def remembered(sessions: SessionStore, run: Run, memory: Memory, *, least: int) -> Remembered:
    """The part of its history that a run starts from. What that costs depends on the memory, not on the conversation."""
    return remember(await _read(sessions, run, memory, least), memory, least=least)


async def _read(sessions: SessionStore, run: Run, memory: Memory, least: int) -> Sequence[Item]:
    principal = Principal(run.owner, run.tenant)
    if memory.tokens is None:
        limit = max(memory.limit or 0, least)
        asked = 2 * limit + SLACK if memory.summarize else limit
        return await sessions.history(principal, run.base_item, asked)
    asked = FIRST
    while True:
        asked = min(asked, MOST)
        items = await sessions.history(principal, run.base_item, asked)
        if len(items) < asked or asked == MOST or _enough(items, memory):
            return items
        asked *= 4


def _enough(items: Sequence[Item], memory: Memory) -> bool:
    """Whether nothing before these can be told. A summary only counts with the item it reaches to."""
    if memory.tokens is not None and sum(tokens_of(item.content) for item in items) <= memory.tokens:
        return False
    summaries = [item.content["summary"]["until"] for item in items if is_summary(item.content)]
    return not memory.summarize or any(item.id == until for item in items for until in summaries)


async def with_summary(turn: Turn, recorder: Recorder, ask: Ask) -> Turn:
    """The turn with a summary in place of what is too old for it. It is made once: a run that is taken up again has it in its
    log. Without an answer the run goes on with what it has."""
    older = turn.older
    if older is None:
        return turn
    summary = turn.journal.summary
    if summary is None:
        try:
            text = storable(await ask(transcript(older)))
        except ModelError as error:
            logger.warning("no summary could be made (%s)", error.code)
            before = () if older.before is None else (as_told(older.before),)
            return replace(turn, history=(*before, *turn.history), older=None)
        summary = summary_item(text, older.until)
        await recorder.record(HistorySummarized(summary))
    return replace(turn, history=(as_told(summary), *turn.history), older=None)

"""Plays a run that is over once more, from its log alone, to see whether it would still go the way it went.

No model is asked and no tool is started: where the play would do either, it has come to the end of its log, and is broken off.
Nothing is written.
"""

import asyncio
import json
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from dragoman.application.turn import Player
from dragoman.domain.errors import Conflict, DragomanError, ReplayDiverged
from dragoman.domain.events import Event
from dragoman.domain.journal import journal_of
from dragoman.domain.runs import Run, RunStatus
from dragoman.ports.runtime import Outcome

CUT_SHORT = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})
"""Runs that ended thus ended somewhere on their way, for reasons their logs do not repeat."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that went otherwise, told by what the log says and what the replay did."""

    about: str
    logged: str
    replayed: str


@dataclass(frozen=True, slots=True)
class Replayed:
    answers: int  # how many of the model's the log held
    outputs: int  # and of tools and hand-offs
    differences: tuple[Difference, ...]


class _Notes:
    """A ``Recorder`` that only remembers what would have been recorded."""

    def __init__(self) -> None:
        self.recorded: list[Event] = []

    def show(self, event: Event) -> None:
        pass

    def record(self, *events: Event) -> Awaitable[None]:
        self.recorded.extend(events)
        settled = asyncio.get_running_loop().create_future()
        settled.set_result(None)
        return settled


async def replay(player: Player, run: Run) -> Replayed:
    if not run.status.ended:
        raise Conflict("The run has not ended yet.")
    events = await player.logged(run)
    journal, notes = journal_of(events), _Notes()
    ending = await _played(player, run, events, notes)
    differences = (*_by_ending(run, ending), *_by_records(notes.recorded))
    return Replayed(len(journal.answers), len(journal.outputs), differences)


async def _played(player: Player, run: Run, events: list[Event], notes: _Notes) -> Outcome | DragomanError | None:
    """How it ended this time; ``None`` when its log was at an end before."""
    at_the_end = asyncio.Event()

    async def held() -> None:
        at_the_end.set()
        await asyncio.Event().wait()

    turn = await player.turn(run, events, held=held)
    loop = asyncio.get_running_loop()
    playing = loop.create_task(player.providers[run.provider].runtime.play(turn, notes), name=f"replay {run.id}")
    waiting = loop.create_task(at_the_end.wait(), name="end of the log")
    await asyncio.wait({playing, waiting}, return_when=asyncio.FIRST_COMPLETED)
    went_on = at_the_end.is_set()
    for task in (playing, waiting):
        task.cancel()
    result, _ = await asyncio.gather(playing, waiting, return_exceptions=True)
    if went_on or isinstance(result, asyncio.CancelledError):
        return None
    if isinstance(result, BaseException) and not isinstance(result, DragomanError):
        raise result
    return result


def _by_ending(run: Run, ending: Outcome | DragomanError | None) -> list[Difference]:
    if isinstance(ending, ReplayDiverged):
        return [
            Difference("the way", "as its agents were then", "its agents go another way now, and the log does not fit")
        ]
    if run.status in CUT_SHORT:
        return []
    if ending is None:
        return [Difference("the end", f"{run.status}, after all that is logged", "asks the model or a tool for more")]
    if isinstance(ending, DragomanError):
        return [Difference("the end", run.status.value, f"failed: {ending.code}")]
    pairs = (
        ("the status", run.status.value, ending.status.value),
        ("the final output", _readable(run.final_output), _readable(ending.final_output)),
    )
    return [Difference(about, logged, replayed) for about, logged, replayed in pairs if logged != replayed]


def _by_records(recorded: list[Event]) -> list[Difference]:
    return [Difference("a step", "not there", repr(event)) for event in recorded]


def _readable(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)

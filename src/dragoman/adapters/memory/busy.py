"""What a message does to a conversation that is busy, in memory."""

from dataclasses import replace
from datetime import UTC, datetime

import orjson

from dragoman.adapters.memory.state import State, encoded
from dragoman.domain.conversations import Branch
from dragoman.domain.events import Recorded, Row, RunCompleted
from dragoman.domain.ids import branch_id
from dragoman.domain.runs import ASKED, Asked, Run, RunStatus, first_position
from dragoman.domain.story import story_of, undone


def disturb(state: State, run: Run, conversation_id: str) -> Run | None:
    """Do what ``run.options.on_busy`` says to the run that is before it. Returns that run, if something was done to it."""
    playing = next((other for other in state.unfinished_in(conversation_id) if other.begun), None)
    match run.options.on_busy:
        case "interrupt" if playing:
            return ask(state, playing, "interrupt")
        case "steer" if playing:
            return mark(state, playing, "steer")
        case "rollback" if playing:
            return _supersede(state, playing, run)
    return None


def ask(state: State, run: Run, asked: Asked) -> Run:
    """Leave a mark on a run for its player, the next one if it was given back; end one that nobody plays."""
    if run.begun and run.status is not RunStatus.REQUIRES_ACTION:
        return mark(state, run, asked)
    return _end_unplayed(state, run)


def mark(state: State, run: Run, asked: Asked) -> Run:
    state.marks[run.id] = max(state.marks.get(run.id, asked), asked, key=ASKED.index)
    return run


def _end_unplayed(state: State, run: Run) -> Run:
    """End a run that has not begun or waits for a person. Its message was accepted, so the conversation keeps it, and what it
    has said."""
    log = state.logs[run.id]
    if run.status is RunStatus.REQUIRES_ACTION:
        state.chain(
            run, story_of((entry.event for row in log for entry in row.events()), run.options.handed_back).told()
        )
        state.withdraw(run.id)
    position = log[-1].position + 1 if log else first_position(run.attempt)
    completed = RunCompleted(RunStatus.CANCELLED, None, run.usage, session_id=run.session_id)
    log.extend(encoded([Recorded(position, completed)]))
    if not run.begun and run.conversation_id is not None:
        state.unsaid.add(run.id)
    state.put(replace(run, status=RunStatus.CANCELLED, ended_at=datetime.now(UTC)))
    state.enter_unsaid(run.conversation_id)
    return state.runs[run.id]


def _supersede(state: State, run: Run, by: Run) -> Run:
    """Undo a run: what it did moves to a branch of its own, and its branch ends where it began."""
    assert run.conversation_id is not None
    assert run.branch is not None
    rows = [Row(row.position, row.kind, orjson.loads(row.content)) for row in state.logs[run.id]]
    story, end = undone(replace(run, attempt=run.attempt + 1), rows)
    written = sum(item.run_id == run.id for item in state.items[run.conversation_id].values())
    state.chain(run, story.told()[written - len(run.input) :])
    branches, at = state.branches[run.conversation_id], datetime.now(UTC)
    own = Branch(branch_id(), run.conversation_id, branches[run.branch].head, at, superseded_by=by.id)
    branches[own.id] = own
    branches[run.branch] = replace(branches[run.branch], head=run.base_item)
    state.logs[run.id].extend(encoded(end))
    ended = replace(
        run,
        status=RunStatus.CANCELLED,
        attempt=run.attempt + 1,
        branch=own.id,
        superseded_by=by.id,
        usage=story.usage,
        ended_at=at,
    )
    state.put(ended)
    state.withdraw(run.id)
    state.enter_unsaid(run.conversation_id)
    return ended

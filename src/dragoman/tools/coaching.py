"""What the coaches can do for a person: keep goals, milestones, habits and check-ins, and read them again."""

from dragoman.domain.errors import NotFound
from dragoman.domain.ids import new_id
from dragoman.domain.notes import KINDS, LONGEST, Kind, Note
from dragoman.domain.text import storable
from dragoman.domain.tools import Tool, ToolContext, ToolError
from dragoman.ports.clock import Clock
from dragoman.ports.notes import NoteStore
from dragoman.tools.decorator import tool

NEWEST = 50
"""How many notes of a kind a coach is shown."""


def coaching_tools(notes: NoteStore, clock: Clock) -> tuple[Tool, ...]:
    """``save_goal``, ``list_goals`` and so on for every kind, and ``mark_done``."""
    return (
        *(_saving(kind, notes, clock) for kind in KINDS),
        *(_listing(kind, notes) for kind in KINDS),
        _marking(notes, clock),
    )


def _saving(kind: Kind, notes: NoteStore, clock: Clock) -> Tool:
    what = kind.replace("_", "-")

    @tool(
        name=f"save_{kind}",
        description=f"Keep a {what} of this person, in their words. It is there in later conversations.",
    )
    async def save(context: ToolContext, text: str) -> str:
        text = storable(text).strip()
        if not 1 <= len(text) <= LONGEST:
            raise ToolError(f"A {what} has 1 to {LONGEST} characters.")
        who = context.principal
        note = Note(new_id("note"), who.tenant, who.user, kind, text, clock.now(), context.idempotency_key)
        return f"Kept as {(await notes.add(note)).id}."

    return save


def _listing(kind: Kind, notes: NoteStore) -> Tool:
    what = kind.replace("_", "-")

    @tool(name=f"list_{kind}s", description=f"The newest {what}s of this person, with ids, and which are done.")
    async def list_(context: ToolContext) -> str:
        found = await notes.list(context.principal, kind, limit=NEWEST)
        return "\n".join(map(_line, found)) or f"There are no {what}s yet."

    return list_


def _marking(notes: NoteStore, clock: Clock) -> Tool:
    @tool(description="Mark a goal, milestone, habit or check-in as done, by the id with which it was listed.")
    async def mark_done(context: ToolContext, id: str) -> str:
        try:
            return _line(await notes.done(context.principal, id, clock.now()))
        except NotFound:
            raise ToolError(f"There is no {id!r}. List them to see their ids.") from None

    return mark_done


def _line(note: Note) -> str:
    done = f" (done on {note.done_at:%Y-%m-%d})" if note.done_at else ""
    return f"{note.id}, {note.created_at:%Y-%m-%d}: {note.text}{done}"

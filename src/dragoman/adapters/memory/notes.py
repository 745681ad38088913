"""The coaches' notes, in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from dragoman.adapters.memory.state import State
from dragoman.domain.errors import NotFound
from dragoman.domain.identity import Principal
from dragoman.domain.notes import Kind, Note


@dataclass(frozen=True, slots=True)
class MemoryNotes:
    """``NoteStore``."""

    state: State = field(default_factory=State)

    async def add(self, note: Note) -> Note:
        whose = (note.tenant, note.owner, note.once)
        known = next((one for one in self.state.notes.values() if (one.tenant, one.owner, one.once) == whose), None)
        return known or self.state.notes.setdefault(note.id, note)

    async def list(self, principal: Principal, kind: Kind, *, limit: int) -> Sequence[Note]:
        found = [one for one in self.state.notes.values() if _belongs(one, principal) and one.kind == kind]
        return sorted(found, key=lambda one: one.id)[-limit:]

    async def done(self, principal: Principal, note_id: str, at: datetime) -> Note:
        note = self.state.notes.get(note_id)
        if note is None or not _belongs(note, principal):
            raise NotFound("note", note_id)
        self.state.notes[note_id] = replace(note, done_at=note.done_at or at)
        return self.state.notes[note_id]


def _belongs(note: Note, principal: Principal) -> bool:
    return (note.tenant, note.owner) == (principal.tenant, principal.user)

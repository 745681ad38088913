"""The coaches' notes as rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dragoman.adapters.sql.engine import Engine, Script
from dragoman.adapters.sql.rows import Row, micros, moment
from dragoman.domain.errors import NotFound
from dragoman.domain.identity import Principal
from dragoman.domain.notes import Kind, Note

COLUMNS = "id, tenant, owner, kind, text, created_at, once, done_at"
INSERT = f"""
INSERT INTO notes ({COLUMNS}) VALUES (:id, :tenant, :owner, :kind, :text, :created_at, :once, NULL)
ON CONFLICT (tenant, owner, once) DO NOTHING
"""  # noqa: S608 - constants
MADE_BY = f"SELECT {COLUMNS} FROM notes WHERE tenant = :tenant AND owner = :owner AND once = :once"  # noqa: S608 - constants
LIST = f"""
SELECT {COLUMNS} FROM notes WHERE tenant = :tenant AND owner = :owner AND kind = :kind ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 - constants
DONE = f"""
UPDATE notes SET done_at = COALESCE(done_at, :at) WHERE id = :id AND tenant = :tenant AND owner = :owner
RETURNING {COLUMNS}
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class SqlNotes:
    """``NoteStore``."""

    engine: Engine

    async def add(self, note: Note) -> Note:
        return await self.engine.write(Principal(note.owner, note.tenant), _add, note)

    async def list(self, principal: Principal, kind: Kind, *, limit: int) -> Sequence[Note]:
        return await self.engine.read(principal, _list, principal, kind, limit)

    async def done(self, principal: Principal, note_id: str, at: datetime) -> Note:
        return await self.engine.write(principal, _done, principal, note_id, at)


def _add(note: Note) -> Script[Note]:
    whose = {"tenant": note.tenant, "owner": note.owner, "once": note.once}
    said = {"id": note.id, "kind": note.kind, "text": note.text, "created_at": micros(note.created_at)}
    yield INSERT, {**whose, **said}
    rows = yield MADE_BY, whose
    return note_from(rows[0])


def _list(principal: Principal, kind: Kind, limit: int) -> Script[list[Note]]:
    rows = yield LIST, {"tenant": principal.tenant, "owner": principal.user, "kind": kind, "limit": limit}
    return [note_from(row) for row in reversed(rows)]


def _done(principal: Principal, note_id: str, at: datetime) -> Script[Note]:
    whose = {"id": note_id, "tenant": principal.tenant, "owner": principal.user}
    rows = yield DONE, {**whose, "at": micros(at)}
    if not rows:
        raise NotFound("note", note_id)
    return note_from(rows[0])


def note_from(row: Row) -> Note:
    id, tenant, owner, kind, text, created_at, once, done_at = row
    return Note(id, tenant, owner, kind, text, moment(created_at), once, None if done_at is None else moment(done_at))

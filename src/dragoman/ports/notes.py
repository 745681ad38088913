"""Where the coaches keep what people want to be reminded of."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from dragoman.domain.identity import Principal
from dragoman.domain.notes import Kind, Note


class NoteStore(Protocol):
    async def add(self, note: Note) -> Note:
        """Keep a note; gives the one that is there already if its owner has one with the same ``once``."""
        ...

    async def list(self, principal: Principal, kind: Kind, *, limit: int) -> Sequence[Note]:
        """The principal's newest ones of a kind, the oldest of them first."""
        ...

    async def done(self, principal: Principal, note_id: str, at: datetime) -> Note:
        """Say that it is done; what is done stays done. ``NotFound`` if it is not there or not the principal's."""
        ...

"""``NoteStore``: what coaches keep is there for its owner and for nobody else."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dragoman.domain.errors import NotFound
from dragoman.domain.ids import new_id
from dragoman.domain.notes import Kind, Note
from tests.contracts.talk import ELSEWHERE, SARAH, TOM, Store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def note(text: str, kind: Kind = "goal", once: str | None = None) -> Note:
    return Note(new_id("note"), SARAH.tenant, SARAH.user, kind, text, NOON, once or new_id("call"))


async def test_notes_of_a_kind_are_listed_oldest_first_and_the_newest_are_kept_in_view(store: Store):
    kept = [await store.notes.add(note(f"{n}")) for n in range(4)]
    await store.notes.add(note("run", "habit"))
    assert await store.notes.list(SARAH, "goal", limit=3) == sorted(kept, key=lambda one: one.id)[1:]
    assert [one.text for one in await store.notes.list(SARAH, "habit", limit=3)] == ["run"]


async def test_a_call_that_is_made_again_keeps_nothing_new(store: Store):
    first = await store.notes.add(note("sleep", once="run_1/call_1"))
    assert await store.notes.add(note("sleep", once="run_1/call_1")) == first
    other = replace(note("sleep", once="run_1/call_1"), owner=TOM.user)
    assert await store.notes.add(other) == other
    assert len(await store.notes.list(SARAH, "goal", limit=10)) == 1


async def test_somebody_elses_note_does_not_exist(store: Store):
    kept = await store.notes.add(note("sleep"))
    for other in (TOM, ELSEWHERE):
        assert await store.notes.list(other, "goal", limit=10) == []
        with pytest.raises(NotFound):
            await store.notes.done(other, kept.id, NOON)
    assert await store.notes.list(SARAH, "goal", limit=10) == [kept]


async def test_what_is_done_stays_done(store: Store):
    kept = await store.notes.add(note("sleep"))
    done = await store.notes.done(SARAH, kept.id, NOON)
    assert done == replace(kept, done_at=NOON)
    assert await store.notes.done(SARAH, kept.id, datetime(2027, 1, 1, tzinfo=UTC)) == done
    with pytest.raises(NotFound):
        await store.notes.done(SARAH, "note_none", NOON)

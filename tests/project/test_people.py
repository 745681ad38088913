"""Whoever is erased is in no table any more, and an export has everything: by reflection, so a new table is covered the day it appears."""

import asyncio
import contextlib
import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from dragoman.adapters.sql import SqliteEngine, SqlStore
from dragoman.adapters.sql.postgres import PostgresEngine
from dragoman.adapters.sql.tables import metadata
from dragoman.domain.people import KINDS
from dragoman.testing import call as calling
from dragoman.testing import say
from tests.isolation.people import Door, Person, furnish, population, release
from tests.isolation.rows import Dump, about, dump
from tests.surfaces.house import PATIENCE, House, house

SCRIPTS = {
    "general": [say("Good morning.")],
    "shop": [calling("refund", {"amount": 200}, returns="refunded", needs_approval=True), say("Done.")],
}
BOSS = {"authorization": "acme boss admin"}
IN_AN_EXPORT = {
    "conversations": "conversations",
    "branches": "branches",
    "items": "items",
    "findable": "items",  # its words
    "runs": "runs",
    "events": "events",
    "approvals": "approvals",
    "usage": "usage",
    "notes": "notes",
    "idempotency_keys": "idempotency_keys",
    "accounts": "spending",
    "reservations": "spending",
    "request_counts": "requests",
    "api_keys": "api_keys",
    "audit": "audit",
}
"""By table, the file that has what it holds of a person."""
OF_NOBODY = {"schedules"}


@dataclass
class Town:
    at: House
    database: str
    people: list[Person]

    def rows(self) -> Dump:
        return dump(self.database)


@contextlib.asynccontextmanager
async def town(request: pytest.FixtureRequest, kind: str) -> AsyncIterator[Town]:
    if kind == "sqlite":
        database = str(request.getfixturevalue("tmp_path") / "town.db")
        store = SqlStore(SqliteEngine(database))
    else:
        database = request.getfixturevalue("postgres_url")
        store = SqlStore(PostgresEngine(database, pool_size=2))
    people = population()[:3]  # one, a colleague, and a namesake elsewhere
    async with house(SCRIPTS, store=store, authenticator=Door(), user_requests_per_minute=1000) as at:
        for person in people:
            await furnish(at, person)
        yield Town(at, database, people)
        for person in people:
            await release(at, person)


def marks(person: Person) -> set[str]:
    """Without the ids of keys: the audit log keeps those, and they lead to nobody any more."""
    return person.marks - set(person.things["key"])


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_after_an_erase_no_table_knows_them_and_others_have_lost_nothing(request, kind):
    async with town(request, kind) as found:
        victim, *others = found.people
        before = [about(found.rows(), marks(other)) for other in others]
        assert about(found.rows(), marks(victim))
        async with asyncio.timeout(4 * PATIENCE):
            answer = await found.at.client.delete("/admin/people/sarah", headers=BOSS)
        assert answer.status_code == 200, answer.text
        rows = found.rows()
        assert about(rows, marks(victim)) == {}
        assert [row for row in rows if "acme" in row and any("sarah" in str(cell) for cell in row)] == []
        assert [about(rows, marks(other)) for other in others] == before
        for run_id in victim.things["unfinished"]:
            assert (await found.at.client.get(f"/runs/{run_id}", headers=victim.headers)).status_code == 404


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_an_export_has_everything_of_theirs_and_nothing_of_others(request, kind):
    async with town(request, kind) as found:
        victim, *others = found.people
        answer = await found.at.client.get("/me/export", headers=victim.headers)
        assert answer.status_code == 200, answer.text
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        manifest = json.loads(files.pop("manifest.json"))
        assert (manifest["tenant"], manifest["user"]) == ("acme", "sarah")
        assert set(files) == {f"{kind}.json" for kind in KINDS} == set(manifest["files"])
        for name, content in files.items():
            told = {
                "things": len(json.loads(content)),
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            assert manifest["files"][name] == told
        text = b"".join(files.values()).decode()
        for kind_of_thing in (
            "run",
            "conversation",
            "branch",
            "item",
            "approval",
            "note",
            "key",
            "session",
            "idempotency key",
        ):
            for id in victim.things[kind_of_thing]:
                assert id.strip() in text, (kind_of_thing, id)
        assert not {mark for other in others for mark in marks(other) if mark in text}
        assert "digest" not in json.loads(files["api_keys.json"])[0]


def test_every_table_is_in_an_export_or_holds_nothing_of_a_person():
    """Whoever adds a table teaches ``PeopleStore`` to read and to remove what it holds, and says so here."""
    tables = {table.name for table in metadata.sorted_tables}
    assert tables - OF_NOBODY == set(IN_AN_EXPORT)
    assert set(IN_AN_EXPORT.values()) == set(KINDS)

"""Everybody is apart: every route is called with everything that belongs to somebody else, in every place where it fits.

Nothing has to be done here for a new route, unless it has a parameter of a new name: then the test fails and says how to
teach it. A new kind of thing is made in ``tests/isolation/people.py``.
"""

import asyncio
import contextlib
import io
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from dragoman.adapters.sql import SqliteEngine, SqlStore
from dragoman.adapters.sql.postgres import PostgresEngine
from dragoman.adapters.sql.walls import WALLS
from dragoman.testing import call as calling
from dragoman.testing import say
from tests.isolation.forgetful import Forgetful
from tests.isolation.people import Door, Person, furnish, population, release
from tests.isolation.routes import Call, calls, document, routes_of
from tests.isolation.rows import about, dump
from tests.surfaces.house import PATIENCE, House, house

SCRIPTS = {
    "general": [say("Good morning.")],
    "research": [say("Good morning.")],
    "shop": [calling("refund", {"amount": 200}, returns="refunded", needs_approval=True), say("Done.")],
}


@dataclass
class Town:
    at: House
    database: str
    people: list[Person]
    routes: dict[str, Any]  # as OpenAPI has them


@contextlib.asynccontextmanager
async def town(store: SqlStore, database: str) -> AsyncIterator[Town]:
    people = population()
    async with house(SCRIPTS, store=store, authenticator=Door()) as at:
        for person in people:
            await furnish(at, person)
        yield Town(at, database, people, document(at.app))
        for person in people:
            await release(at, person)


@contextlib.asynccontextmanager
async def sqlite(request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    path = request.getfixturevalue("tmp_path") / "town.db"
    async with town(SqlStore(SqliteEngine(path)), str(path)) as found:
        yield found


@contextlib.asynccontextmanager
async def postgresql(request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    url: str = request.getfixturevalue("postgres_url")
    async with town(SqlStore(PostgresEngine(url, pool_size=2)), url) as found:
        yield found


@pytest.mark.parametrize("database", [sqlite, postgresql])
async def test_nobody_reaches_what_is_somebody_elses_by_any_route(request: pytest.FixtureRequest, database):
    async with database(request) as found:
        victim, *others = found.people
        for attacker in others:
            await attack(found, attacker, victim)


@contextlib.asynccontextmanager
async def forgetful_sqlite(request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    path = request.getfixturevalue("tmp_path") / "town.db"
    async with town(SqlStore(Forgetful(SqliteEngine(path))), str(path)) as found:
        yield found


@contextlib.asynccontextmanager
async def forgetful_postgresql(request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    url: str = request.getfixturevalue("postgres_url")
    async with town(SqlStore(Forgetful(PostgresEngine(url, pool_size=2))), url) as found:
        yield found


@contextlib.asynccontextmanager
async def forgetful_postgresql_without_policies(request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    async with forgetful_postgresql(request) as found:
        with psycopg.connect(found.database) as connection:
            for table in WALLS:
                connection.execute(SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY").format(Identifier(table)))
        yield found


@pytest.mark.parametrize("database", [forgetful_sqlite, forgetful_postgresql_without_policies])
async def test_queries_that_forget_the_owner_are_found_out(request: pytest.FixtureRequest, database):
    async with database(request) as found:
        victim, colleague, *_ = found.people
        with pytest.raises(AssertionError, match=r"tells .* of sarah@acme"):
            await attack(found, colleague, victim)


async def test_what_forgetful_queries_ask_for_the_second_wall_refuses(request: pytest.FixtureRequest):
    async with forgetful_postgresql(request) as found:
        victim, *others = found.people
        for attacker in others:
            await attack(found, attacker, victim)


async def attack(town: Town, attacker: Person, victim: Person) -> None:
    before = about(dump(town.database), victim.marks)
    tried: set[str] = set()
    for call in calls(town.routes, attacker, victim):
        try:
            async with asyncio.timeout(4 * PATIENCE):
                answer = await town.at.client.request(**call.request(attacker))
        except TimeoutError:
            pytest.fail(f"{attacker.name} {call.route} {call.values}: no answer")
        text = said(answer)
        told = f"{attacker.name} {call.route} {call.values}: {answer.status_code} {text[:500]}"
        leaked = {mark for mark in victim.marks - call.sent if mark in text}
        assert not leaked, f"{told}\ntells {leaked} of {victim.name}"
        assert answer.status_code in expected(call, attacker), told
        tried.add(call.route)
    assert about(dump(town.database), victim.marks) == before, f"{attacker.name} changed something of {victim.name}'s"
    assert tried == set(routes_of(town.routes))


def said(answer: httpx.Response) -> str:
    """What an answer says, also where it is packed."""
    if answer.headers.get("content-type") != "application/zip":
        return answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return "".join(archive.read(name).decode() for name in archive.namelist())


def expected(call: Call, attacker: Person) -> tuple[int, ...]:
    if not attacker.principal.may("admin") and call.path.startswith(("/admin/", "/metrics", "/health")):
        return (403,)
    if call.in_path:
        return (404,)
    if call.foreign and not call.may_succeed():
        return (400, 404, 422)  # 400 is how OpenAI's routes say 422
    if any(map(call.own_word, call.foreign)):
        return (200, 201, 202, 409)  # taken, but by themselves
    return (200, 201, 202, 204)

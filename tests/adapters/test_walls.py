"""The second wall: what PostgreSQL lets a request see and change, whatever its queries say, and when a server refuses to rely on it."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from dragoman.adapters.sql import SqlStore, schema, walls
from dragoman.adapters.sql.engine import SERVER
from dragoman.adapters.sql.migrations import VERSION_TABLE
from dragoman.adapters.sql.postgres import PostgresEngine
from dragoman.domain.errors import StorageUnavailable
from dragoman.domain.identity import Principal
from tests.adapters.test_postgres import opened, query, statement
from tests.contracts.talk import ELSEWHERE, SARAH, TOM, Talk
from tests.postgres import PostgresServer

OTHERS = [TOM, ELSEWHERE]
COUNT = "SELECT count(*) FROM conversations"


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[str]:
    with postgres.fresh() as url:
        yield url


@pytest.fixture
def own(empty: str) -> str:
    """A database whose roles are nobody else's."""
    schema.migrate(empty)
    return empty


@pytest.fixture
def somebody(postgres: PostgresServer, empty: str) -> Iterator[str]:
    """The URL by which an ordinary user reaches the database: neither superuser nor owner of anything yet."""
    name = f"{_database(empty)}_somebody"
    postgres.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'open sesame'")
    parts = urlsplit(empty)
    yield parts._replace(netloc=f"{name}:open%20sesame@{parts.hostname}:{parts.port}").geturl()
    query(empty, f"DROP OWNED BY {name} CASCADE")
    postgres.execute(f"ALTER DATABASE {_database(empty)} OWNER TO CURRENT_USER")
    postgres.execute(f"DROP ROLE {name}")


def _database(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def _role(url: str, policy: str = walls.REQUESTS) -> str:
    return f"{_database(url)}_{policy}"


async def refusal(url: str) -> str:
    with pytest.raises(StorageUnavailable) as refused:
        await PostgresEngine(url, pool_size=1).start()
    return str(refused.value)


# What a request reaches -------------------------------------------------------------------------------------------------


def test_every_table_has_its_policies_or_a_reason_to_have_none(postgres_url: str):
    found = query(
        postgres_url,
        """SELECT relname, relrowsecurity, array_agg(polname) FILTER (WHERE polname IS NOT NULL) FROM pg_class
        LEFT JOIN pg_policy ON polrelid = pg_class.oid
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace GROUP BY 1, 2""",
    )
    policies = {table: (closed, sorted(names or ())) for table, closed, names in found}
    assert policies.pop(VERSION_TABLE) == (False, [])  # holds one number, which anybody may read and nobody change
    assert not set(walls.WALLS) & set(walls.UNREACHABLE)
    assert policies == {
        **{table: (True, [walls.REQUESTS, walls.SERVER]) for table in walls.WALLS},
        **{table: (True, [walls.SERVER]) for table in walls.UNREACHABLE},
    }, "say in walls.py what a request may see of this table, or why it may see nothing"


async def test_a_query_without_a_condition_finds_ones_own_rows_only(postgres_url: str):
    async with opened(postgres_url, pool_size=1, max_overflow=0) as engine:
        talk = Talk(SqlStore(engine))
        await talk.answered("Hello")
        for table in ("conversations", "branches", "items", "findable", "runs", "events"):

            def twice(table: str = table):
                yield f"SELECT count(*) FROM {table}", {}
                return (yield f"SELECT count(*) FROM {table}", {})

            for script in (statement(f"SELECT count(*) FROM {table}"), twice):
                ((mine,),) = await engine.read(SARAH, script)
                assert mine > 0
                assert [await engine.read(other, script) for other in OTHERS] == [[(0,)]] * 2, table
                assert [await engine.write(other, script) for other in OTHERS] == [[(0,)]] * 2, table
                assert await engine.read(SERVER, script) == [(mine,)]


async def test_nothing_is_written_in_somebody_elses_name(postgres_url: str):
    async with opened(postgres_url) as engine:
        talk = Talk(SqlStore(engine))
        run = await talk.answered("Hello")
        for other in OTHERS:
            for sql in ("UPDATE runs SET trace = 'x' RETURNING id", "DELETE FROM conversations RETURNING id"):
                assert await engine.write(other, statement(sql)) == []
            for sql in (
                f"INSERT INTO events VALUES ('{run.id}', 99, 'k', '{{}}')",
                f"INSERT INTO findable VALUES (1, '{run.conversation_id}', 'x')",
                "UPDATE usage SET cost = '0'",
                "SELECT * FROM reservations",
                f"UPDATE {VERSION_TABLE} SET version_num = '9'",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    await engine.write(other, statement(sql))
        assert await talk.texts() == ["Hello", "Hi!"]


async def test_whoever_takes_a_run_for_his_own_cannot_give_it_away(postgres_url: str):
    async with opened(postgres_url) as engine:
        await Talk(SqlStore(engine)).answered("Hello")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await engine.write(SARAH, statement("UPDATE runs SET owner = 'tom'"))


async def test_approvals_are_seen_by_those_who_may_decide_them_and_keys_by_administrators_too(postgres_url: str):
    async with opened(postgres_url) as engine:
        run = await Talk(SqlStore(engine)).answered("Hello")
        query(
            postgres_url,
            f"""INSERT INTO approvals (id, run_id, tenant, owner, agent, tool, call_id, arguments, requested_at, scope, path, status,
            logged) VALUES ('a', '{run.id}', '{SARAH.tenant}', '{SARAH.user}', 'a', 't', 'c', '{{}}', 0, 'approvals:write', '',
            'pending', 0);
            INSERT INTO api_keys (id, tenant, owner, name, scopes, digest, created_at, created_by)
            VALUES ('k', '{SARAH.tenant}', '{SARAH.user}', '', '[]', '', 0, '')""",
        )

        async def seen(user: str, tenant: str, *scopes: str) -> list[int]:
            by = Principal(user, tenant, frozenset(scopes))
            tables = ("approvals", "api_keys")
            return [len(await engine.read(by, statement(f"SELECT id FROM {table}"))) for table in tables]

        assert await seen(SARAH.user, SARAH.tenant) == [1, 1]
        assert await seen("tom", SARAH.tenant, "runs:write") == [0, 0]
        assert await seen("tom", SARAH.tenant, "approvals:write") == [1, 0]
        assert await seen("tom", SARAH.tenant, "admin") == [1, 1]
        assert await seen(SARAH.user, "umbrella", "approvals:write", "admin") == [0, 0]


async def test_a_search_looks_into_the_index_of_words_and_tells_of_nobody_elses(postgres_url: str):
    async with opened(postgres_url) as engine:
        await Talk(SqlStore(engine)).answered("Rhubarb")
        find = statement("SELECT * FROM conversations_with(CAST('''rhubarb''' AS tsquery))")
        assert len(await engine.read(SARAH, find)) == 1
        assert [await engine.read(other, find) for other in OTHERS] == [[], []]


# Whether a server relies on it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoiled", "told"),
    [
        ("ALTER ROLE {requests} BYPASSRLS", "api_keys, .* bypass row-level security"),
        ("ALTER ROLE {requests} SUPERUSER", "api_keys, .* superuser"),
        ("GRANT {server} TO {requests}", "api_keys, .* member of"),
        ("GRANT CREATE ON SCHEMA public TO {requests}; ALTER TABLE items OWNER TO {requests}", "in items. "),
        ("ALTER TABLE events DISABLE ROW LEVEL SECURITY", "in events. "),
        ("REVOKE SELECT ON runs FROM {requests}", "dragoman migrate"),
        ("DROP POLICY requests ON conversations", "dragoman migrate"),
        ("COMMENT ON POLICY requests ON conversations IS 'of another version'", "dragoman migrate"),
    ],
)
async def test_a_server_refuses_a_wall_with_a_hole(own: str, spoiled: str, told: str):
    async with opened(own) as engine:
        assert await engine.check() is None
        query(own, spoiled.format(requests=_role(own), server=_role(own, walls.SERVER)))

        message = await refusal(own)
        with pytest.raises(AssertionError, match=f"(?s){told}"):
            raise AssertionError(message)
        assert await engine.check() == message


async def test_migrating_builds_what_is_missing_around_the_rows_that_are_there(own: str):
    async with opened(own) as engine:
        await Talk(SqlStore(engine)).answered("Hello")
        assert schema.migration_sql(own) == ""
        query(
            own, "DROP POLICY requests ON conversations; DROP FUNCTION runs_under_way; REVOKE ALL ON items FROM PUBLIC"
        )
        assert "CREATE POLICY requests ON conversations" in schema.migration_sql(own)

        schema.migrate(own)

        assert await engine.check() is None
        assert await engine.read(SARAH, statement(COUNT)) == [(1,)]
        assert await engine.read(TOM, statement(COUNT)) == [(0,)]


async def test_a_copy_of_a_database_gets_roles_of_its_own(postgres: PostgresServer, own: str):
    with postgres.fresh(own) as copy:
        async with opened(copy) as engine:
            assert await engine.read(TOM, statement("SELECT current_user")) == [(_role(own),)]
        schema.migrate(copy)
        async with opened(copy) as engine:
            assert await engine.read(TOM, statement("SELECT current_user")) == [(_role(copy),)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            query(copy, f"SET ROLE {_role(own)}; INSERT INTO runs DEFAULT VALUES")


async def test_without_the_right_to_create_roles_migrate_says_what_somebody_else_has_to(
    postgres: PostgresServer, empty: str, somebody: str
):
    postgres.execute(f"ALTER DATABASE {_database(empty)} OWNER TO {_database(empty)}_somebody")
    query(empty, f"GRANT CREATE ON SCHEMA public TO {_database(empty)}_somebody")

    with pytest.raises(StorageUnavailable) as refused:
        schema.migrate(somebody)
    assert query(empty, "SELECT count(*) FROM pg_class WHERE relname = 'runs'") == [(0,)]

    query(empty, str(refused.value).partition(" has to say: ")[2].partition(" Then run")[0])
    schema.migrate(somebody)
    async with opened(somebody) as engine:
        await Talk(SqlStore(engine)).answered("Hello")
        assert await engine.read(TOM, statement(COUNT)) == [(0,)]


async def test_who_does_not_own_the_tables_serves_as_soon_as_both_roles_are_granted(own: str, somebody: str):
    name = f"{_database(own)}_somebody"
    for _ in range(2):  # one after the other
        query(own, (await refusal(somebody)).partition(" in this database: ")[2])
    async with opened(somebody) as engine:
        talk = Talk(SqlStore(engine))
        await talk.answered("Hello")
        assert await talk.texts() == ["Hello", "Hi!"]
        assert await engine.read(TOM, statement(COUNT)) == [(0,)]
        assert await engine.read(SERVER, statement(COUNT)) == [(1,)]
    assert query(own, f"SELECT rolsuper FROM pg_roles WHERE rolname = '{name}'") == [(False,)]

"""What PostgreSQL itself lets a request see and change, whatever a query forgets: the second wall.

Whatever runs for a principal runs in a role of its own, to which policies show the principal's rows only. The server itself, which works
for everybody, owns the tables or has the other role, to which policies show everything. Policies, functions and roles
follow from what stands here; they have no history, and ``dragoman migrate`` builds them anew when they have changed. A
table that stands in none of these lists fails a test.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from dragoman.adapters.sql.engine import Script
from dragoman.adapters.sql.migrations import VERSION_TABLE
from dragoman.domain.identity import Principal

REQUESTS, SERVER = "requests", "server"
"""The policies of a table, and how their roles' names end."""

_TENANT = "current_setting('dragoman.tenant', true)"
_USER = "current_setting('dragoman.user', true)"
_SCOPES = "current_setting('dragoman.scopes', true)"  # with a | before and behind each

MINE = f"tenant = {_TENANT} AND owner = {_USER}"
ADMINISTERED = f"tenant = {_TENANT} AND {_SCOPES} LIKE '%|admin|%'"
MINE_OR_ADMINISTERED = f"{ADMINISTERED} OR {MINE}"
# Whoever works on all of a tenant is nobody in it: to hold a conversation, to take a name out of what others keep.
MINE_OR_OVERSEEN = f"{MINE} OR ({ADMINISTERED} AND {_USER} = '')"
DECIDED = f"""tenant = {_TENANT}
  AND (owner = {_USER} OR {_SCOPES} LIKE '%|admin|%' OR {_SCOPES} LIKE '%|' || scope || '|%')"""
ALL = "SELECT, INSERT, UPDATE, DELETE"


def _counted(kind: str) -> str:
    """What is counted of somebody, or of a key of theirs."""
    return f"tenant = {_TENANT} AND ({kind} = 'user' AND name = {_USER} OR {kind} = 'key' AND name IN (SELECT id FROM api_keys))"  # noqa: S608 - constants


def _within(parent: str, table: str, column: str) -> str:
    """A row belongs to whom the one belongs that it is part of; of that, only what the policy of its table shows is there."""
    return f"EXISTS (SELECT 1 FROM {parent} WHERE {parent}.id = {table}.{column})"  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Wall:
    """What a request may do with a table, and with which of its rows."""

    verbs: str
    condition: str


WALLS: Mapping[str, Wall] = {
    "conversations": Wall(ALL, MINE_OR_OVERSEEN),
    "branches": Wall(ALL, _within("conversations", "branches", "conversation_id")),
    "items": Wall(ALL, _within("conversations", "items", "conversation_id")),
    "findable": Wall(ALL, _within("conversations", "findable", "conversation_id")),
    "runs": Wall(ALL, MINE_OR_OVERSEEN),
    "events": Wall(ALL, _within("runs", "events", "run_id")),
    "idempotency_keys": Wall(ALL, MINE),
    "notes": Wall(ALL, MINE),
    "approvals": Wall("SELECT, UPDATE, DELETE", DECIDED),
    "usage": Wall("SELECT, DELETE", MINE),
    "accounts": Wall("SELECT, DELETE", _counted("payer")),
    "request_counts": Wall("SELECT, DELETE", _counted("kind")),
    "api_keys": Wall(ALL, MINE_OR_ADMINISTERED),
    "audit": Wall("SELECT, INSERT, UPDATE", ADMINISTERED),
}

UNREACHABLE: Mapping[str, str] = {
    "reservations": "made and settled by players only",
    "schedules": "nobody's",
}
"""Tables that only the server itself works with, and why. A request cannot read them at all."""

FUNCTIONS: Mapping[str, str] = {
    # An index of words is of no use behind a policy: what compares them might tell of rows that it hides.
    "conversations_with(wanted tsquery) RETURNS SETOF text": f"""
SELECT DISTINCT findable.conversation_id FROM findable JOIN conversations ON conversations.id = findable.conversation_id
WHERE array_to_tsvector(string_to_array(words, ' ')) @@ wanted AND {MINE}""",  # noqa: S608 - constants
    # A limit on a tenant counts everybody's runs. The first condition is that of the index.
    "runs_under_way(whose text, by_key text) RETURNS bigint": f"""
SELECT count(*) FROM runs
WHERE status IN ('queued', 'in_progress', 'requires_action') AND status <> 'requires_action' AND tenant = {_TENANT}
  AND (whose IS NULL OR owner = whose) AND (by_key IS NULL OR key = by_key)""",  # noqa: S608 - constants
}
"""What a request may learn of rows that it does not see."""


# Who asks -------------------------------------------------------------------------------------------------------------

BECOME = """
SELECT set_config('role', :role, true), set_config('dragoman.tenant', :tenant, true),
  set_config('dragoman.user', :user, true), set_config('dragoman.scopes', :scopes, true)
"""
"""Until the end of the transaction, be a request of somebody's."""


def becoming(role: str, principal: Principal) -> dict[str, str]:
    return {
        "role": role,
        "tenant": principal.tenant,
        "user": principal.user,
        "scopes": f"|{'|'.join(sorted(principal.scopes))}|",
    }


# Whether they stand ---------------------------------------------------------------------------------------------------

ROLES = """
SELECT polname, rolname, obj_description(pg_policy.oid, 'pg_policy')
FROM pg_policy JOIN pg_roles ON pg_roles.oid = polroles[1]
WHERE polrelid = to_regclass('conversations')
"""

# Since version 16 to be a member of a role is not yet to be allowed to take it on.
ENTITLED = """
SELECT current_user,
  pg_has_role(CAST(:requests AS name),
    CASE WHEN CAST(current_setting('server_version_num') AS integer) < 160000 THEN 'MEMBER' ELSE 'SET' END),
  pg_has_role(CAST(:server AS name), 'USAGE') OR (
    SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('conversations'))
"""

# Asked in the role itself: a superuser, an owner, whoever may bypass policies, and a table without them all show here.
EXPOSED = """
SELECT string_agg(name, ', ' ORDER BY name) FROM unnest(CAST(:tables AS text[])) AS name
WHERE row_security_active(CAST(to_regclass(name) AS oid)) IS NOT TRUE OR pg_has_role(CAST(:server AS name), 'MEMBER')
"""
DENIED = """
SELECT string_agg(name, ', ' ORDER BY name) FROM unnest(CAST(:tables AS text[])) AS name
WHERE NOT has_table_privilege(to_regclass(name), 'SELECT')
"""
NOBODY = Principal("", "")

OUTDATED = "The database keeps requests apart in another way than this version needs. Run `dragoman migrate`."


@dataclass(frozen=True, slots=True)
class Standing:
    """The role of requests, and why none may be served, if so."""

    requests: str
    refusal: str | None = None


def standing() -> Script[Standing]:
    """Look whether requests would really be kept apart. Afterwards the transaction is nobody's request."""
    rows = yield ROLES, {}
    roles = {policy: role for policy, role, _ in rows}
    if DIGEST not in {digest for _, _, digest in rows} or not {REQUESTS, SERVER} <= set(roles):
        return Standing("", OUTDATED)
    requests, server = roles[REQUESTS], roles[SERVER]
    ((login, becomes, serves),) = yield ENTITLED, {"requests": requests, "server": server}
    for may, role in ((becomes, requests), (serves, server)):
        if not may:
            return Standing(requests, _not_entitled(login, role))
    yield BECOME, becoming(requests, NOBODY)
    ((exposed,),) = yield EXPOSED, {"tables": [*WALLS, *UNREACHABLE], "server": server}
    if exposed:
        return Standing(requests, _exposed(requests, server, exposed))
    ((denied,),) = yield DENIED, {"tables": [*WALLS]}
    return Standing(requests, OUTDATED if denied else None)


def _not_entitled(login: str, role: str) -> str:
    return (
        f"The database's user {login} may not act as {role}. Somebody who may has to say, in this database:"
        f" GRANT {_quoted(role)} TO {_quoted(login)};"
    )


def _exposed(requests: str, server: str, tables: str) -> str:
    return (
        f"Requests would see what is somebody else's, in {tables}. The role {requests} may not be a superuser, bypass"
        f" row-level security, own tables, or be a member of {server}; and every table needs its policies. Set the role right,"
        " or run `dragoman migrate`."
    )


# Building them --------------------------------------------------------------------------------------------------------

PLACE = "SELECT current_database(), current_schema(), current_user"
MEMBER_OF = "SELECT rolname, pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = :requests OR rolname = :server"
REACHING = """
SELECT rolname FROM pg_roles
WHERE (rolname = :requests OR rolname = :server) AND has_schema_privilege(oid, current_schema(), 'USAGE')
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be executed, in order: the first part may be another one's to do."""

    requests: str  # the role as it is to be called
    roles: Sequence[str]
    walls: Sequence[str]


def plan() -> Script[Plan]:
    ((database, schema, login),) = yield PLACE, {}
    requests, server = (_role(database, suffix) for suffix in (REQUESTS, SERVER))
    named = {"requests": requests, "server": server}
    member: dict[str, bool] = dict((yield MEMBER_OF, named))
    roles = [f"CREATE ROLE {_quoted(role)} NOLOGIN" for role in (requests, server) if role not in member]
    if not member.get(requests):
        roles.append(f"GRANT {_quoted(requests)} TO {_quoted(login)}")
    reaching = yield REACHING, named
    grants = [
        f"GRANT USAGE ON SCHEMA {_quoted(schema)} TO {_quoted(role)}"
        for role in (requests, server)
        if (role,) not in reaching
    ]
    return Plan(requests, roles, [*grants, *_statements(requests, server, schema), SIGN])


def not_allowed(plan: Plan) -> str:
    return (
        "The database's user may not create the roles that keep people apart, so nothing was changed. Somebody who may has"
        f" to say: {'; '.join(plan.roles)}; Then run `dragoman migrate` again."
    )


def _role(database: str, suffix: str) -> str:
    """Roles belong to a whole server of databases; these to one of them. A name has at most 63 bytes."""
    return f"{database.encode()[:54].decode(errors='ignore')}_{suffix}"


def _statements(requests: str, server: str, schema: str) -> Iterator[str]:
    """What makes the walls of a database, whatever stands there."""
    request, served = _quoted(requests), _quoted(server)
    yield f"GRANT SELECT ON {VERSION_TABLE} TO PUBLIC"  # so that whoever may do nothing yet can be told what is missing
    for table in (*WALLS, *UNREACHABLE):
        yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
        yield f"DROP POLICY IF EXISTS {SERVER} ON {table}"
        yield f"CREATE POLICY {SERVER} ON {table} TO {served} USING (true)"
        yield f"GRANT {ALL} ON {table} TO {served}"
        yield f"DROP POLICY IF EXISTS {REQUESTS} ON {table}"
        yield f"REVOKE ALL ON {table} FROM {request}"
    for table, wall in WALLS.items():
        yield f"CREATE POLICY {REQUESTS} ON {table} TO {request} USING ({wall.condition})"
        yield f"GRANT {wall.verbs} ON {table} TO {request}"
    for signature, body in FUNCTIONS.items():
        name, _, returned = signature.partition(" RETURNS ")
        yield f"DROP FUNCTION IF EXISTS {name}"
        yield (
            f"CREATE FUNCTION {name} RETURNS {returned} LANGUAGE sql STABLE SECURITY DEFINER"
            f" SET search_path = {_quoted(schema)}, pg_temp AS $${body}$$"
        )
        yield f"REVOKE ALL ON FUNCTION {name} FROM PUBLIC"
        yield f"GRANT EXECUTE ON FUNCTION {name} TO {request}, {served}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


DIGEST = hashlib.sha256("".join(_statements(REQUESTS, SERVER, "public")).encode()).hexdigest()[:16]
"""Of all that stands here. It is kept with the policies, so that a server knows whether they are its own."""
SIGN = f"COMMENT ON POLICY {REQUESTS} ON conversations IS '{DIGEST}'"

"""Everything of one person as rows: read page by page, and removed step by step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from dragoman.adapters.sql.approvals import COLUMNS as APPROVAL
from dragoman.adapters.sql.approvals import approval_from
from dragoman.adapters.sql.audit import COLUMNS as AUDIT
from dragoman.adapters.sql.audit import entry_from
from dragoman.adapters.sql.budgets import amount
from dragoman.adapters.sql.engine import Engine, Script, administrator_of
from dragoman.adapters.sql.items import LOCK
from dragoman.adapters.sql.keys import KEY, key_from
from dragoman.adapters.sql.notes import COLUMNS as NOTE
from dragoman.adapters.sql.notes import note_from
from dragoman.adapters.sql.rows import (
    CONVERSATION,
    RUN,
    Row,
    branch_from_row,
    conversation_from,
    dumps,
    item_from,
    micros,
    moment,
    run_from,
)
from dragoman.adapters.sql.usage import CALL, call_from
from dragoman.domain.audit import without_name
from dragoman.domain.budgets import Account, Balance
from dragoman.domain.identity import Principal
from dragoman.domain.people import Call, Kind, LoggedEvent, Requests, Spending, UsedKey
from dragoman.ports.people import Place

OWN = "tenant = :tenant AND owner = :owner"
_MINE = "IN (SELECT {} FROM {} WHERE tenant = :tenant AND owner = :owner)"
OWN_CONVERSATION = f"conversation_id {_MINE.format('id', 'conversations')}"
OWN_RUN = f"run_id {_MINE.format('id', 'runs')}"
_OWN_KEY = f"name {_MINE.format('id', 'api_keys')}"
# Whoever pays, or is counted: the person, or a key of theirs.
OWN_PAYER = f"tenant = :tenant AND (payer = 'user' AND name = :owner OR payer = 'key' AND {_OWN_KEY})"
OWN_BEARER = f"tenant = :tenant AND (kind = 'user' AND name = :owner OR kind = 'key' AND {_OWN_KEY})"
# A name as it stands in the JSON, with the word before it, which nothing inside of a text can look like.
ABOUT = """
tenant = :tenant AND (actor = :owner OR (target = :owner AND action LIKE 'person.%') OR replace(detail, :named, '') <> detail)
"""
ENDED = "status NOT IN ('queued', 'in_progress', 'requires_action')"


@dataclass(frozen=True, slots=True)
class _Source:
    """Where things of a kind stand, and in which order."""

    columns: str
    table: str
    where: str
    key: tuple[str, ...]
    before_all: Place
    noun: Callable[[Row], object]

    @property
    def sql(self) -> str:
        """Each row ends with its place."""
        key = ", ".join(self.key)
        place = ", ".join(f":k{i}" for i in range(len(self.key)))
        return (
            f"SELECT {self.columns}, {key} FROM {self.table} WHERE {self.where} AND ({key}) > ({place})"  # noqa: S608 - constants
            f" ORDER BY {key} LIMIT :limit"
        )


def _event(row: Row) -> LoggedEvent:
    run_id, position, kind, content = row
    return LoggedEvent(run_id, position, kind, orjson.loads(content))


def _used_key(row: Row) -> UsedKey:
    route, key, run_id, expires_at = row
    return UsedKey(route, key, run_id, moment(expires_at))


def _call(row: Row) -> Call:
    run_id, conversation_id, at, *entry = row
    return Call(run_id, conversation_id, moment(at), call_from(entry))


def _spending(row: Row) -> Spending:
    tenant, payer, name, span, since, spent, tokens = row
    return Spending(Account(tenant, payer, name, span, moment(since)), Balance(amount(spent), tokens=tokens))


def _requests(row: Row) -> Requests:
    return Requests(*row)


_CONVERSATIONS = "conversations JOIN branches ON branches.id = conversations.branch"
_ITEM = "items.id, items.conversation_id, parent, run_id, content, created_at, status"
SOURCES: Mapping[Kind, _Source] = {
    "conversations": _Source(CONVERSATION, _CONVERSATIONS, OWN, ("conversations.id",), ("",), conversation_from),
    "branches": _Source(
        "id, conversation_id, head, created_at, superseded_by",
        "branches",
        OWN_CONVERSATION,
        ("id",),
        ("",),
        branch_from_row,
    ),
    "items": _Source(_ITEM, "items", OWN_CONVERSATION, ("conversation_id", "seq"), ("", -1), item_from),
    "runs": _Source(RUN, "runs", OWN, ("id",), ("",), run_from),
    "events": _Source("run_id, position, kind, content", "events", OWN_RUN, ("run_id", "position"), ("", -1), _event),
    "approvals": _Source(APPROVAL, "approvals", OWN, ("id",), ("",), approval_from),
    "usage": _Source(
        f"run_id, conversation_id, created_at, {CALL}",
        "usage",
        OWN,
        ("run_id", "path", "ordinal", '"try"'),
        ("", "", -1, -1),
        _call,
    ),
    "notes": _Source(NOTE, "notes", OWN, ("id",), ("",), note_from),
    "idempotency_keys": _Source(
        "route, key, run_id, expires_at", "idempotency_keys", OWN, ("route", "key"), ("", ""), _used_key
    ),
    "spending": _Source(
        "tenant, payer, name, span, since, spent, tokens", "accounts", OWN_PAYER, ("id",), ("",), _spending
    ),
    "requests": _Source(
        "kind, name, minute, requests", "request_counts", OWN_BEARER, ("kind", "name"), ("", ""), _requests
    ),
    "api_keys": _Source(KEY, "api_keys", OWN, ("id",), ("",), key_from),
    "audit": _Source(AUDIT, "audit", ABOUT, ("id",), ("",), entry_from),
}

HOLDS = f"SELECT count(*) FROM conversations WHERE {OWN} AND hold = 1"  # noqa: S608 - constants

REVOKE = f"UPDATE api_keys SET revoked_at = :at WHERE {OWN} AND revoked_at IS NULL"  # noqa: S608 - constants
UNFINISHED = f"SELECT id FROM runs WHERE {OWN} AND NOT {ENDED} ORDER BY id LIMIT :limit FOR UPDATE"  # noqa: S608 - constants
END = """
UPDATE runs SET status = 'cancelled', ended_at = :at, attempt = attempt + 1, player = NULL, lease_until = NULL, unsaid = NULL
WHERE id = :id
"""


def _removal(table: str, key: str, where: str) -> str:
    return f"""
DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {where} LIMIT :limit) RETURNING 1
"""  # noqa: S608 - constants


WORDS = _removal("findable", "number", OWN_CONVERSATION)
REMOVALS: Mapping[Kind, str] = {
    "events": _removal("events", "run_id, position", f"{OWN_RUN[:-1]} AND {ENDED})"),
    "idempotency_keys": _removal("idempotency_keys", "tenant, owner, route, key", OWN),
    "approvals": _removal("approvals", "id", OWN),
    "usage": _removal("usage", 'run_id, path, ordinal, "try"', OWN),
    "notes": _removal("notes", "id", OWN),
    "runs": _removal("runs", "id", f"{OWN} AND {ENDED}"),
    "items": _removal("items", "id", OWN_CONVERSATION),
    "spending": _removal("accounts", "id", OWN_PAYER),
    "requests": _removal("request_counts", "tenant, kind, name", OWN_BEARER),
    "api_keys": _removal("api_keys", "id", OWN),
}
EMPTY = f"""
SELECT id FROM conversations WHERE {OWN} AND NOT EXISTS (SELECT 1 FROM runs WHERE conversation_id = conversations.id)
ORDER BY id LIMIT :limit
"""  # noqa: S608 - constants
REMOVE_CONVERSATION = "DELETE FROM conversations WHERE id = :conversation_id"

NAMED = f"SELECT {AUDIT} FROM audit WHERE {ABOUT} ORDER BY id LIMIT :limit FOR UPDATE"  # noqa: S608 - constants
RENAME = "UPDATE audit SET actor = :actor, target = :target, detail = :detail WHERE id = :id"
MADE_BY = """
UPDATE api_keys SET created_by = :pseudonym WHERE id IN (
  SELECT id FROM api_keys WHERE tenant = :tenant AND created_by = :owner LIMIT :limit)
RETURNING 1
"""
DECIDED = """
SELECT id, run_id FROM approvals WHERE tenant = :tenant AND decided_by = :owner ORDER BY run_id, id LIMIT :limit FOR UPDATE
"""
DECIDED_BY = "UPDATE approvals SET decided_by = :pseudonym WHERE id = :id"
DECISIONS = "SELECT run_id, position, content FROM events WHERE run_id = :run_id AND kind = 'decision'"
REWRITE = "UPDATE events SET content = :content WHERE run_id = :run_id AND position = :position"


@dataclass(frozen=True, slots=True)
class SqlPeople:
    """``PeopleStore``."""

    engine: Engine

    async def page(
        self, person: Principal, kind: Kind, after: Place | None, limit: int
    ) -> Sequence[tuple[Place, object]]:
        by = administrator_of(person.tenant) if kind == "audit" else person
        return await self.engine.read(by, _page, person, SOURCES[kind], after, limit)

    async def holds(self, person: Principal) -> int:
        return await self.engine.read(person, _holds, person)

    async def stop(self, person: Principal, at: datetime, limit: int) -> Sequence[str]:
        return await self.engine.write(person, _stop, person, at, limit)

    async def remove(self, person: Principal, kind: Kind, limit: int) -> int:
        if kind == "conversations":
            return await self.engine.write(person, _remove_conversations, person, limit)
        return await self.engine.write(person, _remove, person, kind, limit)

    async def rename(self, person: Principal, pseudonym: str, limit: int) -> int:
        return await self.engine.write(administrator_of(person.tenant), _rename, person, pseudonym, limit)


def _whose(person: Principal) -> dict[str, str]:
    return {"tenant": person.tenant, "owner": person.user, "named": f'"user":{dumps(person.user)}'}


def _page(
    person: Principal, source: _Source, after: Place | None, limit: int
) -> Script[Sequence[tuple[Place, object]]]:
    place = {f"k{i}": value for i, value in enumerate(source.before_all if after is None else after)}
    rows = yield source.sql, {**_whose(person), **place, "limit": limit}
    width = len(source.key)
    return [(row[-width:], source.noun(row[:-width])) for row in rows]


def _holds(person: Principal) -> Script[int]:
    ((count,),) = yield HOLDS, _whose(person)
    return int(count)


def _stop(person: Principal, at: datetime, limit: int) -> Script[Sequence[str]]:
    yield REVOKE, {**_whose(person), "at": micros(at)}
    rows = yield UNFINISHED, {**_whose(person), "limit": limit}
    if rows:
        yield END, [{"id": id, "at": micros(at)} for (id,) in rows]
    return [id for (id,) in rows]


def _remove(person: Principal, kind: Kind, limit: int) -> Script[int]:
    where = {**_whose(person), "limit": limit}
    if kind == "items":
        yield WORDS, where
    rows = yield REMOVALS[kind], where
    return len(rows)


def _remove_conversations(person: Principal, limit: int) -> Script[int]:
    rows = yield EMPTY, {**_whose(person), "limit": limit}
    for (id,) in rows:
        yield LOCK, {"conversation_id": id}
        yield REMOVE_CONVERSATION, {"conversation_id": id}
    return len(rows)


def _rename(person: Principal, pseudonym: str, limit: int) -> Script[int]:
    where = {**_whose(person), "pseudonym": pseudonym, "limit": limit}
    named = yield NAMED, where
    for entry in (without_name(entry_from(row), person.user, pseudonym) for row in named):
        yield RENAME, {"id": entry.id, "actor": entry.actor, "target": entry.target, "detail": dumps(entry.detail)}
    made = yield MADE_BY, where
    decided = yield from _rename_decisions(where, person.user, pseudonym)
    return len(named) + len(made) + decided


def _rename_decisions(where: Mapping[str, object], user: str, pseudonym: str) -> Script[int]:
    """What they have decided for others: in the approval, and in the log of its run."""
    decided = yield DECIDED, where
    for run_id in sorted({run_id for _, run_id in decided}):
        for run, position, content in (yield DECISIONS, {"run_id": run_id}):
            decision = orjson.loads(content)
            if decision.get("by") == user:
                told = dumps({**decision, "by": pseudonym})
                yield REWRITE, {"run_id": run, "position": position, "content": told}
    if decided:
        yield DECIDED_BY, [{"id": id, "pseudonym": pseudonym} for id, _ in decided]
    return len(decided)

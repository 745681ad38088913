"""Runs as rows: begun, read, listed, cancelled."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from dragoman.adapters.sql.branches import begin_branch, branch_from
from dragoman.adapters.sql.busy import ask, disturb, hold_unfinished
from dragoman.adapters.sql.engine import SERVER, Dialect, Engine, Script
from dragoman.adapters.sql.entering import enter_unsaid
from dragoman.adapters.sql.items import LOCK
from dragoman.adapters.sql.queue import take
from dragoman.adapters.sql.rows import RUN, dumps, micros, moment, now, run_from, run_params
from dragoman.domain.conversations import title_from
from dragoman.domain.errors import IdempotencyMismatch, NotFound, RunEnded, TooManyRuns
from dragoman.domain.identity import Principal
from dragoman.domain.ids import branch_id, is_conversation_id
from dragoman.domain.limits import Subject
from dragoman.domain.runs import CancelMode, Run, RunStatus
from dragoman.ports.runs import IDEMPOTENCY_KEPT, Begun, Claim, IdempotencyKey, RunPage

# The key is written first, so that of two equal requests the second waits for the first and then finds its run.
TAKE_KEY = """
INSERT INTO idempotency_keys (tenant, owner, route, key, digest, run_id, expires_at)
VALUES (:tenant, :owner, :route, :key, :digest, :run_id, :expires_at)
ON CONFLICT (tenant, owner, route, key)
DO UPDATE SET digest = excluded.digest, run_id = excluded.run_id, expires_at = excluded.expires_at
WHERE idempotency_keys.expires_at <= :now
RETURNING run_id
"""

FIND_KEY = """
SELECT digest, run_id FROM idempotency_keys
WHERE tenant = :tenant AND owner = :owner AND route = :route AND key = :key
"""

# The update is the lock under which requests to one conversation take turns.
ENTER = """
INSERT INTO conversations (id, tenant, owner, key, title, agent, tags, metadata, status, branch, last_seq,
  created_at, updated_at, last_message_at)
VALUES (:id, :tenant, :owner, :key, :title, :agent, '[]', '{}', :status, :branch, 0, :now, :now, :now)
ON CONFLICT (tenant, owner, key)
DO UPDATE SET status = 'active', updated_at = excluded.updated_at, last_message_at = excluded.last_message_at,
  title = CASE WHEN conversations.title = '' THEN excluded.title ELSE conversations.title END,
  agent = CASE WHEN conversations.agent = '' THEN excluded.agent ELSE conversations.agent END
RETURNING id, key, branch
"""

ENTER_BY_ID = """
UPDATE conversations SET updated_at = :now, last_message_at = :now,
  status = CASE WHEN status = 'hidden' THEN status ELSE 'active' END,
  title = CASE WHEN title = '' THEN :title ELSE title END,
  agent = CASE WHEN agent = '' THEN :agent ELSE agent END
WHERE id = :key AND tenant = :tenant AND owner = :owner
RETURNING id, key, branch
"""

# What is still to be said counts; nothing is while nothing is unfinished.
NEWEST_UNFINISHED = """
SELECT max(newest) FROM (
  SELECT max(created_at) AS newest FROM runs
  WHERE conversation_id = :conversation_id AND status IN ('queued', 'in_progress', 'requires_action')
  UNION ALL
  SELECT max(created_at) FROM runs WHERE conversation_id = :conversation_id AND unsaid = 1) AS before_it
"""

TAKE_TURNS: Mapping[Dialect, str] = {
    "sqlite": "SELECT 1",  # there is one writer
    "postgresql": "SELECT pg_advisory_xact_lock(hashtextextended(:subject, 0))",
}
NOBODY: Mapping[Subject, int] = {}

# Whosever runs they are: PostgreSQL tells a request only how many. The first condition is that of the index.
UNDER_WAY: Mapping[Dialect, str] = {
    "sqlite": """
SELECT count(*) FROM runs
WHERE status IN ('queued', 'in_progress', 'requires_action') AND status <> 'requires_action' AND tenant = :tenant
  AND (CAST(:owner AS TEXT) IS NULL OR owner = :owner) AND (CAST(:key AS TEXT) IS NULL OR key = :key)
""",
    "postgresql": "SELECT runs_under_way(CAST(:owner AS TEXT), CAST(:key AS TEXT))",
}

INSERT = """
INSERT INTO runs (id, tenant, owner, agent, provider, conversation_id, session_id, input, created_at, status, options,
  context, attempt, branch, key, trace, usage, supersedes)
VALUES (:id, :tenant, :owner, :agent, :provider, :conversation_id, :session_id, :input, :created_at, :status, :options,
  :context, :attempt, :branch, :key, :trace, :usage, :supersedes)
"""

GET = f"SELECT {RUN} FROM runs WHERE id = :id AND tenant = :tenant AND owner = :owner"  # noqa: S608 - constants
GET_LOCKED = f"{GET} FOR UPDATE"

AHEAD = """
SELECT
  (SELECT count(*) FROM runs WHERE conversation_id = :conversation_id
     AND status IN ('queued', 'in_progress', 'requires_action') AND (created_at, id) < (:created_at, :id)),
  (SELECT count(*) FROM runs WHERE status = 'queued' AND (created_at, id) < (:created_at, :id))
"""

LIST = f"""
SELECT {RUN} FROM runs
WHERE tenant = :tenant AND owner = :owner AND id < :after AND conversation_id IS NOT NULL
  AND (CAST(:status AS TEXT) IS NULL OR status = :status)
  AND (CAST(:agent AS TEXT) IS NULL OR agent = :agent)
  AND (CAST(:conversation_id AS TEXT) IS NULL OR conversation_id = :conversation_id)
ORDER BY id DESC LIMIT :limit
"""  # noqa: S608 - constants
AFTER_ALL = "zzzz"  # above every id, in every collation

STATELESS = """
SELECT id FROM runs WHERE conversation_id IS NULL AND ended_at < :before
  AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE run_id = runs.id AND expires_at > :now)
ORDER BY ended_at LIMIT :limit FOR UPDATE SKIP LOCKED
"""
REMOVE = "DELETE FROM runs WHERE id = :id"
REMOVE_HIDDEN = """
DELETE FROM conversations WHERE id = :conversation_id AND status = 'hidden'
  AND NOT EXISTS (SELECT 1 FROM runs WHERE conversation_id = :conversation_id)
"""

# Said twice, because a key may be taken anew while this waits for its row.
REMOVE_KEYS = """
DELETE FROM idempotency_keys WHERE expires_at <= :now AND (tenant, owner, route, key) IN (
  SELECT tenant, owner, route, key FROM idempotency_keys WHERE expires_at <= :now ORDER BY expires_at LIMIT :limit)
RETURNING key
"""


@dataclass(frozen=True, slots=True)
class SqlRuns:
    """``RunStore``."""

    engine: Engine

    async def begin(
        self,
        run: Run,
        *,
        claim: Claim | None,
        idempotency: IdempotencyKey | None = None,
        at_most: Mapping[Subject, int] = NOBODY,
    ) -> Begun:
        room = _Room(at_most, TAKE_TURNS[self.engine.dialect], UNDER_WAY[self.engine.dialect])
        return await self.engine.write(Principal(run.owner, run.tenant), _begin, run, claim, idempotency, room)

    async def get(self, principal: Principal, run_id: str) -> Run:
        return await self.engine.read(principal, _get, GET, principal, run_id)

    async def ahead(self, run: Run) -> int:
        return await self.engine.read(SERVER, _ahead, run)

    async def list(
        self,
        principal: Principal,
        *,
        status: RunStatus | None = None,
        agent: str | None = None,
        conversation_id: str | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> RunPage:
        where = {
            "tenant": principal.tenant,
            "owner": principal.user,
            "status": status and status.value,
            "agent": agent,
            "conversation_id": conversation_id,
            "after": after or AFTER_ALL,
        }
        return await self.engine.read(principal, _list, where, limit)

    async def cancel(self, principal: Principal, run_id: str, mode: CancelMode) -> Run:
        return await self.engine.write(principal, _cancel, principal, run_id, mode)

    async def delete(self, principal: Principal, run_id: str) -> Run:
        return await self.engine.write(principal, _delete, principal, run_id)

    async def remove_stateless(self, before: datetime, limit: int) -> int:
        return await self.engine.write(SERVER, _remove_stateless, before, limit)

    async def remove_expired_keys(self, now: datetime, limit: int) -> int:
        return await self.engine.write(SERVER, _remove_expired_keys, now, limit)


@dataclass(frozen=True, slots=True)
class _Room:
    """How many runs there may be, how those who begin some take turns, and how they are counted."""

    at_most: Mapping[Subject, int]
    lock: str
    under_way: str


def _begin(run: Run, claim: Claim | None, idempotency: IdempotencyKey | None, room: _Room) -> Script[Begun]:
    if idempotency is not None:
        earlier = yield from _take_key(run, idempotency)
        if earlier is not None:
            return Begun(earlier, fresh=False)
    free, disturbed = True, None
    yield from _check_room(run, room)
    if run.conversation_id is not None:
        yield from hold_unfinished(run)
        run, known = yield from _enter(run)
        if known:
            disturbed = yield from disturb(run)
            run, free = yield from _line_up(run)
        if disturbed is not None and disturbed.superseded_by:
            run = replace(run, supersedes=disturbed.id)
        if run.options.from_item is not None:
            run = replace(run, branch=(yield from branch_from(run)))
    yield INSERT, run_params(run)
    if claim is not None and free:
        (run,) = yield from take([run], claim)
    return Begun(run, fresh=True, disturbed=disturbed)


def _check_room(run: Run, room: _Room) -> Script[None]:
    """Of those who begin runs of one subject at once, each counts the ones before it."""
    for subject in sorted(room.at_most):
        yield room.lock, {"subject": dumps(subject)}
        owner = run.owner if subject.kind == "user" else None
        key = run.key if subject.kind == "key" else None
        ((under_way,),) = yield room.under_way, {"tenant": run.tenant, "owner": owner, "key": key}
        if under_way >= room.at_most[subject]:
            raise TooManyRuns


def _take_key(run: Run, idempotency: IdempotencyKey) -> Script[Run | None]:
    """Bind a key to a run, unless it is bound already: then the run it belongs to."""
    where = {"tenant": run.tenant, "owner": run.owner, "route": idempotency.route, "key": idempotency.key}
    bound = yield (
        TAKE_KEY,
        {
            **where,
            "digest": idempotency.digest,
            "run_id": run.id,
            "expires_at": micros(run.created_at + IDEMPOTENCY_KEPT),
            "now": micros(run.created_at),
        },
    )
    if bound:
        return None
    rows = yield FIND_KEY, where
    digest, run_id = rows[0]
    if digest != idempotency.digest:
        raise IdempotencyMismatch
    return (yield from _get(GET, Principal(run.owner, run.tenant), run_id))


def _enter(run: Run) -> Script[tuple[Run, bool]]:
    """The run in the conversation it named, made if need be, on its branch; and whether there was such a conversation."""
    new_branch = branch_id()
    by_id = run.session_id is not None and is_conversation_id(run.session_id)
    rows = yield (
        ENTER_BY_ID if by_id else ENTER,
        {
            "id": run.conversation_id,
            "tenant": run.tenant,
            "owner": run.owner,
            "key": run.session_id,
            "title": title_from(run.input),
            "agent": run.agent,
            "branch": new_branch,
            "status": "hidden" if run.options.hidden else "active",
            "now": micros(run.created_at),
        },
    )
    if not rows:
        raise NotFound("conversation", run.session_id or "")
    conversation_id, key, branch = rows[0]
    if branch == new_branch:
        yield from begin_branch(branch, conversation_id, None, run.created_at)
    return replace(run, conversation_id=conversation_id, session_id=key, branch=branch), branch != new_branch


def _line_up(run: Run) -> Script[tuple[Run, bool]]:
    """The run behind all that is unfinished in its conversation; and whether there is nothing."""
    ((newest,),) = yield NEWEST_UNFINISHED, {"conversation_id": run.conversation_id}
    if newest is None:
        return run, True
    # It came after that one, whatever the clocks of two machines say.
    return replace(run, created_at=max(run.created_at, moment(newest + 1))), False


def _get(sql: str, principal: Principal, run_id: str) -> Script[Run]:
    rows = yield sql, {"id": run_id, "tenant": principal.tenant, "owner": principal.user}
    if not rows:
        raise NotFound("run", run_id)
    return run_from(rows[0])


def _ahead(run: Run) -> Script[int]:
    place = {"conversation_id": run.conversation_id, "created_at": micros(run.created_at), "id": run.id}
    ((there, anywhere),) = yield AHEAD, place
    return int(there or anywhere)


def _list(where: dict[str, str | None], limit: int) -> Script[RunPage]:
    rows = yield LIST, {**where, "limit": limit + 1}
    runs = tuple(run_from(row) for row in rows[:limit])
    return RunPage(runs, next=runs[-1].id if len(rows) > limit else None)


def _cancel(principal: Principal, run_id: str, mode: CancelMode) -> Script[Run]:
    run = yield from _get(GET_LOCKED, principal, run_id)
    if run.status.ended:
        raise RunEnded
    return (yield from ask(run, mode))


def _delete(principal: Principal, run_id: str) -> Script[Run]:
    run = yield from _get(GET_LOCKED, principal, run_id)
    yield REMOVE, {"id": run.id}
    if run.conversation_id is not None:
        yield LOCK, {"conversation_id": run.conversation_id}
        yield from enter_unsaid([run.conversation_id], now())
        yield REMOVE_HIDDEN, {"conversation_id": run.conversation_id}
    return run


def _remove_stateless(before: datetime, limit: int) -> Script[int]:
    rows = yield STATELESS, {"before": micros(before), "now": now(), "limit": limit}
    if rows:
        yield REMOVE, [{"id": id} for (id,) in sorted(rows)]
    return len(rows)


def _remove_expired_keys(at: datetime, limit: int) -> Script[int]:
    rows = yield REMOVE_KEYS, {"now": micros(at), "limit": limit}
    return len(rows)

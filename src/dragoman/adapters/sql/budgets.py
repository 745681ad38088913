"""Accounts and reservations as rows. An amount is an integer of 10^-12 dollars, which every database adds exactly.

Accounts are locked in the order of their ids, so that nobody waits in a circle.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from dragoman.adapters.sql.engine import SERVER, Engine, Script
from dragoman.adapters.sql.rows import micros, moment
from dragoman.domain.budgets import Account, Balance
from dragoman.domain.events import Recorded
from dragoman.domain.ids import new_id
from dragoman.domain.ledger import settled
from dragoman.domain.runs import Run
from dragoman.ports.budgets import Reserved

SCALE = 12

_IS = "tenant = :tenant AND payer = :payer AND name = :name AND span = :span AND since = :since"
FIND = f"SELECT id FROM accounts WHERE {_IS}"  # noqa: S608 - constants

# A new account begins with what the ledger knows: a budget may have been set, or changed, in the middle of its month.
OPEN = """
INSERT INTO accounts (id, tenant, payer, name, span, since, spent, tokens)
SELECT :id, :tenant, :payer, :name, :span, :since,
  COALESCE(sum(CAST(REPLACE(cost, '.', '') AS BIGINT)), 0), COALESCE(sum(total_tokens), 0)
FROM usage WHERE usage.tenant = :tenant AND usage.created_at >= :since
  AND (CAST(:owner AS TEXT) IS NULL OR usage.owner = :owner)
  AND (CAST(:agent AS TEXT) IS NULL OR usage.agent = :agent)
  AND (CAST(:key AS TEXT) IS NULL OR usage.run_id IN (SELECT runs.id FROM runs WHERE runs.key = :key))
ON CONFLICT (tenant, payer, name, span, since) DO NOTHING
"""
PLAYED = """
SELECT id FROM runs WHERE id = :run_id AND attempt = :attempt AND status = 'in_progress' FOR SHARE
"""
HOLD = "SELECT id, spent FROM accounts WHERE id = :id FOR UPDATE"

# Those of runs that have ended, or are played in another attempt: whoever made them can spend nothing more.
VOID = """
DELETE FROM reservations WHERE account = :id AND NOT EXISTS (
  SELECT 1 FROM runs
  WHERE runs.id = reservations.run_id AND runs.attempt = reservations.attempt AND runs.status = 'in_progress')
"""
HELD = "SELECT account, sum(amount) FROM reservations WHERE account = :id GROUP BY account"
RESERVE = """
INSERT INTO reservations (id, account, run_id, attempt, amount) VALUES (:id, :account, :run_id, :attempt, :amount)
ON CONFLICT (id, account) DO UPDATE SET amount = reservations.amount + excluded.amount
"""

TAKE_BACK = "DELETE FROM reservations WHERE id = :id RETURNING id, account"
SPEND = "UPDATE accounts SET spent = spent + :cost, tokens = tokens + :tokens WHERE id = :id"

_COLUMNS = "tenant, payer, name, span, since, spent, tokens"
_RESERVED = """
(SELECT COALESCE(sum(amount), 0) FROM reservations JOIN runs ON runs.id = reservations.run_id
  WHERE account = accounts.id AND runs.attempt = reservations.attempt AND runs.status = 'in_progress')
"""
BALANCE = f"SELECT {_COLUMNS}, {_RESERVED} FROM accounts WHERE {_IS}"  # noqa: S608 - constants
LIST = f"""
SELECT {_COLUMNS}, {_RESERVED} FROM accounts
WHERE since >= :since AND (CAST(:tenant AS TEXT) IS NULL OR tenant = :tenant) ORDER BY tenant, payer, name, span, since
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class SqlAccounts:
    """``AccountStore``."""

    engine: Engine

    async def balances(self, accounts: Collection[Account]) -> Mapping[Account, Balance]:
        if not accounts:
            return {}
        return dict(await self.engine.read(SERVER, _balances, BALANCE, [_params(account) for account in accounts]))

    async def reserve(
        self, run: Run, reservation: str, cost: Decimal, ceilings: Mapping[Account, Decimal | None]
    ) -> Reserved:
        return await self.engine.write(SERVER, _reserve, run, reservation, cost, ceilings)

    async def list(self, tenant: str | None, since: datetime) -> Sequence[tuple[Account, Balance]]:
        return await self.engine.read(SERVER, _balances, LIST, [{"tenant": tenant, "since": micros(since)}])


def settle(told: Sequence[Sequence[Recorded]]) -> Script[None]:
    """Of the model calls that these events tell of, move what they cost from their reservations to what is spent. A
    reservation is taken back once, so an event that arrives again moves nothing."""
    used = settled(recorded for events in told for recorded in events)
    if not used:
        return
    rows = yield TAKE_BACK, [{"id": id} for id in sorted(used)]
    spent: dict[str, tuple[int, int]] = {}
    for reservation, account in rows:
        (cost, tokens), (more, others) = spent.get(account, (0, 0)), used[reservation]
        spent[account] = (cost + _units(more), tokens + others)
    if spent:
        yield SPEND, [{"id": id, "cost": cost, "tokens": tokens} for id, (cost, tokens) in sorted(spent.items())]


def _reserve(run: Run, reservation: str, cost: Decimal, ceilings: Mapping[Account, Decimal | None]) -> Script[Reserved]:
    if not (yield PLAYED, {"run_id": run.id, "attempt": run.attempt}):
        return "exhausted"
    ids: dict[str, Account] = {}
    for account in sorted(ceilings):
        id = yield from _opened(account)
        ids[id] = account
    by_id = [{"id": id} for id in sorted(ids)]
    spent: dict[str, int] = dict((yield HOLD, by_id))
    yield VOID, by_id
    held: dict[str, Decimal] = dict((yield HELD, by_id))
    amount = _units(cost)
    answer: Reserved = "reserved"
    for id, account in ids.items():
        ceiling = ceilings[account]
        left = None if ceiling is None else _units(ceiling) - spent[id] - amount
        if left is not None and left < 0:
            return "exhausted"
        if left is not None and left < int(held.get(id, 0)):
            answer = "wait"
    if answer == "reserved":
        whose = {"id": reservation, "run_id": run.id, "attempt": run.attempt, "amount": amount}
        yield RESERVE, [{**whose, "account": id} for id in sorted(ids)]
    return answer


def _opened(account: Account) -> Script[str]:
    where = _params(account)
    rows = yield FIND, where
    if not rows:
        names: dict[str, str | None] = dict.fromkeys(("owner", "agent", "key"))
        if account.payer != "tenant":
            names["owner" if account.payer == "user" else account.payer] = account.name
        yield OPEN, {**where, **names, "id": new_id("acct")}
        rows = yield FIND, where
    id: str = rows[0][0]
    return id


def _balances(sql: str, wanted: Sequence[Mapping[str, Any]]) -> Script[list[tuple[Account, Balance]]]:
    rows = yield sql, wanted
    return [_balance(row) for row in rows]


def _balance(row: Sequence[Any]) -> tuple[Account, Balance]:
    tenant, payer, name, span, since, spent, tokens, reserved = row
    account = Account(tenant, payer, name, span, moment(since))
    return account, Balance(amount(spent), amount(reserved), tokens)


def _params(account: Account) -> dict[str, Any]:
    return {
        "tenant": account.tenant,
        "payer": account.payer,
        "name": account.name,
        "span": account.span,
        "since": micros(account.since),
    }


def _units(amount: Decimal) -> int:
    return int(amount.scaleb(SCALE))


def amount(units: Any) -> Decimal:
    return Decimal(int(units)).scaleb(-SCALE)

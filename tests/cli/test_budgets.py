"""``dragoman budgets``: what is spent, reserved and left, beside a server or without one."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from dragoman.adapters.sql import SqliteEngine, SqlStore
from dragoman.domain.budgets import Account, beginning
from tests.cli.conftest import Command
from tests.contracts.talk import Talk

BUDGET = '[budgets.people]\nceiling = 2\nper = "user"\nperiod = "day"\n'


async def test_it_shows_what_everybody_has_spent_reserved_and_left(dragoman: Command, tmp_path: Path):
    (tmp_path / "dragoman.toml").write_text(BUDGET)
    assert "Nobody has paid" in dragoman("budgets", SESSION_DB_PATH="a.db").stdout
    store = SqlStore(SqliteEngine(tmp_path / "a.db"))
    await store.start()
    run = await Talk(store).playing()
    account = Account("default", "user", "sarah", "day", beginning("day", datetime.now(UTC)))
    await store.accounts.reserve(run, "r1", Decimal("0.5"), {account: Decimal(2)})

    shown = dragoman("budgets", SESSION_DB_PATH="a.db")
    listed = dragoman("budgets", "--json", SESSION_DB_PATH="a.db")
    elsewhere = dragoman("budgets", "--tenant", "acme", SESSION_DB_PATH="a.db")
    await store.stop()

    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.splitlines()[1].split()[:8] == ["people", "day", "default", "user", "sarah", "0", "0.5", "2"]
    (record,) = json.loads(listed.stdout)
    assert (record["who"], record["reserved"], record["of"]) == ("user sarah", "0.5", "2")
    assert "Nobody has paid" in elsewhere.stdout

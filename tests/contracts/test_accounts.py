"""``AccountStore``: what is reserved and spent together never passes a ceiling, and the ledger agrees."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal

from dragoman.domain.budgets import Account, Balance, beginning
from dragoman.domain.events import ModelAnswered, ModelFailed
from dragoman.domain.ledger import Period
from dragoman.domain.usage import Try, Usage
from tests.contracts.talk import SARAH, TOM, Store, Talk

MONTH = beginning("month", datetime.now(UTC))
SARAHS = Account("default", "user", "sarah", "month", MONTH)
EVERYBODYS = Account("default", "tenant", "", "month", MONTH)
CHATS = Account("default", "agent", "chat", "month", MONTH)
ALWAYS = Period(datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
ONE = Decimal("1")


def answered(cost: str | None, reservation: str = "", *, ordinal: int = 0, tries=(), tokens: int = 10) -> ModelAnswered:
    usage = Usage(1, tokens, 0, tokens, cost=cost, models=("m",))
    return ModelAnswered("chat", "m", ordinal, 0, usage, tries=tries, reservation=reservation)


async def balance(store: Store, account: Account = SARAHS) -> Balance:
    return (await store.accounts.balances([account]))[account]


async def test_what_was_reserved_becomes_what_was_spent_when_the_call_is_recorded(talk: Talk, store: Store):
    run = await talk.playing()
    assert await store.accounts.balances([SARAHS]) == {}
    assert await store.accounts.reserve(run, "r1", Decimal("0.4"), {SARAHS: ONE, EVERYBODYS: None}) == "reserved"
    assert await balance(store) == Balance(Decimal(0), Decimal("0.4"))

    await talk.write(run, answered("0.000031", "r1"))

    for account in (SARAHS, EVERYBODYS):
        assert await balance(store, account) == Balance(Decimal("0.000031"), Decimal(0), 10)


async def test_an_event_that_arrives_again_is_settled_once(talk: Talk, store: Store):
    run = await talk.playing()
    await store.accounts.reserve(run, "r1", ONE, {SARAHS: None})
    for _ in range(2):
        await talk.write(run, answered("0.5", "r1"))
    assert (await balance(store)).spent == Decimal("0.5")


async def test_all_tries_of_a_call_are_reserved_together_and_settled_together(talk: Talk, store: Store):
    run = await talk.playing()
    await store.accounts.reserve(run, "r1", Decimal("0.3"), {SARAHS: ONE})
    await store.accounts.reserve(run, "r1", Decimal("0.5"), {SARAHS: ONE})
    assert (await balance(store)).reserved == Decimal("0.8")
    cut = Try("first", "m", "failed", "model_unavailable", Usage(1, 3, 0, 3, cost="0.25"), 5)

    await talk.write(run, answered("0.125", "r1", tries=(cut,)))

    assert await balance(store) == Balance(Decimal("0.375"), Decimal(0), 13)


async def test_a_call_that_failed_is_settled_as_well(talk: Talk, store: Store):
    run = await talk.playing()
    await store.accounts.reserve(run, "r1", ONE, {SARAHS: ONE})
    cut = Try("first", "m", "failed", "model_unavailable", Usage(1, 3, 0, 3, cost="0.25"), 5)
    await talk.write(run, ModelFailed("chat", 0, (cut,), reservation="r1"))
    assert await balance(store) == Balance(Decimal("0.25"), Decimal(0), 3)


async def test_nothing_is_reserved_above_a_ceiling(talk: Talk, store: Store):
    run, other = await talk.playing(session="a"), await talk.playing(session="b")
    reserve = store.accounts.reserve
    assert await reserve(run, "r1", Decimal("0.7"), {SARAHS: ONE}) == "reserved"
    assert await reserve(other, "r2", Decimal("0.4"), {SARAHS: ONE}) == "wait", "for the first to end"
    assert await reserve(other, "r2", Decimal("1.1"), {SARAHS: ONE}) == "exhausted"
    assert await reserve(other, "r2", Decimal("0.4"), {EVERYBODYS: None, SARAHS: ONE}) == "wait"
    assert (await balance(store, EVERYBODYS)).reserved == 0, "in all accounts or in none"
    await talk.write(run, answered("0.7", "r1"))
    assert await reserve(other, "r2", Decimal("0.4"), {SARAHS: ONE}) == "exhausted"
    assert await reserve(other, "r2", Decimal("0.3"), {SARAHS: ONE}) == "reserved"


async def test_of_many_who_reserve_at_once_only_as_many_succeed_as_fit(talk: Talk, store: Store):
    runs = [await talk.playing(session=f"s{i}") for i in range(30)]
    ceilings = {SARAHS: Decimal("5"), EVERYBODYS: Decimal("3"), CHATS: None}

    answers = await asyncio.gather(*(store.accounts.reserve(run, f"r{i}", ONE, ceilings) for i, run in enumerate(runs)))

    assert sorted(answers) == ["reserved"] * 3 + ["wait"] * 27
    assert (await balance(store)).reserved == 3


async def test_what_others_reserve_and_settle_at_once_is_never_lost(talk: Talk, store: Store):
    runs = [await talk.playing(session=f"s{i}") for i in range(20)]

    async def call(i: int) -> None:
        ceilings = {SARAHS: Decimal(100), EVERYBODYS: Decimal(100)}
        assert await store.accounts.reserve(runs[i], f"r{i}", ONE, ceilings) == "reserved"
        await talk.write(runs[i], answered("0.25", f"r{i}"))

    await asyncio.gather(*map(call, range(20)))

    spent = (await store.usage.report(SARAH, ALWAYS, "day")).total.cost
    assert spent == "5"
    for account in (SARAHS, EVERYBODYS):
        assert await balance(store, account) == Balance(Decimal(5), Decimal(0), 200)


async def test_a_reservation_is_void_when_its_run_is_taken_over_or_has_ended(talk: Talk, store: Store):
    run, ended = await talk.playing(session="a"), await talk.playing(session="b")
    for i, each in enumerate((run, ended)):
        await store.accounts.reserve(each, f"r{i}", ONE, {SARAHS: Decimal(2)})
    await store.queue.release(talk.claim(), [run])
    await talk.finish(ended)
    assert await balance(store) == Balance()
    (again,) = await store.queue.claim(talk.claim(), 1)
    assert await store.accounts.reserve(again, "r3", Decimal(2), {SARAHS: Decimal(2)}) == "reserved"
    assert (await balance(store)).reserved == 2


async def test_a_new_account_begins_with_what_the_ledger_knows(talk: Talk, store: Store):
    sarahs, toms = await talk.playing(), await talk.playing(principal=TOM)
    keyed = (await talk.begin(talk.run(session="k", key="key_1"))).run
    await talk.write(sarahs, answered("0.5"))
    await talk.write(toms, answered("0.25"), answered(None, ordinal=1))
    await talk.write(keyed, answered("0.125"))
    key = Account("default", "key", "key_1", "month", MONTH)
    accounts = {SARAHS: "0.625", EVERYBODYS: "0.875", CHATS: "0.875", key: "0.125"}

    await store.accounts.reserve(keyed, "r1", Decimal(0), dict.fromkeys(accounts))

    for account, spent in accounts.items():
        assert (await balance(store, account)).spent == Decimal(spent), account
    assert (await balance(store, EVERYBODYS)).tokens == 40


async def test_accounts_are_listed_by_tenant_from_some_time_on(talk: Talk, store: Store):
    run = await talk.playing()
    old = Account("default", "user", "sarah", "month", datetime(2020, 1, 1, tzinfo=UTC))
    far = Account("elsewhere", "tenant", "", "month", MONTH)
    await store.accounts.reserve(run, "r1", ONE, dict.fromkeys((SARAHS, EVERYBODYS, old, far)))

    assert [account for account, _ in await store.accounts.list("default", MONTH)] == [EVERYBODYS, SARAHS]
    assert [account for account, _ in await store.accounts.list(None, MONTH)] == [EVERYBODYS, SARAHS, far]
    assert (await store.accounts.list("default", MONTH))[1][1].reserved == ONE


async def test_what_is_deleted_takes_its_reservations_along(talk: Talk, store: Store):
    run = await talk.playing()
    await store.accounts.reserve(run, "r1", ONE, {SARAHS: ONE})
    await store.sessions.delete(SARAH, "s")
    assert await balance(store) == Balance()

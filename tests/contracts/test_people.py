"""``PeopleStore``: everything of one person, read and removed; and the holds that keep conversations."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from dragoman.application.people import People
from dragoman.domain.approvals import ApprovalStatus, Decision
from dragoman.domain.audit import audit_entry
from dragoman.domain.budgets import Account, beginning
from dragoman.domain.errors import Forbidden, NotFound, OnHold
from dragoman.domain.events import ApprovalDecided, ApprovalRequested, Delta, ModelAnswered, RunCompleted
from dragoman.domain.identity import OPERATOR, ORDINARY, Principal
from dragoman.domain.ids import new_id
from dragoman.domain.keys import ApiKey, digest_of, new_key
from dragoman.domain.limits import Subject
from dragoman.domain.notes import Note
from dragoman.domain.people import KINDS, Kind
from dragoman.domain.runs import RunStatus
from dragoman.domain.usage import Usage
from dragoman.ports.events import End
from dragoman.ports.runs import IdempotencyKey
from tests.contracts.talk import ELSEWHERE, SARAH, TOM, Store, Talk

NOW = datetime.now(UTC)
BOSS = Principal("boss", scopes=ORDINARY | {"admin"})
PAGE = 2


class Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)


def people(store: Store, told: list[str] | None = None) -> People:
    return People(store.people, store.audit, Clock(), lambda ids: None if told is None else told.extend(ids))


async def furnish(talk: Talk, whose: Principal) -> None:
    """A thing of every kind."""
    store = talk.store
    await talk.answered("Hello", principal=whose)
    await talk.begin("Alone", session=None, principal=whose, key=IdempotencyKey("k", "POST /chat/run", "d"))
    await asked(talk, whose)
    await store.notes.add(Note(new_id("note"), whose.tenant, whose.user, "goal", "Run", NOW, new_id("call")))
    key = await given_key(store, whose)
    for kind, name in (("user", whose.user), ("key", key.id)):
        await store.request_counts.add(Subject(whose.tenant, kind, name), 1, 1, 10)
    asking = replace(talk.run("What does it cost?", session="costs", principal=whose), key=key.id)
    run = (await talk.begin(asking)).run
    accounts = [
        Account(whose.tenant, kind, name, "day", beginning("day", NOW))
        for kind, name in (("user", whose.user), ("key", key.id), ("tenant", ""))
    ]
    assert await store.accounts.reserve(run, f"res_{run.id}", Decimal(1), dict.fromkeys(accounts)) == "reserved"
    usage = Usage(1, 10, 5, 15, cost="0.5")
    answered = ModelAnswered("chat", "m", 0, 0, usage, reservation=f"res_{run.id}")
    assert await talk.write(run, Delta("text", "A"), Delta("text", " lot."), answered)


async def given_key(store: Store, whose: Principal, by: Principal = BOSS) -> ApiKey:
    id, shown = new_key()
    key = ApiKey(id, whose.tenant, whose.user, "a name", frozenset({"runs:write"}), digest_of(shown), NOW, by.user)
    entry = audit_entry(by, "key.created", NOW, tenant=whose.tenant, target=id, user=whose.user, name="a name")
    await store.keys.create(key, entry)
    return key


async def asked(talk: Talk, whose: Principal) -> str:
    """A run that waits for a person."""
    run = await talk.playing("Refund it", session="shop", principal=whose)
    approval = f"appr_{run.id}"
    at = NOW.isoformat()
    request = ApprovalRequested(approval, "call_1", "refund", {"amount": 1}, "chat", at=at)
    assert await talk.write(run, request, end=End(RunStatus.REQUIRES_ACTION, Usage()))
    return approval


async def read(store: Store, whose: Principal, kind: Kind) -> list[object]:
    found: list[object] = []
    after = None
    while page := await store.people.page(whose, kind, after, PAGE):
        assert len(page) <= PAGE
        found += [thing for _, thing in page]
        after = page[-1][0]
    return found


async def everything(store: Store, whose: Principal) -> dict[Kind, int]:
    return {kind: len(await read(store, whose, kind)) for kind in KINDS}


async def test_everything_of_one_person_is_read_page_by_page_and_nothing_of_others(talk: Talk, store: Store):
    for whose in (SARAH, TOM, ELSEWHERE):
        await furnish(talk, whose)
    counts = await everything(store, SARAH)
    assert counts == {
        "conversations": 3,
        "branches": 3,
        "items": 4,
        "runs": 4,
        "events": 8,
        "approvals": 1,
        "usage": 1,
        "notes": 1,
        "idempotency_keys": 1,
        "spending": 2,
        "requests": 2,
        "api_keys": 1,
        "audit": 1,
    }
    for kind in ("conversations", "runs", "approvals", "api_keys"):
        assert {(each.owner, each.tenant) for each in await read(store, SARAH, kind)} == {("sarah", "default")}
    (call,) = await read(store, SARAH, "usage")
    assert call.entry.usage.cost == "0.5"
    assert {each.balance.spent for each in await read(store, SARAH, "spending")} == {Decimal("0.5")}


async def test_things_are_read_as_they_are_kept(talk: Talk, store: Store):
    run = await talk.answered("Hello", "Hi!")
    (conversation,) = await read(store, SARAH, "conversations")
    assert conversation == await store.sessions.find(SARAH, "s")
    items = await read(store, SARAH, "items")
    assert items == list((await store.sessions.page(SARAH, "s", limit=10)).items)
    assert await read(store, SARAH, "runs") == [await store.runs.get(SARAH, run.id)]
    events = await read(store, SARAH, "events")
    assert [(each.run_id, each.kind) for each in events] == [(run.id, "run_started"), (run.id, "completed")]


async def test_a_person_who_is_erased_leaves_nothing_and_others_keep_everything(talk: Talk, store: Store):
    for whose in (SARAH, TOM, ELSEWHERE):
        await furnish(talk, whose)
    before = [await everything(store, TOM), await everything(store, ELSEWHERE)]
    erased = await people(store).erase(BOSS, "sarah", tenant="default")
    assert set((await everything(store, SARAH)).values()) == {0}
    assert [await everything(store, TOM), await everything(store, ELSEWHERE)] == before
    assert erased.removed["conversations"] == 3
    assert erased.removed["runs"] == 4
    again = await people(store).erase(BOSS, "sarah", tenant="default")
    assert set(again.removed.values()) == {0}


async def test_what_is_said_of_them_elsewhere_names_nobody(talk: Talk, store: Store):
    approval_id = await asked(talk, TOM)
    approval = next(each for each in await store.people.page(TOM, "approvals", None, 9))[1]
    decided = await store.approvals.decide(approval, Decision(approved=True, by="sarah", at=NOW))
    run = (await store.queue.claim(talk.claim(), 10))[0]
    told = ApprovalDecided(approval_id, "call_1", ApprovalStatus.APPROVED, by="sarah")
    assert await talk.write(run, told)
    key = await given_key(store, TOM, by=SARAH)
    await store.audit.append(audit_entry(BOSS, "keys.listed", NOW, user="sarah"))

    erased = await people(store).erase(BOSS, "sarah", tenant="default")

    assert decided.decided_by == "sarah"
    (kept,) = await store.approvals.of_run(run.id)
    assert kept.decided_by == erased.pseudonym
    assert next(e.event.by for e in await talk.log(run) if isinstance(e.event, ApprovalDecided)) == erased.pseudonym
    assert (await store.keys.find(key.id)).created_by == erased.pseudonym
    entries = (await store.audit.page("default")).entries
    assert {e.actor for e in entries if e.action == "key.created"} == {erased.pseudonym}
    assert {e.detail["user"] for e in entries if e.action == "keys.listed"} == {erased.pseudonym}
    assert {e.detail["user"] for e in entries if e.action == "key.created"} == {"tom"}


async def test_a_player_of_what_was_erased_adds_nothing_and_learns_of_it(talk: Talk, store: Store):
    run = await talk.playing("Hello")
    queued = await talk.queued("And then?")
    told: list[str] = []
    await people(store, told).erase(BOSS, "sarah", tenant="default")
    assert sorted(told) == sorted([run.id, queued.id])
    completed = RunCompleted(RunStatus.COMPLETED, "Hi!", Usage())
    assert not await talk.write(run, completed, end=End(RunStatus.COMPLETED, Usage()))
    account = Account("default", "user", "sarah", "day", beginning("day", NOW))
    assert await store.accounts.reserve(run, "res_late", Decimal(0), {account: None}) == "exhausted"
    assert await store.queue.claim(talk.claim(), 10) == []
    assert set((await everything(store, SARAH)).values()) == {0}


async def test_each_step_removes_few_things_and_nothing_of_a_run_that_goes_on(talk: Talk, store: Store):
    for n in range(3):
        await talk.answered(session=f"s{n}")
    going_on = await talk.playing(session="s0")
    removed = [await store.people.remove(SARAH, "runs", 2) for _ in range(3)]
    assert removed == [2, 1, 0]
    assert (await store.runs.get(SARAH, going_on.id)).id == going_on.id
    assert [await store.people.remove(SARAH, "conversations", 1) for _ in range(3)] == [1, 1, 0]
    assert await store.sessions.find(SARAH, "s0")


async def test_keys_are_good_for_nothing_before_anything_is_removed(store: Store):
    key = await given_key(store, SARAH)
    assert await store.people.stop(SARAH, NOW, 10) == []
    assert (await store.keys.find(key.id)).revoked_at == NOW


async def test_only_administrators_reach_others(store: Store):
    with pytest.raises(Forbidden):
        await people(store).erase(TOM, "sarah", tenant="default")
    with pytest.raises(Forbidden):
        await people(store).export(ELSEWHERE, "sarah", tenant="default")


async def test_whoever_erases_themself_is_not_named_either(talk: Talk, store: Store):
    await talk.answered()
    erased = await people(store).erase(SARAH, "sarah", tenant="default")
    (entry,) = (await store.audit.page("default")).entries
    assert (entry.action, entry.actor, entry.target) == ("person.erased", erased.pseudonym, erased.pseudonym)


# holds ---------------------------------------------------------------------------------------------------------------


async def hold(store: Store, name: str = "s", *, on: bool = True, tenant: str = "default") -> bool:
    id = (await store.sessions.find(SARAH, name)).id
    entry = audit_entry(BOSS, "conversation.held" if on else "conversation.released", NOW, target=id)
    return (await store.sessions.hold(tenant, id, on, entry)).hold


async def test_a_held_conversation_is_neither_removed_nor_put_away_until_it_is_released(talk: Talk, store: Store):
    await talk.answered()
    later = datetime.now(UTC) + timedelta(days=1)
    assert await hold(store) is True
    with pytest.raises(OnHold):
        await store.sessions.delete(SARAH, "s")
    (item, *_) = (await store.sessions.page(SARAH, "s", limit=10)).items
    with pytest.raises(OnHold):
        await store.sessions.remove(SARAH, "s", item.id)
    assert await store.sessions.put_away(later, 10) == 0
    assert await store.sessions.remove_old(later, 10) == 0
    assert (await store.sessions.find(SARAH, "s")).hold
    assert await hold(store, on=False) is False
    await store.sessions.delete(SARAH, "s")


async def test_a_hold_is_set_once_and_says_whose_conversation_it_was(talk: Talk, store: Store):
    await talk.answered()
    await hold(store)
    await hold(store)
    (entry,) = (await store.audit.page("default")).entries
    assert (entry.action, entry.actor, entry.detail) == ("conversation.held", "boss", {"user": "sarah"})


async def test_nobody_holds_a_conversation_of_another_tenant(talk: Talk, store: Store):
    await talk.answered()
    with pytest.raises(NotFound):
        await hold(store, tenant="elsewhere")
    assert not (await store.sessions.find(SARAH, "s")).hold


async def test_a_person_with_a_held_conversation_is_erased_only_if_that_is_said(talk: Talk, store: Store):
    await talk.answered()
    await talk.answered(session="other")
    await hold(store)
    with pytest.raises(OnHold):
        await people(store).erase(SARAH, "sarah", tenant="default")
    assert (await everything(store, SARAH))["items"] == 4
    await people(store).erase(OPERATOR, "sarah", tenant="default", despite_holds=True)
    assert set((await everything(store, SARAH)).values()) == {0}


async def test_a_key_of_one_person_does_not_make_the_spending_of_another_theirs(talk: Talk, store: Store):
    key = await given_key(store, TOM)
    await store.request_counts.add(Subject("default", "key", key.id), 1, 1, 10)
    assert await read(store, SARAH, "requests") == []

"""Everything of one person, in memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from dragoman.adapters.memory.state import State, StoredRow
from dragoman.domain.audit import names, without_name
from dragoman.domain.identity import Principal
from dragoman.domain.people import Call, Kind, LoggedEvent, Requests, Spending, UsedKey
from dragoman.domain.runs import RunStatus
from dragoman.ports.people import Place

Things = Iterator[tuple[Place, object]]


@dataclass(frozen=True, slots=True)
class MemoryPeople:
    """``PeopleStore``."""

    state: State

    async def page(
        self, person: Principal, kind: Kind, after: Place | None, limit: int
    ) -> Sequence[tuple[Place, object]]:
        found = sorted(_Belongings(self.state, person).of(kind), key=lambda thing: thing[0])
        return [thing for thing in found if after is None or thing[0] > after][:limit]

    async def holds(self, person: Principal) -> int:
        return sum(each.hold for each in self.state.conversations.values() if _owns(person, each))

    async def stop(self, person: Principal, at: datetime, limit: int) -> Sequence[str]:
        for key in [key for key in self.state.api_keys.values() if _owns(person, key) and key.revoked_at is None]:
            self.state.api_keys[key.id] = replace(key, revoked_at=at)
        found = sorted(id for id in self.state.unfinished if _owns(person, self.state.runs[id]))[:limit]
        for id in found:
            run = self.state.runs[id]
            self.state.put(replace(run, status=RunStatus.CANCELLED, ended_at=at, attempt=run.attempt + 1))
        return found

    async def remove(self, person: Principal, kind: Kind, limit: int) -> int:
        if kind == "conversations":
            return self._remove_conversations(person, limit)
        places = [place for place, _ in sorted(_Belongings(self.state, person).of(kind), key=lambda thing: thing[0])]
        removed = [place for place in places if self._removable(kind, place)][:limit]
        if kind == "runs":
            self.state.drop({id for (id,) in removed})
        else:
            for place in removed:
                self._take(kind)(person, *place)
        return len(removed)

    def _removable(self, kind: Kind, place: Place) -> bool:
        """Of runs that have not ended nothing is."""
        return kind not in ("runs", "events") or place[0] not in self.state.unfinished

    def _take(self, kind: Kind) -> Callable[..., object]:
        takes: dict[Kind, Callable[..., object]] = {
            "events": self._take_event,
            "idempotency_keys": lambda person, *key: self.state.keys.pop((person.tenant, person.user, *key)),
            "approvals": self._take_approval,
            "notes": lambda _, note: self.state.notes.pop(note),
            "usage": lambda _, *key: self.state.ledger.pop(key),
            "items": self._take_item,
            "spending": self._take_account,
            "requests": self._take_requests,
            "api_keys": lambda _, key: self.state.api_keys.pop(key),
        }
        return takes[kind]

    def _take_event(self, _: Principal, run_id: str, position: int) -> None:
        self.state.logs[run_id] = [row for row in self.state.logs[run_id] if row.position != position]

    def _take_approval(self, _: Principal, id: str) -> None:
        del self.state.approvals[id]
        self.state.unlogged.discard(id)

    def _take_item(self, _: Principal, conversation_id: str, __: int, id: str) -> None:
        del self.state.items[conversation_id][id], self.state.places[id]

    def _take_account(self, person: Principal, *place: Any) -> None:
        for account in [each for each in self.state.accounts if _paid(self.state, person, each.payer, each.name)]:
            if (account.payer, account.name, account.span, account.since) == place and account.tenant == person.tenant:
                del self.state.accounts[account]

    def _take_requests(self, person: Principal, *place: str) -> None:
        for subject in [
            each for each in self.state.requests if (each.tenant, each.kind, each.name) == (person.tenant, *place)
        ]:
            del self.state.requests[subject]

    def _remove_conversations(self, person: Principal, limit: int) -> int:
        in_use = {run.conversation_id for run in self.state.runs.values()}
        found = [each for each in self.state.conversations.values() if _owns(person, each) and each.id not in in_use]
        for conversation in found[:limit]:
            self.state.forget(conversation)
        return len(found[:limit])

    async def rename(self, person: Principal, pseudonym: str, limit: int) -> int:
        state, user = self.state, person.user
        audit = [i for i, e in enumerate(state.audit) if e.tenant == person.tenant and names(e, user)][:limit]
        for i in audit:
            state.audit[i] = without_name(state.audit[i], user, pseudonym)
        made = [k for k in state.api_keys.values() if (k.tenant, k.created_by) == (person.tenant, user)][:limit]
        for key in made:
            state.api_keys[key.id] = replace(key, created_by=pseudonym)
        decided = [a for a in state.approvals.values() if (a.tenant, a.decided_by) == (person.tenant, user)][:limit]
        for approval in decided:
            state.approvals[approval.id] = replace(approval, decided_by=pseudonym)
            state.logs[approval.run_id] = [_renamed(row, user, pseudonym) for row in state.logs[approval.run_id]]
        return len(audit) + len(made) + len(decided)


@dataclass(frozen=True, slots=True)
class _Belongings:
    """What is somebody's, with the places by which things of a kind are in order."""

    state: State
    person: Principal

    def of(self, kind: Kind) -> Things:
        readers: Mapping[Kind, Callable[[], Things]] = {
            "conversations": self._conversations,
            "branches": self._branches,
            "items": self._items,
            "runs": lambda: self._owned(self.state.runs),
            "events": self._events,
            "approvals": lambda: self._owned(self.state.approvals),
            "notes": lambda: self._owned(self.state.notes),
            "usage": self._usage,
            "idempotency_keys": self._used_keys,
            "spending": self._spending,
            "requests": self._requests,
            "api_keys": lambda: self._owned(self.state.api_keys),
            "audit": self._audit,
        }
        return readers[kind]()

    def _owned(self, things: Mapping[str, Any]) -> Things:
        return (((id,), thing) for id, thing in things.items() if _owns(self.person, thing))

    def _conversations(self) -> Things:
        for place, each in self._owned(self.state.conversations):
            yield place, self.state.conversation(self.person, each.id)  # type: ignore[attr-defined]

    def _branches(self) -> Things:
        for (id,), _ in self._owned(self.state.conversations):
            yield from (((branch.id,), branch) for branch in self.state.branches[id].values())

    def _items(self) -> Things:
        for (id,), _ in self._owned(self.state.conversations):
            yield from (((id, seq, item.id), item) for seq, item in enumerate(self.state.items[id].values()))

    def _events(self) -> Things:
        for (id,), _ in self._owned(self.state.runs):
            for row in self.state.logs[id]:
                yield (id, row.position), LoggedEvent(id, row.position, row.kind, orjson.loads(row.content))

    def _usage(self) -> Things:
        for key, charge in self.state.ledger.items():
            if _owns(self.person, charge):
                yield key, Call(charge.run_id, charge.conversation_id, charge.at, charge.entry)

    def _used_keys(self) -> Things:
        for (tenant, owner, route, key), bound in self.state.keys.items():
            if (tenant, owner) == (self.person.tenant, self.person.user):
                yield (route, key), UsedKey(route, key, bound.run_id, bound.expires_at)

    def _spending(self) -> Things:
        for account, balance in self.state.accounts.items():
            if account.tenant == self.person.tenant and _paid(self.state, self.person, account.payer, account.name):
                yield (account.payer, account.name, account.span, account.since), Spending(account, balance)

    def _requests(self) -> Things:
        for subject, (minute, requests) in self.state.requests.items():
            if subject.tenant == self.person.tenant and _paid(self.state, self.person, subject.kind, subject.name):
                yield (subject.kind, subject.name), Requests(subject.kind, subject.name, minute, requests)

    def _audit(self) -> Things:
        for entry in self.state.audit:
            if entry.tenant == self.person.tenant and names(entry, self.person.user):
                yield (entry.id,), entry


def _owns(person: Principal, thing: Any) -> bool:
    return bool((thing.tenant, thing.owner) == (person.tenant, person.user))


def _paid(state: State, person: Principal, kind: str, name: str) -> bool:
    """Whether this is counted for the person, or for a key of theirs."""
    key = state.api_keys.get(name) if kind == "key" else None
    return (kind, name) == ("user", person.user) or (key is not None and _owns(person, key))


def _renamed(row: StoredRow, user: str, pseudonym: str) -> StoredRow:
    content = orjson.loads(row.content)
    if row.kind != "decision" or content.get("by") != user:
        return row
    return replace(row, content=orjson.dumps({**content, "by": pseudonym}))

"""What the memory stores share: plain dictionaries, and the moves that more than one store makes.

Nothing here awaits, so on one event loop every move is a transaction, provided it checks before it changes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

import orjson

from dragoman.domain.approvals import Approval, ApprovalStatus
from dragoman.domain.audit import AuditEntry
from dragoman.domain.budgets import Account, Balance
from dragoman.domain.conversations import START, Branch, Conversation, findable
from dragoman.domain.errors import Invalid, NotFound
from dragoman.domain.events import ApprovalDecided, ApprovalRequested, Recorded, Row, pack, unpack
from dragoman.domain.identity import Principal
from dragoman.domain.ids import is_conversation_id
from dragoman.domain.items import Item, NewItem
from dragoman.domain.keys import ApiKey
from dragoman.domain.ledger import Entry, entries, settled
from dragoman.domain.limits import Subject
from dragoman.domain.notes import Note
from dragoman.domain.runs import Asked, Run, RunStatus, place
from dragoman.ports.runs import Claim


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row of a log. Encoded, so that what cannot be stored is found out here as anywhere."""

    position: int
    kind: str
    content: bytes

    def events(self) -> list[Recorded]:
        return unpack(Row(self.position, self.kind, orjson.loads(self.content)))


def encoded(recorded: Sequence[Recorded]) -> list[StoredRow]:
    return [StoredRow(row.position, row.kind, orjson.dumps(row.content)) for row in pack(list(recorded))]


@dataclass(frozen=True, slots=True)
class BoundKey:
    digest: str
    run_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Charge:
    """An entry of the ledger, with whose it is. It outlives its run."""

    entry: Entry
    run_id: str
    tenant: str
    owner: str
    conversation_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a model call of a run may cost at most, and who pays for it."""

    run_id: str
    attempt: int
    amount: Decimal
    accounts: frozenset[Account]


@dataclass(slots=True)
class State:
    conversations: dict[str, Conversation] = field(default_factory=dict)  # their heads are those of their branches
    names: dict[tuple[str, str, str], str] = field(default_factory=dict)  # conversations by tenant, owner, name
    branches: dict[str, dict[str, Branch]] = field(default_factory=dict)  # by conversation
    words: dict[str, list[tuple[str, ...]]] = field(default_factory=dict)  # of the messages, by conversation
    titles: dict[str, tuple[str, ...]] = field(default_factory=dict)  # words of those that were given
    items: dict[str, dict[str, Item]] = field(default_factory=dict)  # by conversation
    places: dict[str, str] = field(default_factory=dict)  # the conversation of an item
    runs: dict[str, Run] = field(default_factory=dict)
    unfinished: set[str] = field(default_factory=set)
    claims: dict[str, Claim] = field(default_factory=dict)  # of runs in progress
    marks: dict[str, Asked] = field(default_factory=dict)  # what the players of runs were asked
    unsaid: set[str] = field(
        default_factory=set
    )  # runs that ended while they waited, whose messages are still to enter
    logs: dict[str, list[StoredRow]] = field(default_factory=dict)
    approvals: dict[str, Approval] = field(default_factory=dict)
    unlogged: set[str] = field(default_factory=set)  # decided ones that their runs do not know of yet
    keys: dict[tuple[str, str, str, str], BoundKey] = field(default_factory=dict)  # by tenant, owner, route, key
    elsewhere: dict[str, tuple[str, str]] = field(
        default_factory=dict
    )  # by conversation: a provider's, and its last run
    ledger: dict[tuple[str, str, int, int], Charge] = field(default_factory=dict)  # by run, path, ordinal, try

    api_keys: dict[str, ApiKey] = field(default_factory=dict)
    audit: list[AuditEntry] = field(default_factory=list)
    requests: dict[Subject, tuple[int, int]] = field(
        default_factory=dict
    )  # of whom: the last minute, and how many in it
    accounts: dict[Account, Balance] = field(default_factory=dict)
    reservations: dict[str, Reservation] = field(default_factory=dict)  # by id
    notes: dict[str, Note] = field(default_factory=dict)

    def run(self, principal: Principal, run_id: str) -> Run:
        run = self.runs.get(run_id)
        if run is None or (run.tenant, run.owner) != (principal.tenant, principal.user):
            raise NotFound("run", run_id)
        return run

    def conversation(self, principal: Principal, name: str) -> Conversation:
        """A conversation by its id, or by the name its owner gave it."""
        by_id = is_conversation_id(name)
        found = self.conversations.get(name if by_id else self.names.get((principal.tenant, principal.user, name), ""))
        if found is None or (found.tenant, found.owner) != (principal.tenant, principal.user):
            raise NotFound("conversation", name)
        return replace(found, head=self.branches[found.id][found.branch].head)

    def keep(self, conversation: Conversation) -> None:
        """A new conversation, with its first branch."""
        self.conversations[conversation.id] = conversation
        if conversation.key is not None:
            self.names[conversation.tenant, conversation.owner, conversation.key] = conversation.id
        self.branches[conversation.id] = {}
        self.items[conversation.id] = {}
        self.words[conversation.id] = []
        self.begin_branch(conversation.id, conversation.branch, None, conversation.created_at)

    def begin_branch(self, conversation_id: str, id: str, head: str | None, at: datetime) -> Branch:
        """A new branch of a conversation, from now on its current one."""
        branch = self.branches[conversation_id][id] = Branch(id, conversation_id, head, at)
        self.switch(conversation_id, id)
        return branch

    def switch(self, conversation_id: str, branch: str) -> None:
        self.conversations[conversation_id] = replace(self.conversations[conversation_id], branch=branch)

    def item_at(self, conversation_id: str, place: str, *, field: str) -> Item | None:
        """The item at a place; none at the start."""
        item = self.items.get(conversation_id, {}).get(place)
        if item is None and place != START:
            raise Invalid("There is no such item in this conversation.", field=field)
        return item

    def unfinished_in(self, conversation_id: str | None) -> list[Run]:
        """Unfinished runs of a conversation, in the order in which they are played."""
        if conversation_id is None:
            return []
        runs = (self.runs[run_id] for run_id in self.unfinished)
        return sorted((run for run in runs if run.conversation_id == conversation_id), key=place)

    def unsaid_in(self, conversation_id: str | None) -> list[Run]:
        """Runs of a conversation that ended while they waited and whose messages are still to enter, in their order."""
        runs = (self.runs[run_id] for run_id in self.unsaid)
        return sorted((run for run in runs if run.conversation_id == conversation_id), key=place)

    def put(self, run: Run) -> None:
        self.runs[run.id] = run
        if run.status.ended:
            self.unfinished.discard(run.id)
            self.marks.pop(run.id, None)
        else:
            self.unfinished.add(run.id)
        if run.status is not RunStatus.IN_PROGRESS:
            self.claims.pop(run.id, None)

    def drop(self, run_ids: Collection[str]) -> None:
        """Remove runs, with their logs and the keys that lead to them."""
        for run_id in run_ids:
            del self.runs[run_id]
            del self.logs[run_id]
            self.claims.pop(run_id, None)
            self.marks.pop(run_id, None)
            self.unfinished.discard(run_id)
            self.unsaid.discard(run_id)
        for key in [key for key, bound in self.keys.items() if bound.run_id in run_ids]:
            del self.keys[key]
        for id in [id for id, approval in self.approvals.items() if approval.run_id in run_ids]:
            del self.approvals[id]
            self.unlogged.discard(id)

    def forget(self, conversation: Conversation) -> list[str]:
        """Remove a conversation with everything in it. Returns the ids of the runs that were unfinished."""
        del self.conversations[conversation.id], self.branches[conversation.id], self.words[conversation.id]
        self.titles.pop(conversation.id, None)
        if conversation.key is not None:
            del self.names[conversation.tenant, conversation.owner, conversation.key]
        for item_id in self.items.pop(conversation.id):
            del self.places[item_id]
        gone = {run.id for run in self.runs.values() if run.conversation_id == conversation.id}
        unfinished = sorted(gone & self.unfinished)
        self.drop(gone)
        for charged, charge in self.ledger.items():
            if charge.conversation_id == conversation.id:
                self.ledger[charged] = replace(charge, conversation_id=None)
        return unfinished

    def note(self, run: Run, recorded: Sequence[Recorded]) -> None:
        """Keep what these events of a run tell of approvals: that they are asked for, and that it knows of them."""
        for entry in recorded:
            match entry.event:
                case ApprovalRequested() as asked if asked.approval_id not in self.approvals:
                    self.approvals[asked.approval_id] = Approval(
                        id=asked.approval_id,
                        run_id=run.id,
                        tenant=run.tenant,
                        owner=run.owner,
                        agent=asked.agent,
                        tool=asked.tool,
                        call_id=asked.call_id,
                        arguments=asked.arguments,
                        requested_at=datetime.fromisoformat(asked.at),
                        expires_at=datetime.fromisoformat(asked.expires_at) if asked.expires_at else None,
                        scope=asked.scope,
                        path=asked.path,
                        conversation_id=run.conversation_id,
                    )
                case ApprovalDecided(approval_id=id):
                    self.unlogged.discard(id)

    def wake(self, run_id: str) -> None:
        """Queue a run that waits for a person, if there is something that it does not know of."""
        run = self.runs[run_id]
        unlogged = any(self.approvals[id].run_id == run_id for id in self.unlogged)
        if run.status is RunStatus.REQUIRES_ACTION and (unlogged or self.marks.get(run_id, "steer") != "steer"):
            self.put(replace(run, status=RunStatus.QUEUED, attempt=run.attempt + 1))

    def withdraw(self, run_id: str) -> None:
        """What an ended run still asked for, nobody needs to decide."""
        for approval in [a for a in self.approvals.values() if a.run_id == run_id]:
            self.unlogged.discard(approval.id)
            if approval.status is ApprovalStatus.PENDING:
                self.approvals[approval.id] = replace(
                    approval, status=ApprovalStatus.WITHDRAWN, decided_at=datetime.now(UTC)
                )

    def charge(self, run: Run, recorded: Sequence[Recorded]) -> None:
        """Enter the model calls that these events of a run tell of, unless they are there."""
        now = datetime.now(UTC)
        for entry in entries(recorded):
            charge = Charge(entry, run.id, run.tenant, run.owner, run.conversation_id, now)
            self.ledger.setdefault((run.id, *entry.key), charge)
        for id, (cost, tokens) in settled(recorded).items():
            reservation = self.reservations.pop(id, None)
            for account in reservation.accounts if reservation else ():
                known = self.accounts[account]
                self.accounts[account] = Balance(known.spent + cost, tokens=known.tokens + tokens)

    def chain(self, run: Run, items: Sequence[NewItem]) -> str | None:
        """Chain items to the head of a run's branch. Returns the head before."""
        if run.conversation_id is None:
            return None
        assert run.branch is not None
        return self.grow(run.conversation_id, run.branch, run.id, items)

    def grow(self, conversation_id: str, branch_id: str, run_id: str | None, items: Sequence[NewItem]) -> str | None:
        """The same for any branch, and items of a run or of none."""
        branch = self.branches[conversation_id][branch_id]
        now = datetime.now(UTC)
        head = branch.head
        for new in items:
            item = Item(new.id, conversation_id, head, run_id, new.content, now, new.status)
            self.items[conversation_id][item.id] = item
            self.places[item.id] = conversation_id
            self.words[conversation_id].append(findable(item.content))
            head = item.id
        if items:
            self.branches[conversation_id][branch.id] = replace(branch, head=head)
            conversation = self.conversations[conversation_id]
            self.conversations[conversation.id] = replace(conversation, updated_at=now, last_message_at=now)
        return branch.head

    def enter(self, run: Run) -> str | None:
        """The input of a run becomes items of its conversation. Returns the head before."""
        return self.chain(run, [NewItem(content) for content in run.input])

    def enter_unsaid(self, conversation_id: str | None) -> None:
        """Messages that nobody will answer enter where they would have been answered: behind nothing unfinished."""
        unfinished = self.unfinished_in(conversation_id)
        for run in self.unsaid_in(conversation_id):
            if not unfinished or place(run) < place(unfinished[0]):
                self.unsaid.discard(run.id)
                self.put(replace(run, base_item=self.enter(run)))

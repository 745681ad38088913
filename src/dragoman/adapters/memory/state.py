"""What the memory stores share: plain dictionaries, and the moves that more than one store makes.

Nothing here awaits, so on one event loop every move is a transaction, provided it checks before it changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import orjson

from dragoman.domain.conversations import Conversation
from dragoman.domain.errors import NotFound
from dragoman.domain.events import Recorded, Row, pack, unpack
from dragoman.domain.identity import Principal
from dragoman.domain.items import Item, NewItem
from dragoman.domain.runs import CancelMode, Run, RunStatus
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


@dataclass(slots=True)
class State:
    conversations: dict[tuple[str, str, str], Conversation] = field(default_factory=dict)  # by tenant, owner, name
    names: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # by conversation
    items: dict[str, dict[str, Item]] = field(default_factory=dict)  # by conversation
    places: dict[str, str] = field(default_factory=dict)  # the conversation of an item
    runs: dict[str, Run] = field(default_factory=dict)
    unfinished: set[str] = field(default_factory=set)
    claims: dict[str, Claim] = field(default_factory=dict)  # of runs in progress
    marks: dict[str, CancelMode] = field(default_factory=dict)  # how runs in progress were asked to stop
    logs: dict[str, list[StoredRow]] = field(default_factory=dict)
    keys: dict[tuple[str, str, str, str], BoundKey] = field(default_factory=dict)  # by tenant, owner, route, key

    def run(self, principal: Principal, run_id: str) -> Run:
        run = self.runs.get(run_id)
        if run is None or (run.tenant, run.owner) != (principal.tenant, principal.user):
            raise NotFound("run", run_id)
        return run

    def unfinished_in(self, conversation_id: str | None) -> list[Run]:
        """Unfinished runs of a conversation, in the order in which they are played."""
        if conversation_id is None:
            return []
        runs = (self.runs[run_id] for run_id in self.unfinished)
        return sorted((run for run in runs if run.conversation_id == conversation_id), key=place)

    def put(self, run: Run) -> None:
        self.runs[run.id] = run
        if run.status.ended:
            self.unfinished.discard(run.id)
        else:
            self.unfinished.add(run.id)
        if run.status is not RunStatus.IN_PROGRESS:
            self.claims.pop(run.id, None)
            self.marks.pop(run.id, None)

    def chain(self, conversation_id: str | None, run_id: str, items: Sequence[NewItem]) -> str | None:
        """Chain items to the head of a conversation. Returns the head before."""
        if conversation_id is None:
            return None
        name = self.names[conversation_id]
        conversation = self.conversations[name]
        now = datetime.now(UTC)
        head = conversation.head
        for new in items:
            item = Item(new.id, conversation_id, head, run_id, new.content, now, new.status)
            self.items[conversation_id][item.id] = item
            self.places[item.id] = conversation_id
            head = item.id
        if items:
            self.conversations[name] = replace(conversation, head=head, last_message_at=now)
        return conversation.head

    def enter(self, run: Run) -> str | None:
        """The input of a run becomes items of its conversation. Returns the head before."""
        return self.chain(run.conversation_id, run.id, [NewItem(content) for content in run.input])


def place(run: Run) -> tuple[datetime, str]:
    """Where a run stands in a queue."""
    return run.created_at, run.id

"""What a run writes into its log. Everything else, on any wire, is a reading of these.

Most events are *durable before they are shown*. ``Delta`` and ``Progress`` are the exception: they are shown at
once and stored a moment later, because whatever they announce arrives whole in an ``ItemDone``.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Literal

from dragoman.domain.approvals import ApprovalStatus
from dragoman.domain.identity import Scope
from dragoman.domain.items import Content
from dragoman.domain.runs import Run, RunStatus, first_position
from dragoman.domain.usage import Try, Usage, total, try_from, usage_from

ResumeReason = Literal["taken_over", "decided", "superseded"]
DeltaKind = Literal["text", "reasoning", "arguments", "refusal"]
ItemName = Literal[
    "message_output_created",
    "tool_called",
    "tool_output",
    "handoff_requested",
    "handoff_occurred",
    "reasoning_item_created",
    "mcp_approval_requested",
    "mcp_list_tools",
]


@dataclass(frozen=True, slots=True)
class RunStarted:
    run_id: str
    agent: str
    conversation_id: str | None = None
    session_id: str | None = None
    supersedes: str | None = None  # the run that was undone for it


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an item that a model is still writing. ``path`` names the tool calls around a nested agent."""

    kind: DeltaKind
    text: str
    path: str = ""
    output: int = 0  # which output item of the answer it belongs to
    call_id: str | None = None
    tool: str | None = None


@dataclass(frozen=True, slots=True)
class ItemDone:
    """A finished item with its full content: with ``ModelAnswered``, the journal a run is replayed from."""

    name: ItemName
    item: Content
    agent: str
    path: str = ""
    failed: bool = False  # a tool output that reports a failure


@dataclass(frozen=True, slots=True)
class ModelAnswered:
    """Closes a model's answer: the ``items`` events of the same path just before it are its content."""

    agent: str
    model: str
    ordinal: int
    items: int
    usage: Usage
    response_id: str | None = None
    path: str = ""
    truncated: bool = False
    estimated: bool = False  # the endpoint counted nothing; the usage is a guess
    endpoint: str = ""
    latency_ms: int = 0
    tries: tuple[Try, ...] = ()  # those before it, and why they gave no answer
    first_try: int = 0  # the number of the first of them
    reservation: str = ""  # of what it might have cost

    @property
    def used(self) -> Usage:
        """With the tries before it."""
        return total(tried.usage for tried in self.tries) + self.usage


@dataclass(frozen=True, slots=True)
class ModelFailed:
    """A model call that gave no answer, after all its tries, or because the run was stopped."""

    agent: str
    ordinal: int  # the one its answer would have had
    tries: tuple[Try, ...]
    path: str = ""
    first_try: int = 0
    reservation: str = ""

    @property
    def used(self) -> Usage:
        return total(tried.usage for tried in self.tries)


@dataclass(frozen=True, slots=True)
class AgentUpdated:
    agent_name: str
    agent: str
    previous: str


@dataclass(frozen=True, slots=True)
class HistorySummarized:
    """What was too much for the run's memory is a summary now: an item that goes into the conversation."""

    item: Content


@dataclass(frozen=True, slots=True)
class Progress:
    """A tool, a nested agent or a pipeline says where it is."""

    source: str
    message: str
    done: int | None = None
    total: int | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """A call waits for a person. The run goes on with what does not depend on it, and then waits as well."""

    approval_id: str
    call_id: str
    tool: str
    arguments: dict[str, Any]
    agent: str
    path: str = ""
    scope: Scope | None = None  # of those who decide; None: whoever the run belongs to
    expires_at: str | None = None
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())


@dataclass(frozen=True, slots=True)
class ApprovalDecided:
    """What a person has said, or that nobody has in time. ``arguments`` take the place of those that the model gave."""

    approval_id: str
    call_id: str
    decision: ApprovalStatus  # approved, rejected or expired
    arguments: dict[str, Any] | None = None
    message: str | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Steered:
    """What was said to the run while it was played: its models are told from here on. Empty if nobody had said anything."""

    runs: list[str] = field(default_factory=list)  # the ones the messages began
    items: list[Content] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunResumed:
    """A new attempt took over: forget partial content of unfinished steps above ``discard_after``."""

    attempt: int
    reason: ResumeReason
    discard_after: int


@dataclass(frozen=True, slots=True)
class RunCompleted:
    status: RunStatus  # completed, cancelled, incomplete or requires_action
    final_output: Any
    usage: Usage
    turns: int = 0
    session_id: str | None = None
    code: str | None = None  # why it is incomplete, where that is an error
    steered_into: str | None = None  # the run that took its message


@dataclass(frozen=True, slots=True)
class RunFailed:
    code: str
    message: str
    retryable: bool = False
    session_id: str | None = None
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())


Event = (
    RunStarted
    | Delta
    | ItemDone
    | ModelAnswered
    | ModelFailed
    | AgentUpdated
    | HistorySummarized
    | Progress
    | ApprovalRequested
    | ApprovalDecided
    | Steered
    | RunResumed
    | RunCompleted
    | RunFailed
)

SHOWN_AT_ONCE = (Delta, Progress)
TERMINAL = (RunCompleted, RunFailed)


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event with its place in the log of its run."""

    position: int
    event: Event


def started(run: Run) -> Recorded:
    """How the log of an attempt begins; written by the store in the transaction of the claim."""
    return Recorded(
        first_position(run.attempt), RunStarted(run.id, run.agent, run.conversation_id, run.session_id, run.supersedes)
    )


def handed_over(run: Run, to: Run) -> Recorded:
    """All there is in the log of a run whose message another one took."""
    completed = RunCompleted(RunStatus.COMPLETED, None, run.usage, session_id=run.session_id, steered_into=to.id)
    return Recorded(first_position(run.attempt), completed)


def steered_by(runs: Iterable[Run]) -> Steered:
    runs = list(runs)
    return Steered([run.id for run in runs], [item for run in runs for item in run.input])


def resumed(run: Run, discard_after: int, reason: ResumeReason = "taken_over") -> Recorded:
    """How the log of a later attempt begins. ``discard_after`` is the position of the last finished step."""
    return Recorded(first_position(run.attempt), RunResumed(run.attempt, reason, discard_after))


def resumed_behind(run: Run, last: tuple[int, str] | None) -> Recorded:
    """The same behind the row with the last finished step, of which this is position and kind: a run that had come to rest
    goes on because of a decision."""
    position, kind = last or (-1, "")
    return resumed(run, position, "decided" if kind == _NAMES[RunCompleted] else "taken_over")


# On disk ---------------------------------------------------------------------------------------------------------

VERSION = 1
_KINDS: dict[str, type[Event]] = {
    "run_started": RunStarted,
    "deltas": Delta,
    "item": ItemDone,
    "answer": ModelAnswered,
    "no_answer": ModelFailed,
    "agent": AgentUpdated,
    "summary": HistorySummarized,
    "progress": Progress,
    "approval": ApprovalRequested,
    "decision": ApprovalDecided,
    "steered": Steered,
    "resumed": RunResumed,
    "completed": RunCompleted,
    "failed": RunFailed,
}
UNFINISHED = ("deltas", "progress", "no_answer")
"""The kinds of rows that finish nothing: a later attempt forgets them where no finished step follows."""
_NAMES = {event: name for name, event in _KINDS.items()}


@dataclass(frozen=True, slots=True)
class Row:
    """A stored event: one row, keyed by run and position. Its shape may part from the event's and from any wire."""

    position: int
    kind: str
    content: dict[str, Any]


def pack(recorded: list[Recorded]) -> list[Row]:
    """Rows for the log. Neighbouring deltas of one item share a row, keyed by the last, that keeps their bounds."""
    rows: list[Row] = []
    run: list[Recorded] = []
    for entry in recorded:
        if run and not _continues(run[-1], entry):
            rows.append(_pack_deltas(run))
            run = []
        if isinstance(entry.event, Delta):
            run.append(entry)
        else:
            rows.append(_pack_one(entry))
    if run:
        rows.append(_pack_deltas(run))
    return rows


def unpack(row: Row) -> list[Recorded]:
    """The events of one row, each with its own position."""
    content = dict(row.content)
    content.pop("v", None)
    if row.kind == "deltas":
        texts = content.pop("texts")
        first = row.position - len(texts) + 1
        return [Recorded(first + i, Delta(text=text, **content)) for i, text in enumerate(texts)]
    event = _KINDS[row.kind]
    if "usage" in content:
        content["usage"] = usage_from(content["usage"])
    if "tries" in content:
        content["tries"] = tuple(try_from(tried) for tried in content["tries"])
    if event is ApprovalDecided:
        content["decision"] = ApprovalStatus(content["decision"])
    if event is RunCompleted:
        content["status"] = RunStatus(content["status"])
    known = {field.name for field in fields(event)}
    return [Recorded(row.position, event(**{name: value for name, value in content.items() if name in known}))]


def _continues(last: Recorded, entry: Recorded) -> bool:
    a, b = last.event, entry.event
    return (
        isinstance(a, Delta)
        and isinstance(b, Delta)
        and entry.position == last.position + 1
        and (a.kind, a.path, a.output, a.call_id) == (b.kind, b.path, b.output, b.call_id)
    )


def _pack_deltas(run: list[Recorded]) -> Row:
    last = run[-1].event
    assert isinstance(last, Delta)
    content: dict[str, Any] = {"v": VERSION, "kind": last.kind, "texts": [e.event.text for e in run]}  # type: ignore[union-attr]
    for name in ("path", "output", "call_id", "tool"):
        if value := getattr(last, name):
            content[name] = value
    return Row(run[-1].position, "deltas", content)


def _pack_one(entry: Recorded) -> Row:
    event = entry.event
    content: dict[str, Any] = {"v": VERSION}
    for name in event.__dataclass_fields__:  # shallow: what it holds is frozen or JSON already
        content[name] = _plain(getattr(event, name))
    return Row(entry.position, _NAMES[type(event)], content)


def _plain(value: Any) -> Any:
    if isinstance(value, Usage):
        return asdict(value)
    return [asdict(tried) for tried in value] if isinstance(value, tuple) else value

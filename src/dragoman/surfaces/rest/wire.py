"""The native wire: recorded events as JSON and as SSE frames, runs and items as JSON. Pure functions."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from dragoman.domain.approvals import Approval, ApprovalStatus
from dragoman.domain.conversations import Branch, Conversation
from dragoman.domain.events import (
    AgentUpdated,
    ApprovalDecided,
    ApprovalRequested,
    Delta,
    DeltaKind,
    Event,
    ItemDone,
    ItemName,
    Progress,
    Recorded,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    Steered,
)
from dragoman.domain.items import Content, Item
from dragoman.domain.runs import Run, RunError, RunStatus
from dragoman.domain.usage import Usage
from dragoman.surfaces.http.frames import merged, one_line
from dragoman.surfaces.http.responses import dump

# Events, as documented --------------------------------------------------------------------------------------------

EventType = Literal[
    "response.output_text.delta",
    "response.reasoning_summary_text.delta",
    "response.function_call_arguments.delta",
    "response.refusal.delta",
]


class _RunStarted(TypedDict):
    type: Literal["run_started"]
    run_id: str
    conversation_id: str | None
    session_id: str | None
    agent: str


class RunStartedEvent(_RunStarted, total=False):
    """``supersedes`` and ``notice`` when another run was undone for this one."""

    supersedes: str
    notice: str


class _RawResponse(TypedDict):
    type: Literal["raw_response"]
    event_type: EventType
    delta: str


class RawResponseEvent(_RawResponse, total=False):
    """What the model streams. ``call_id`` and ``tool_name`` come with the arguments of a call."""

    call_id: str | None
    tool_name: str | None


class _RunItem(TypedDict):
    type: Literal["run_item"]
    name: ItemName
    item: Content


class RunItemEvent(_RunItem, total=False):
    """A finished item. ``path`` when an agent ran inside a tool, ``failed`` when a tool's output reports a failure."""

    path: str
    failed: bool


AgentUpdatedEvent = TypedDict(
    "AgentUpdatedEvent", {"type": Literal["agent_updated"], "agent_name": str, "agent": str, "from": str}
)


class _Progress(TypedDict):
    type: Literal["progress"]
    source: str
    message: str


class ProgressEvent(_Progress, total=False):
    """A tool, a nested agent or a pipeline says where it is."""

    done: int
    total: int
    path: str


class _ApprovalRequired(TypedDict):
    type: Literal["approval_required"]
    approval_id: str
    call_id: str
    tool: str
    arguments: dict[str, Any]
    expires_at: str | None


class ApprovalRequiredEvent(_ApprovalRequired, total=False):
    """A call waits for a person. ``path`` when an agent inside a tool has made it."""

    path: str


class ApprovalDecidedEvent(TypedDict):
    """What the person said. ``arguments``, unless null, have taken the place of those that the model gave."""

    type: Literal["approval_decided"]
    approval_id: str
    call_id: str
    decision: ApprovalStatus
    arguments: dict[str, Any] | None
    message: str | None


class SteeredEvent(TypedDict):
    """Messages that reached the run while it was playing, and the runs they had begun: its models are told from here on."""

    type: Literal["steered"]
    runs: list[str]
    items: list[Content]


class RunResumedEvent(TypedDict):
    """A new attempt took over: drop partial content of unfinished steps above ``discard_after``."""

    type: Literal["run_resumed"]
    attempt: int
    reason: str
    discard_after: int


class _StreamComplete(TypedDict):
    type: Literal["stream_complete"]
    status: RunStatus
    final_output: Any
    usage: Usage
    session_id: str | None
    current_turn: int


class StreamCompleteEvent(_StreamComplete, total=False):
    """``code`` where the run is incomplete because of an error, as in ``budget_exhausted``; ``steered_into`` names the run
    that took the message."""

    code: str
    steered_into: str


class ErrorEvent(TypedDict):
    type: Literal["error"]
    code: str
    message: str
    retryable: bool
    session_id: str | None
    timestamp: str


class QueuedEvent(TypedDict):
    """The run waits; ``ahead`` runs come before it. In no log, so its frame has no ``id``."""

    type: Literal["queued"]
    ahead: int


WireEvent = (
    QueuedEvent
    | RunStartedEvent
    | RawResponseEvent
    | RunItemEvent
    | AgentUpdatedEvent
    | ProgressEvent
    | ApprovalRequiredEvent
    | ApprovalDecidedEvent
    | SteeredEvent
    | RunResumedEvent
    | StreamCompleteEvent
    | ErrorEvent
)

UNDONE = "The run before was undone. What its tools did outside of the conversation was not."
"""What whoever asks for a rollback has to know."""

# Events -----------------------------------------------------------------------------------------------------------

EVENT_TYPES: dict[DeltaKind, EventType] = {
    "text": "response.output_text.delta",
    "reasoning": "response.reasoning_summary_text.delta",
    "arguments": "response.function_call_arguments.delta",
    "refusal": "response.refusal.delta",
}


def wire_event(event: Event) -> WireEvent | None:
    """An event as its readers see it; ``None`` for what is only the log's business."""
    match event:
        case Delta(path=""):
            return _delta(event)
        case Delta(kind="text"):
            return {"type": "progress", "source": event.tool or event.path, "message": event.text, "path": event.path}
        case ItemDone():
            return _item(event)
        case Progress():
            return _progress(event)
        case AgentUpdated():
            return {
                "type": "agent_updated",
                "agent_name": event.agent_name,
                "agent": event.agent,
                "from": event.previous,
            }
        case RunStarted():
            return _started(event)
        case ApprovalRequested():
            return _approval(event)
        case ApprovalDecided():
            return {
                "type": "approval_decided",
                "approval_id": event.approval_id,
                "call_id": event.call_id,
                "decision": event.decision,
                "arguments": event.arguments,
                "message": event.message,
            }
        case Steered(items=items) if items:
            return {"type": "steered", "runs": event.runs, "items": items}
        case RunResumed():
            return {
                "type": "run_resumed",
                "attempt": event.attempt,
                "reason": event.reason,
                "discard_after": event.discard_after,
            }
        case RunCompleted():
            return _complete(event)
        case RunFailed():
            return {
                "type": "error",
                "code": event.code,
                "message": event.message,
                "retryable": event.retryable,
                "session_id": event.session_id,
                "timestamp": event.at,
            }
        case _:
            return None


def _complete(event: RunCompleted) -> StreamCompleteEvent:
    wire: StreamCompleteEvent = {
        "type": "stream_complete",
        "status": event.status,
        "final_output": event.final_output,
        "usage": event.usage,
        "session_id": event.session_id,
        "current_turn": event.turns,
    }
    if event.code:
        wire["code"] = event.code
    if event.steered_into:
        wire["steered_into"] = event.steered_into
    return wire


def _started(event: RunStarted) -> RunStartedEvent:
    wire: RunStartedEvent = {
        "type": "run_started",
        "run_id": event.run_id,
        "conversation_id": event.conversation_id,
        "session_id": event.session_id,
        "agent": event.agent,
    }
    if event.supersedes:
        wire["supersedes"], wire["notice"] = event.supersedes, UNDONE
    return wire


def _delta(event: Delta) -> RawResponseEvent:
    wire: RawResponseEvent = {"type": "raw_response", "event_type": EVENT_TYPES[event.kind], "delta": event.text}
    if event.kind == "arguments":
        wire["call_id"], wire["tool_name"] = event.call_id, event.tool
    return wire


def _item(event: ItemDone) -> RunItemEvent:
    wire: RunItemEvent = {"type": "run_item", "name": event.name, "item": event.item}
    if event.path:
        wire["path"] = event.path
    if event.failed:
        wire["failed"] = True
    return wire


def _progress(event: Progress) -> ProgressEvent:
    wire: ProgressEvent = {"type": "progress", "source": event.source, "message": event.message}
    if event.done is not None:
        wire["done"] = event.done
    if event.total is not None:
        wire["total"] = event.total
    if event.path:
        wire["path"] = event.path
    return wire


def _approval(event: ApprovalRequested) -> ApprovalRequiredEvent:
    wire: ApprovalRequiredEvent = {
        "type": "approval_required",
        "approval_id": event.approval_id,
        "call_id": event.call_id,
        "tool": event.tool,
        "arguments": event.arguments,
        "expires_at": event.expires_at,
    }
    if event.path:
        wire["path"] = event.path
    return wire


def wire_events(batch: Sequence[Recorded]) -> Iterator[tuple[int, WireEvent]]:
    for entry in batch:
        if (wire := wire_event(entry.event)) is not None:
            yield entry.position, wire


# Frames -----------------------------------------------------------------------------------------------------------

_TEXT_DELTA = b'\nevent: raw_response\ndata: {"type":"raw_response","event_type":"%b","delta":' % (
    EVENT_TYPES["text"].encode()
)


def frames(batch: Sequence[Recorded]) -> bytes:
    """A batch as SSE. The text of the answer, by far the most frequent, is written without detours."""
    written: list[bytes] = []
    for entry in merged(batch):
        event = entry.event
        if type(event) is Delta and event.kind == "text" and not event.path:
            written.append(b"id: %d%b%b}\n\n" % (entry.position, _TEXT_DELTA, one_line(dump(event.text))))
        elif (wire := wire_event(event)) is not None:
            data = one_line(dump(wire))
            written.append(b"id: %d\nevent: %b\ndata: %b\n\n" % (entry.position, wire["type"].encode(), data))
    return b"".join(written)


def queued_frame(ahead: int) -> bytes:
    waits: QueuedEvent = {"type": "queued", "ahead": ahead}
    return b"event: queued\ndata: %b\n\n" % dump(waits)


# Runs and items ---------------------------------------------------------------------------------------------------


def run_response(run: Run, *, sessions_enabled: bool, ahead: int | None = None) -> dict[str, Any]:
    """How a run stands, or ended."""
    response = {
        "run_id": run.id,
        "conversation_id": run.conversation_id,
        "session_id": run.session_id,
        "agent": run.agent,
        "status": run.status,
        "final_output": run.final_output,
        "response_id": run.response_id,
        "success": run.status is RunStatus.COMPLETED,
        "error": _error(run.error),
        "usage": run.usage,
    }
    if ahead is not None:
        response["ahead"] = ahead
    if run.supersedes:
        response |= {"supersedes": run.supersedes, "notice": UNDONE}
    if run.steered_into:
        response["steered_into"] = run.steered_into
    return response if sessions_enabled else {**response, "sessions_enabled": False}


def report_response(run: Run) -> dict[str, Any]:
    """What a research came to, with how its run ended."""
    return {
        **run.final_output,
        "run_id": run.id,
        "conversation_id": run.conversation_id,
        "session_id": run.session_id,
        "status": run.status,
        "error": _error(run.error),
        "usage": run.usage,
    }


def run_record(run: Run, *, sessions_enabled: bool, ahead: int | None = None) -> dict[str, Any]:
    """The same, for somebody who comes back to it later."""
    return {
        **run_response(run, sessions_enabled=sessions_enabled, ahead=ahead),
        "metadata": run.options.metadata,
        "created_at": run.created_at,
        "ended_at": run.ended_at,
        "superseded_by": run.superseded_by,
    }


def approval_record(approval: Approval) -> dict[str, Any]:
    return {
        "approval_id": approval.id,
        "run_id": approval.run_id,
        "conversation_id": approval.conversation_id,
        "agent": approval.agent,
        "tool": approval.tool,
        "call_id": approval.call_id,
        "arguments": approval.arguments,
        "status": approval.status,
        "scope": approval.scope,
        "requested_at": approval.requested_at,
        "expires_at": approval.expires_at,
        "changed_arguments": approval.changed_arguments,
        "message": approval.message,
        "decided_by": approval.decided_by,
        "decided_at": approval.decided_at,
    }


def _error(error: RunError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {"code": error.code, "message": error.message, "retryable": error.retryable}


def session_message(item: Item) -> dict[str, Any]:
    return {
        **item.content,
        "id": item.id,
        "parent": item.parent,
        "type": item.kind,
        "status": item.status,
        "run_id": item.run_id,
        "created_at": item.created_at,
    }


# Conversations ----------------------------------------------------------------------------------------------------


def conversation_record(conversation: Conversation) -> dict[str, Any]:
    return {
        "conversation_id": conversation.id,
        "session_id": conversation.key,
        "title": conversation.title,
        "agent": conversation.agent or None,
        "status": conversation.status,
        "tags": conversation.tags,
        "metadata": conversation.metadata,
        "hold": conversation.hold,
        "branch": conversation.branch,
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
        "last_message_at": conversation.last_message_at,
    }


def branch_record(branch: Branch) -> dict[str, Any]:
    return {
        "branch_id": branch.id,
        "head": branch.head,
        "preview": branch.preview,
        "current": branch.current,
        "superseded_by": branch.superseded_by,
        "created_at": branch.created_at,
    }

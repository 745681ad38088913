"""How the nouns look as rows, and back."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from dragoman.domain.conversations import Branch, Conversation
from dragoman.domain.items import Item
from dragoman.domain.runs import Run, RunError, RunStatus, options_from
from dragoman.domain.usage import usage_from

# A field of these nouns has a column of its name; a query names them in this order.
_CONVERSATION, _RUN = (tuple(field.name for field in fields(noun)) for noun in (Conversation, Run))
RUN = ", ".join(_RUN)
CONVERSATION = ", ".join("branches.head" if name == "head" else f"conversations.{name}" for name in _CONVERSATION)
ITEM = "id, conversation_id, parent, run_id, content, created_at, status"

Row = tuple[Any, ...]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def moment(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND


def now() -> int:
    return micros(datetime.now(UTC))


def dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


def dumps_or_null(value: Any) -> str | None:
    return None if value is None else dumps(value)


def run_params(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "tenant": run.tenant,
        "owner": run.owner,
        "agent": run.agent,
        "provider": run.provider,
        "conversation_id": run.conversation_id,
        "session_id": run.session_id,
        "input": dumps(run.input),
        "created_at": micros(run.created_at),
        "status": run.status.value,
        "options": dumps(run.options),
        "context": dumps(run.context),
        "attempt": run.attempt,
        "branch": run.branch,
        "key": run.key,
        "trace": run.trace,
        "usage": dumps(run.usage),
        "supersedes": run.supersedes,
    }


def run_from(row: Row) -> Run:
    values = dict(zip(_RUN, row, strict=True))
    values |= {
        "input": tuple(orjson.loads(values["input"])),
        "created_at": moment(values["created_at"]),
        "status": RunStatus(values["status"]),
        "options": options_from(orjson.loads(values["options"])),
        "context": orjson.loads(values["context"]),
        "usage": usage_from(orjson.loads(values["usage"])),
        "error": None if values["error"] is None else RunError(**orjson.loads(values["error"])),
        "final_output": None if values["final_output"] is None else orjson.loads(values["final_output"]),
        "ended_at": None if values["ended_at"] is None else moment(values["ended_at"]),
    }
    return Run(**values)


def conversation_from(row: Row) -> Conversation:
    values = dict(zip(_CONVERSATION, row, strict=True))
    values |= {
        **{name: moment(values[name]) for name in ("created_at", "updated_at", "last_message_at")},
        "tags": tuple(orjson.loads(values["tags"])),
        "metadata": orjson.loads(values["metadata"]),
        "hold": bool(values["hold"]),
    }
    return Conversation(**values)


def conversation_params(conversation: Conversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "tenant": conversation.tenant,
        "owner": conversation.owner,
        "key": conversation.key,
        "title": conversation.title,
        "agent": conversation.agent,
        "tags": dumps(conversation.tags),
        "metadata": dumps(conversation.metadata),
        "status": conversation.status,
        "hold": int(conversation.hold),
        "branch": conversation.branch,
        "created_at": micros(conversation.created_at),
        "updated_at": micros(conversation.updated_at),
        "last_message_at": micros(conversation.last_message_at),
    }


def branch_from_row(row: Row) -> Branch:
    id, conversation_id, head, created_at, superseded_by = row
    return Branch(id, conversation_id, head, moment(created_at), superseded_by=superseded_by)


def item_from(row: Row) -> Item:
    id, conversation_id, parent, run_id, content, created_at, status = row  # fifty of them per turn: by position
    return Item(id, conversation_id, parent, run_id, orjson.loads(content), moment(created_at), status)

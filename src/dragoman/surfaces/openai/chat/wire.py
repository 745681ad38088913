"""A run as one message: whole, or in chunks as it is written. Pure functions of the run's events.

All that an agent says in a run is one message here: where it said several, around tools of its own, an empty line stands
between them. Its own tools are its own business; only calls of functions that the request declared are shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dragoman.domain.errors import ApprovalRequired, RunCancelled
from dragoman.domain.events import (
    Delta,
    Event,
    ItemDone,
    ModelAnswered,
    Recorded,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
)
from dragoman.domain.items import Content, kind_of
from dragoman.domain.runs import Run, RunError, RunStatus
from dragoman.domain.usage import Usage
from dragoman.surfaces.http.frames import merged, one_line
from dragoman.surfaces.http.problems import failed
from dragoman.surfaces.http.responses import dump
from dragoman.surfaces.openai.errors import error_object

BETWEEN = "\n\n"
END = b"data: [DONE]\n\n"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What of its request an answer depends on."""

    model: str
    tools: frozenset[str] = frozenset()  # the functions it declared
    one_document: bool = False  # it wants JSON: what is said on the way to it is not part of it
    include_usage: bool = False


def completion_id(run_id: str) -> str:
    return f"chatcmpl-{run_id.removeprefix('run_')}"


# Whole ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Told:
    """What the events of a run tell, gathered."""

    asked: Asked
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    calls: list[Json] = field(default_factory=list)
    end: RunCompleted | RunError | None = None

    def add(self, event: Event) -> None:
        match event:
            case ItemDone(path="", name="message_output_created"):
                self.texts.extend(_pieces(event.item, "text"))
                self.refusals.extend(_pieces(event.item, "refusal"))
            case ItemDone(path="", name="reasoning_item_created"):
                self.thoughts.append(_thought(event.item))
            case ItemDone(path="", name="tool_called") if _is_declared(event.item, self.asked):
                self.calls.append(_tool_call(event.item))
            case RunCompleted() | RunFailed():
                self.end = ended(event)

    def completion(self, run: Run, end: RunCompleted) -> Json:
        message: Json = {
            "role": "assistant",
            "content": self._content(),
            "refusal": "".join(self.refusals) or None,
        }
        if any(self.thoughts):
            message["reasoning_content"] = BETWEEN.join(filter(None, self.thoughts))
        if self.calls:
            message["tool_calls"] = self.calls
        reason = finish_reason(end, bool(self.calls))
        return {
            "id": completion_id(run.id),
            "object": "chat.completion",
            "created": int(run.created_at.timestamp()),
            "model": self.asked.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
            "usage": usage_object(end.usage),
        }

    def _content(self) -> str | None:
        said = self.texts[-1:] if self.asked.one_document else self.texts
        return BETWEEN.join(said) if said else None


def ended(event: RunCompleted | RunFailed) -> RunCompleted | RunError:
    """How a run ended, for somebody who cannot come back: it has answered, or it has failed."""
    if isinstance(event, RunFailed):
        return RunError(event.code, event.message, event.retryable)
    if event.status is RunStatus.CANCELLED:
        return RunError(RunCancelled.code, RunCancelled.message)
    if event.status is RunStatus.REQUIRES_ACTION:
        return RunError(ApprovalRequired.code, ApprovalRequired.message)
    return event


def finish_reason(end: RunCompleted, called: bool) -> str:
    if end.status is RunStatus.INCOMPLETE:
        return "length"
    return "tool_calls" if called else "stop"


def usage_object(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def _pieces(item: Content, kind: str) -> list[str]:
    """The words of a finished message, as one text; nothing if it has none of this kind."""
    text = "".join(part.get(kind) or "" for part in item["content"] if isinstance(part, dict))
    return [text] if text else []


def _thought(item: Content) -> str:
    parts = item.get("summary") or item.get("content") or ()
    return BETWEEN.join(part["text"] for part in parts if part.get("text"))


def _is_declared(item: Content, asked: Asked) -> bool:
    return kind_of(item) == "function_call" and item["name"] in asked.tools


def _tool_call(item: Content) -> Json:
    function = {"name": item["name"], "arguments": item["arguments"]}
    return {"id": item["call_id"], "type": "function", "function": function}


# In chunks --------------------------------------------------------------------------------------------------------


class Chunks:
    """Writes batches of events as frames. The text of the answer, by far the most frequent, is written without detours."""

    def __init__(self, run: Run, asked: Asked) -> None:
        self._run_id = run.id
        self._asked = asked
        self._head: Json = {
            "id": completion_id(run.id),
            "object": "chat.completion.chunk",
            "created": int(run.created_at.timestamp()),
            "model": asked.model,
        }
        self._around_text = self._chunk({"content": ""}).split(b'""', 1)
        self._writing: int | None = None  # which message of the model's answer
        self._heard = False  # whether anything of the model's answer came in deltas
        self._said = False  # whether there is anything that an empty line has to part from what comes
        self._document = ""  # what was said last, where only that counts
        self._calls: dict[str, int] = {}  # the number of each, by id

    def __call__(self, batch: Sequence[Recorded]) -> bytes:
        *before, last = merged(batch)
        # An end that others follow was none: a person had to decide, and has.
        frames = [self._frames(entry.event) for entry in before if not isinstance(entry.event, RunCompleted)]
        return b"".join([*frames, self._frames(last.event)])

    def failure(self, error: RunError) -> bytes:
        """The last frame of a stream that does not end well."""
        return _frame({"error": error_object(failed(self._run_id, error))})

    def _frames(self, event: Event) -> bytes:
        match event:
            case Delta(path=""):
                return self._delta(event)
            case ItemDone(path="", name="message_output_created"):
                return self._message(event.item)
            case ItemDone(path="", name="tool_called") if _is_declared(event.item, self._asked):
                return self._whole_call(event.item)
            case ModelAnswered(path="") | RunResumed():
                self._writing, self._heard = None, False
                return b""
            case RunStarted():
                return self._chunk({"role": "assistant", "content": "", "refusal": None})
            case RunCompleted() | RunFailed():
                return self._end(ended(event))
            case _:
                return b""

    def _delta(self, event: Delta) -> bytes:
        match event.kind:
            case "text":
                self._heard = True
                return b"" if self._asked.one_document else self._text(event.text, event.output)
            case "refusal":
                self._heard = True
                return self._chunk({"refusal": event.text})
            case "reasoning":
                return self._chunk({"reasoning_content": event.text})
            case "arguments" if event.tool in self._asked.tools and event.call_id is not None:
                return self._begun(event.call_id, event.tool) + self._arguments(event.call_id, event.text)
            case _:
                return b""

    def _text(self, text: str, message: int) -> bytes:
        if self._said and self._writing != message:
            text = BETWEEN + text
        self._writing, self._said = message, True
        before, after = self._around_text
        return b"%b%b%b" % (before, one_line(dump(text)), after)

    def _message(self, item: Content) -> bytes:
        """What a finished message says, unless its deltas have said it."""
        texts, refusals = _pieces(item, "text"), _pieces(item, "refusal")
        self._document = texts[-1] if texts else self._document
        if self._heard:
            return b""
        self._writing = None
        said = [] if self._asked.one_document else [self._text(text, -1) for text in texts]
        return b"".join([*said, *(self._chunk({"refusal": text}) for text in refusals)])

    def _begun(self, call_id: str, tool: str) -> bytes:
        if call_id in self._calls:
            return b""
        number = self._calls[call_id] = len(self._calls)
        function = {"name": tool, "arguments": ""}
        call = {"index": number, "id": call_id, "type": "function", "function": function}
        return self._chunk({"tool_calls": [call]})

    def _arguments(self, call_id: str, text: str) -> bytes:
        call = {"index": self._calls[call_id], "function": {"arguments": text}}
        return self._chunk({"tool_calls": [call]})

    def _whole_call(self, item: Content) -> bytes:
        call_id: str = item["call_id"]
        if call_id in self._calls:
            return b""
        return self._begun(call_id, item["name"]) + self._arguments(call_id, item["arguments"])

    def _end(self, end: RunCompleted | RunError) -> bytes:
        if isinstance(end, RunError):
            return self.failure(end)
        document = self._chunk({"content": self._document}) if self._document and self._asked.one_document else b""
        last = self._chunk({}, finish_reason(end, bool(self._calls)))
        used = b""
        if self._asked.include_usage:
            used = _frame({**self._head, "choices": [], "usage": usage_object(end.usage)})
        return document + last + used + END

    def _chunk(self, delta: Json, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        tail = {"usage": None} if self._asked.include_usage else {}
        return _frame({**self._head, "choices": [choice], **tail})


def _frame(data: Json) -> bytes:
    return b"data: %b\n\n" % one_line(dump(data))

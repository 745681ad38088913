"""A response told event by event: from the log of its run to the events of this wire.

Each of our events becomes none to eight of theirs, and the ``i``-th of them has the number ``position * 8 + i``. What is
told depends on the log alone, so a reader is resumed by telling the response from its beginning, without a word up to the
number it has.

Shown are the messages, thoughts and calls for the caller of the agents that answer; not what agents inside tools say, nor
calls that the server answers itself: a client would try to answer them. Text that a run begins anew after a crash is an
item of its own; the half one before it is closed as incomplete, and is not in the response as it ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dragoman.domain.events import (
    Delta,
    DeltaKind,
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
from dragoman.surfaces.http.frames import one_line
from dragoman.surfaces.http.responses import dump
from dragoman.surfaces.openai.responses.ids import output_id
from dragoman.surfaces.openai.responses.wire import (
    Json,
    call_item,
    message_item,
    output_item,
    refusal_part,
    response,
    summary_part,
    text_part,
)

EVENTS = 8
"""At most so many events of theirs for one of ours."""
SILENT = 2**62
"""Above every number: nothing is told, only kept."""

DONE = b"data: [DONE]\n\n"

_KIND = {"text": "message", "refusal": "message", "reasoning": "reasoning", "arguments": "function_call"}
_DELTA: dict[DeltaKind, bytes] = {
    "text": b"response.output_text.delta",
    "refusal": b"response.refusal.delta",
    "reasoning": b"response.reasoning_summary_text.delta",
    "arguments": b"response.function_call_arguments.delta",
}
_PLACE: dict[DeltaKind, bytes] = {
    "text": b',"content_index":0,"logprobs":[]',
    "refusal": b',"content_index":0',
    "reasoning": b',"summary_index":0',
    "arguments": b"",
}
"""Where in its item a delta stands."""


class Told(NamedTuple):
    """An event as it goes over the wire."""

    type: bytes
    data: bytes

    @property
    def frame(self) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (self.type, one_line(self.data))


@dataclass(slots=True)
class _Writing:
    """An item that is still being written."""

    kind: DeltaKind
    id: str
    index: int
    call_id: str = ""
    tool: str = ""
    texts: list[str] = field(default_factory=list)
    prefix: bytes = b""  # of its deltas

    @property
    def text(self) -> str:
        return "".join(self.texts)

    @property
    def parted(self) -> Content:
        """Its one part, as far as it is written."""
        match self.kind:
            case "reasoning":
                return summary_part(self.text)
            case "refusal":
                return refusal_part(self.text)
            case _:
                return text_part(self.text)

    def item(self, status: str) -> Content:
        match self.kind:
            case "arguments":
                return call_item(self.id, self.call_id, self.tool, self.text, status)
            case "reasoning":
                summary = [self.parted] if self.texts else []
                return {"id": self.id, "type": "reasoning", "summary": summary, "status": status}
            case _:
                return message_item(self.id, [self.parted] if self.texts else [], status)


class Telling:
    """The state of one response while it is told. ``after`` is the number of the last event that its reader has."""

    def __init__(self, run: Run, after: int = -1) -> None:
        self.run = run
        self.output: list[Content] = []
        self.ended: Json | None = None  # the response as it ended
        self._after = after
        self._declared = run.options.handed_back
        self._told: list[Told] = []
        self._number = 0  # of the next event
        self._index = 0  # of the next item
        self._writing: dict[tuple[str, object], _Writing] = {}  # by kind, and place in the answer or id of the call
        self._pieces: list[str] = []  # of deltas that will be told as one
        self._piece_of: _Writing | None = None
        self._truncated = False

    def frames(self, batch: Sequence[Recorded]) -> bytes:
        """A batch as server-sent events. The last ones end the stream."""
        written = b"".join([told.frame for told in self.tell(batch)])
        return written + DONE if self.ended is not None else written

    def tell(self, batch: Sequence[Recorded]) -> list[Told]:
        for position, event in ((entry.position, entry.event) for entry in batch):
            if type(event) is Delta:
                if not event.path:
                    self._delta(position, event)
                continue
            self._flush()
            self._number = position * EVENTS
            self._event(event)
        self._flush()
        told, self._told = self._told, []
        return told

    def _event(self, event: Event) -> None:
        self.ended = None  # a run that waited for a person goes on
        match event:
            case RunStarted():
                begun = response(self.run, status=RunStatus.IN_PROGRESS)
                self._tell("response.created", response=begun)
                self._tell("response.in_progress", response=begun)
            case ItemDone(path="") if self._is_shown(event):
                self._finish(event.item)
            case ModelAnswered(path=""):
                self._truncated = event.truncated
                self._give_up(kept=False)
            case RunResumed():
                self._give_up(kept=False)
            case RunCompleted(status=RunStatus.REQUIRES_ACTION) if self.run.status.ended:
                pass  # the decision has been taken, and the run has gone on
            case RunCompleted():
                self._give_up(kept=True)
                self._end(event)
            case RunFailed():
                self._give_up(kept=True)
                self._fail(event)

    def _is_shown(self, done: ItemDone) -> bool:
        match kind_of(done.item):
            case "message" | "reasoning":
                return True
            case "function_call":
                return done.item["name"] in self._declared
            case _:
                return False

    # pieces ------------------------------------------------------------------------------------------------------

    def _delta(self, position: int, event: Delta) -> None:
        kind = event.kind
        if kind == "arguments" and event.tool not in self._declared:
            return
        key = (_KIND[kind], event.call_id or event.output)
        writing = self._writing.get(key)
        if writing is not None and kind != writing.kind:
            return  # of a second part; the finished item tells
        if writing is not None and position * EVENTS <= self._after:
            writing.texts.append(event.text)  # its reader has it
            return
        if writing is not None and writing is self._piece_of:
            self._pieces.append(event.text)
            self._number = position * EVENTS
            return
        self._flush()
        self._number = position * EVENTS
        if writing is None:
            # Told alone: its number must not depend on what it is read with.
            writing = self._writing[key] = self._begin(kind, event.call_id or "", event.tool or "")
            self._say(writing, event.text)
        else:
            self._piece_of = writing
            self._pieces.append(event.text)

    def _flush(self) -> None:
        """Tell the pieces that have gathered as one."""
        if (writing := self._piece_of) is not None:
            pieces, self._pieces, self._piece_of = self._pieces, [], None
            self._say(writing, pieces[0] if len(pieces) == 1 else "".join(pieces))

    def _say(self, writing: _Writing, text: str) -> None:
        writing.texts.append(text)
        number = self._number
        self._number += 1
        if number > self._after:
            self._told.append(
                Told(_DELTA[writing.kind], b'%b%b,"sequence_number":%d}' % (writing.prefix, dump(text), number))
            )

    # items -------------------------------------------------------------------------------------------------------

    def _begin(self, kind: DeltaKind, call_id: str = "", tool: str = "") -> _Writing:
        index, self._index = self._index, self._index + 1
        id = output_id(_KIND[kind], self.run.id, index)
        writing = _Writing(kind, id, index, call_id, tool)
        writing.prefix = b'{"type":"%b","item_id":"%b","output_index":%d%b,"delta":' % (
            *(_DELTA[kind], id.encode(), index),
            _PLACE[kind],
        )
        self._tell("response.output_item.added", output_index=index, item=writing.item("in_progress"))
        if kind == "reasoning":
            self._tell_in(writing, "response.reasoning_summary_part.added", summary_index=0, part=writing.parted)
        elif kind != "arguments":
            self._tell_in(writing, "response.content_part.added", content_index=0, part=writing.parted)
        return writing

    def _finish(self, content: Content) -> None:
        """An item is there as a whole; what was not told of it is told now."""
        writing = self._taken(content)
        parts = content.get("content") or content.get("summary") or ()
        if writing is None:
            writing = self._begin_whole(content, parts)
        item = output_item(content, self.run.id, writing.index)
        self.output.append(item)
        parts = item.get("content") if item["type"] == "message" else item.get("summary")
        self._close(writing, item, parts or ())

    def _taken(self, content: Content) -> _Writing | None:
        kind = kind_of(content)
        if kind == "function_call":
            return self._writing.pop((kind, content["call_id"]), None)
        key = next((key for key in self._writing if key[0] == kind), None)
        return None if key is None else self._writing.pop(key)

    def _begin_whole(self, content: Content, parts: Any) -> _Writing:
        kind = kind_of(content)
        if kind == "function_call":
            writing = self._begin("arguments", content["call_id"], content["name"])
            self._say(writing, content["arguments"])
            return writing
        first: Any = parts if isinstance(parts, str) else next(iter(parts), {})
        if kind == "reasoning":
            writing = self._begin("reasoning")
        else:
            refused = isinstance(first, dict) and first.get("type") == "refusal"
            writing = self._begin("refusal" if refused else "text")
        text = first if isinstance(first, str) else first.get("text") or first.get("refusal") or ""
        if text:
            self._say(writing, text)
        return writing

    def _close(self, writing: _Writing, item: Content, parts: Sequence[Content]) -> None:
        if writing.kind == "arguments":
            done = {"arguments": item["arguments"], "name": item["name"]}
            self._tell_in(writing, "response.function_call_arguments.done", **done)
        elif writing.kind == "reasoning":
            part = parts[0] if parts else writing.parted
            self._tell_in(writing, "response.reasoning_summary_text.done", summary_index=0, text=part["text"])
            self._tell_in(writing, "response.reasoning_summary_part.done", summary_index=0, part=part)
        else:
            self._close_message(writing, parts)
        self._tell("response.output_item.done", output_index=writing.index, item=item)

    def _close_message(self, writing: _Writing, parts: Sequence[Content]) -> None:
        part = parts[0] if parts else writing.parted
        if part["type"] == "refusal":
            self._tell_in(writing, "response.refusal.done", content_index=0, refusal=part["refusal"])
        else:
            self._tell_in(writing, "response.output_text.done", content_index=0, text=part["text"], logprobs=[])
        self._tell_in(writing, "response.content_part.done", content_index=0, part=part)
        room = self._number % EVENTS < EVENTS - 3
        for more in parts[1:2] if room else ():  # of what is not told, the finished item tells
            self._tell_in(writing, "response.content_part.added", content_index=1, part=more)
            self._tell_in(writing, "response.content_part.done", content_index=1, part=more)

    def _give_up(self, *, kept: bool) -> None:
        """What is being written will not be finished. A message that was said in part may be ``kept`` as such."""
        for writing in list(self._writing.values()):
            item = writing.item("incomplete")
            if kept and item["type"] == "message":
                self.output.append(item)
                self._close(writing, item, item["content"])
            else:
                self._tell("response.output_item.done", output_index=writing.index, item=item)
        self._writing.clear()

    # the end -----------------------------------------------------------------------------------------------------

    def _end(self, event: RunCompleted) -> None:
        truncated = event.status is RunStatus.INCOMPLETE and self._truncated
        self.ended = response(self.run, status=event.status, output=self.output, usage=event.usage, truncated=truncated)
        self._tell_last("completed" if event.status is RunStatus.COMPLETED else "incomplete")

    def _fail(self, event: RunFailed) -> None:
        error = RunError(event.code, event.message)
        self.ended = response(self.run, status=RunStatus.FAILED, output=self.output, error=error)
        self._tell_last("failed")

    def _tell_last(self, how: str) -> None:
        self._tell(f"response.{how}", last=True, response=self.ended)

    # telling -----------------------------------------------------------------------------------------------------

    def _tell_in(self, writing: _Writing, type: str, **content: Any) -> None:
        self._tell(type, item_id=writing.id, output_index=writing.index, **content)

    def _tell(self, type: str, *, last: bool = False, **content: Any) -> None:
        number = self._number
        if number % EVENTS == EVENTS - 1 and not last:
            return  # the last place is the end's
        self._number += 1
        if number > self._after:
            self._told.append(Told(type.encode(), dump({"type": type, **content, "sequence_number": number})))

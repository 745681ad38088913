"""Chat Completions: one model of an endpoint that speaks it, and the reader of its answers."""

from typing import Any

import orjson
from agents.items import TResponseOutputItem
from agents.models.chatcmpl_helpers import ChatCmplHelpers
from agents.models.fake_id import FAKE_RESPONSES_ID
from openai.types.responses import (
    Response,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputRefusal,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseUsage,
)
from openai.types.responses.response_output_text import Logprob, LogprobTopLogprob
from openai.types.responses.response_reasoning_item import Content, Summary

from dragoman.domain.errors import ModelBroken
from dragoman.domain.events import DeltaKind
from dragoman.domain.ids import new_id
from dragoman.providers.openai.agents.models import output
from dragoman.providers.openai.agents.models.bodies import chat_body
from dragoman.providers.openai.agents.models.direct import DirectModel, Listener, Request
from dragoman.providers.openai.agents.models.history import REPLAYED_AS
from dragoman.providers.openai.agents.models.payload import END, NONSENSE, error_in, parsed, reported_failure
from dragoman.providers.openai.agents.models.thinking import Piece, Thoughts
from dragoman.providers.openai.agents.models.transport import Wire

Json = dict[str, Any]

WITHHELD = "The endpoint's content filter withheld the answer."


class ChatCompletionsModel(DirectModel):
    def __init__(self, model: str, wire: Wire) -> None:
        self.model = model
        self._wire = wire

    async def answer(self, request: Request, listener: Listener) -> Response:
        settings = request.model_settings
        body = chat_body(request, self.model)
        reader = ChatReader(self.model, listener)
        await self._wire.ask(
            "/chat/completions", body, reader, headers=settings.extra_headers, query=settings.extra_query
        )
        return reader.response(sent=len(body))


class _Call:
    """A tool call, as its pieces arrive."""

    __slots__ = ("announced", "arguments", "id", "name", "output", "said", "signature")

    def __init__(self, output: int) -> None:
        self.output = output
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.announced = False
        self.said = 0  # how many pieces of its arguments have been shown
        self.signature: str | None = None

    def named(self, piece: str) -> None:
        """Some endpoints cut names in pieces, some repeat them, some repeat what they have so far."""
        if piece.startswith(self.name):
            self.name = piece
        elif not self.arguments:
            self.name += piece


class ChatReader:
    """Reads the chunks of one answer. Its items are numbered as they appear."""

    def __init__(self, model: str, listener: Listener) -> None:
        self.begun = False
        self._model = model
        self._listener = listener
        self._items = 0
        self._thoughts = Thoughts()
        self._reasoning: list[str] = []
        self._reasoning_output = -1
        self._reasoning_field = ""
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._refused_first = False
        self._message_output = -1
        self._logprobs: list[Json] = []
        self._annotations: list[Json] = []
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._finish: str | None = None
        self._usage: Json | None = None
        self._id: str | None = None

    @property
    def finished(self) -> bool:
        return self._finish is not None

    def read(self, event: bytes) -> None:
        if event != END:
            self._read(parsed(event))

    def read_whole(self, body: bytes) -> None:
        self._read(parsed(body))

    def _read(self, chunk: Any) -> None:
        try:
            choices = chunk.get("choices")
            if ("error" in chunk or not choices) and (error := error_in(chunk)):
                raise reported_failure(error)
            if self._id is None:
                self._id = chunk.get("id") or ""
            for choice in choices or ():
                if not choice.get("index"):  # we ask for one
                    self._choose(choice)
            if used := chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage"):
                self._usage = used
        except NONSENSE as error:
            raise ModelBroken from error

    def _choose(self, choice: Json) -> None:
        delta = choice.get("delta") or choice.get("message")
        if delta:
            content = delta.get("content")
            if len(delta) > 1:
                self._hear(delta, content)
            elif content:
                self._hear_content(content)
            else:
                self._hear(delta, None)
        if logprobs := choice.get("logprobs"):
            self._logprobs.extend(logprobs.get("content") or ())
        if finish := choice.get("finish_reason"):
            if finish in ("error", "abort"):
                raise ModelBroken
            self._finish = str(finish)

    # what is said ------------------------------------------------------------------------------------------------

    def _hear(self, delta: Json, content: Any) -> None:
        if thought := delta.get("reasoning_content"):
            self._think(thought, "reasoning_content")
        elif (thought := delta.get("reasoning")) and isinstance(thought, str):
            self._think(thought, "reasoning")
        if content:
            self._hear_content(content)
        if annotations := delta.get("annotations"):
            self._annotations.extend(annotations)
        if refusal := delta.get("refusal"):
            self._refuse(refusal)
        for piece in delta.get("tool_calls") or ():
            if "custom" not in piece:
                self._hear_call(piece)
        if delta.get("audio"):
            raise ModelBroken(
                "The model answered with audio, which this server does not take from this kind of endpoint."
            )

    def _hear_content(self, content: str | list[Json]) -> None:
        if isinstance(content, list):
            self._hear_parts(content)
        elif self._thoughts.over:
            self._speak(content)
        else:
            self._tell_apart(self._thoughts.split(content))

    def _hear_parts(self, parts: list[Json]) -> None:
        """Mistral's thinking models send parts, thoughts among them."""
        for part in parts:
            if part.get("type") == "thinking":
                for thought in part["thinking"]:
                    self._think(thought["text"], "reasoning_content")
            elif text := part.get("text"):
                self._speak(text)

    def _tell_apart(self, pieces: list[Piece]) -> None:
        for kind, text in pieces:
            if kind == "text":
                self._speak(text)
            else:
                self._think(text, "reasoning_content")

    def _speak(self, text: str) -> None:
        if self._message_output < 0:
            self._message_output = self._next_output()
        self._text.append(text)
        self._say("text", text, self._message_output)

    def _refuse(self, text: str) -> None:
        if self._message_output < 0:
            self._message_output = self._next_output()
            self._refused_first = True
        self._refusal.append(text)
        self._say("refusal", text, self._message_output)

    def _think(self, thought: str, field: str) -> None:
        if self._reasoning_output < 0:
            self._reasoning_output = self._next_output()
            self._reasoning_field = field
        self._reasoning.append(thought)
        self._say("reasoning", thought, self._reasoning_output)

    def _say(self, kind: DeltaKind, text: str, output: int) -> None:
        if not isinstance(text, str):
            raise TypeError(kind)
        self._listener.say(kind, text, output)
        self.begun = True

    def _next_output(self) -> int:
        self._items += 1
        return self._items - 1

    # tool calls --------------------------------------------------------------------------------------------------

    def _hear_call(self, piece: Json) -> None:
        call = self._call_of(piece)
        function = piece.get("function") or {}
        call.id = call.id or piece.get("id") or ""
        if name := function.get("name"):
            call.named(name)
        if google := (piece.get("extra_content") or {}).get("google"):
            call.signature = google.get("thought_signature") or call.signature
        if arguments := function.get("arguments"):
            text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
            call.arguments.append(text)
            if call.name:  # some servers name a call behind its first arguments
                self._announce(call)

    def _call_of(self, piece: Json) -> _Call:
        """Which call a piece belongs to. An index should say it; some servers send none, others always 0."""
        index, id, name = piece.get("index"), piece.get("id"), (piece.get("function") or {}).get("name")
        if index is not None:
            call = self._by_index.get(index)
            if call is None or (name and id and call.id and id != call.id):
                call = self._by_index[index] = self._new_call()
            return call
        if id:
            return next((call for call in self._calls if call.id == id), None) or self._new_call()
        return self._new_call() if name or not self._calls else self._calls[-1]

    def _new_call(self) -> _Call:
        call = _Call(self._next_output())
        self._calls.append(call)
        return call

    def _announce(self, call: _Call) -> None:
        """Once its name can be trusted to be whole. An id that another call of this answer has is none."""
        if not call.announced:
            call.announced = True
            if not call.id or any(other.id == call.id for other in self._calls if other is not call):
                call.id = new_id("call")
            self._listener.begin_call(call.output, call.id, call.name)
        if unsaid := call.arguments[call.said :]:
            call.said = len(call.arguments)
            self._say("arguments", "".join(unsaid), call.output)

    # the answer --------------------------------------------------------------------------------------------------

    def response(self, *, sent: int) -> Response:
        """The finished answer to a request of so many bytes."""
        self._tell_apart(self._thoughts.rest())
        if self._finish == "content_filter" and not (self._text or self._refusal or self._calls):
            self._refuse(WITHHELD)
        cut = _CUTS.get(self._finish or "") if not self._refusal else None
        try:
            return output.response(self._output(), self._used(sent), cut=cut)
        except NONSENSE as error:
            raise ModelBroken from error

    def _output(self) -> list[TResponseOutputItem]:
        items: dict[int, TResponseOutputItem] = {call.output: self._function_call(call) for call in self._calls}
        if self._reasoning:
            items[self._reasoning_output] = self._reasoning_item()
        if self._message_output >= 0:
            items[self._message_output] = self._message()
        return [items[number] for number in sorted(items)]

    def _message(self) -> ResponseOutputMessage:
        parts: list[ResponseOutputText | ResponseOutputRefusal] = []
        if self._text:
            parts.append(
                ResponseOutputText(
                    type="output_text",
                    text="".join(self._text),
                    annotations=ChatCmplHelpers.convert_url_citations(self._annotations),
                    logprobs=_logprobs(self._logprobs),
                )
            )
        if self._refusal:
            refusal = ResponseOutputRefusal(type="refusal", refusal="".join(self._refusal))
            parts.insert(0 if self._refused_first else len(parts), refusal)
        return ResponseOutputMessage(
            id=FAKE_RESPONSES_ID, type="message", role="assistant", status="completed", content=parts
        )

    def _reasoning_item(self) -> ResponseReasoningItem:
        thought = "".join(self._reasoning)
        item = ResponseReasoningItem(id=FAKE_RESPONSES_ID, type="reasoning", summary=[])
        origin = {"model": self._model, "response_id": self._id}
        if self._reasoning_field == "reasoning":
            item.content = [Content(type="reasoning_text", text=thought)]
            origin[REPLAYED_AS] = "reasoning"
        else:
            item.summary = [Summary(type="summary_text", text=thought)]
        return item.model_copy(update={"provider_data": origin})

    def _function_call(self, call: _Call) -> ResponseFunctionToolCall:
        if not call.name:
            raise ModelBroken
        self._announce(call)
        item = ResponseFunctionToolCall(
            id=FAKE_RESPONSES_ID,
            type="function_call",
            call_id=call.id,
            name=call.name,
            arguments="".join(call.arguments),
        )
        if call.signature is None:
            return item
        return item.model_copy(update={"provider_data": {"model": self._model, "thought_signature": call.signature}})

    def _used(self, sent: int) -> ResponseUsage:
        used = self._usage
        if not used:
            received = (*self._text, *self._reasoning, *self._refusal, *(a for c in self._calls for a in c.arguments))
            return output.estimated_usage(sent, sum(len(piece.encode(errors="replace")) for piece in received))
        asked, answered = used.get("prompt_tokens_details"), used.get("completion_tokens_details")
        return output.usage(
            output.count(used, "prompt_tokens"),
            output.count(used, "completion_tokens"),
            output.count(used, "total_tokens"),
            cached=output.count(asked, "cached_tokens") or output.count(used, "prompt_cache_hit_tokens"),
            written=output.count(asked, "cache_write_tokens"),
            reasoning=output.count(answered, "reasoning_tokens"),
        )


_CUTS: dict[str, output.Cut] = {"length": "max_output_tokens", "content_filter": "content_filter"}


def _logprobs(told: list[Json]) -> list[Logprob]:
    """All of them or none: no answer fails for figures beside it."""
    try:
        return [
            Logprob(**_logprob(each), top_logprobs=[LogprobTopLogprob(**_logprob(top)) for top in each["top_logprobs"]])
            for each in told
        ]
    except NONSENSE:
        return []


def _logprob(told: Json) -> Json:
    return {"token": told["token"], "logprob": told["logprob"], "bytes": told.get("bytes") or []}

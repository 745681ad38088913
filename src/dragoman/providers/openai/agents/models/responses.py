"""Responses: one model of an endpoint that speaks it, and the reader of its answers."""

from typing import Any

from openai.types.responses import Response, ResponseUsage

from dragoman.domain.errors import ModelBroken
from dragoman.domain.events import DeltaKind
from dragoman.providers.openai.agents.models import output
from dragoman.providers.openai.agents.models.bodies import responses_body
from dragoman.providers.openai.agents.models.direct import DirectModel, Listener, Request
from dragoman.providers.openai.agents.models.payload import END, NONSENSE, error_in, parsed, reported_failure
from dragoman.providers.openai.agents.models.transport import Wire
from dragoman.providers.openai.agents.translate import ARGUMENTS_DELTA, DELTAS

Json = dict[str, Any]


class ResponsesModel(DirectModel):
    def __init__(self, model: str, wire: Wire) -> None:
        self.model = model
        self._wire = wire

    async def answer(self, request: Request, listener: Listener) -> Response:
        settings = request.model_settings
        body = responses_body(request, self.model)
        reader = ResponsesReader(listener)
        await self._wire.ask("/responses", body, reader, headers=settings.extra_headers, query=settings.extra_query)
        return reader.response(sent=len(body))


class ResponsesReader:
    """Reads the events of one answer. Its items are passed on as they are, of whatever kind."""

    def __init__(self, listener: Listener) -> None:
        self.begun = False
        self._listener = listener
        self._items: dict[int, Json] = {}  # the finished ones, by their place
        self._announced: set[int] = set()
        self._answer: Json | None = None

    @property
    def finished(self) -> bool:
        return self._answer is not None

    def read(self, event: bytes) -> None:
        if event == END:
            return
        told = parsed(event)
        try:
            self._hear(told)
        except NONSENSE as error:
            raise ModelBroken from error

    def read_whole(self, body: bytes) -> None:
        answer = parsed(body)
        if reported := error_in(answer):
            raise reported_failure(reported)
        try:
            for place, item in enumerate(answer["output"]):
                for part in item.get("content") or () if item["type"] == "message" else ():
                    self._say("refusal" if "refusal" in part else "text", part.get("refusal") or part["text"], place)
            self._finish(answer)
        except NONSENSE as error:
            raise ModelBroken from error

    def _hear(self, told: Json) -> None:
        event: str = told.get("type") or ""
        if kind := DELTAS.get(event):
            self._say(kind, told["delta"], told.get("output_index") or 0)
        elif event == ARGUMENTS_DELTA:
            self._say("arguments", told["delta"], told.get("output_index") or 0)
        elif event == "response.output_item.added":
            self._begin(told.get("output_index") or 0, told["item"])
        elif event == "response.output_item.done":
            self._items[told.get("output_index", len(self._items))] = told["item"]
        elif event in ("response.completed", "response.incomplete"):
            self._finish(told["response"])
        elif event == "response.failed":
            raise reported_failure(error_in(told["response"]) or {})
        elif reported := error_in(told):
            raise reported_failure(reported)

    def _begin(self, place: int, item: Json) -> None:
        if item.get("type") == "function_call":
            self._listener.begin_call(place, item.get("call_id") or "", item.get("name") or "")

    def _say(self, kind: DeltaKind, text: str, place: int) -> None:
        if not isinstance(text, str):
            raise TypeError(kind)
        if text:
            self._listener.say(kind, text, place)
            self.begun = True

    def _finish(self, answer: Json) -> None:
        if answer.get("status") == "failed":
            raise reported_failure(error_in(answer) or {})
        self._answer = answer

    def response(self, *, sent: int) -> Response:
        """The finished answer to a request of so many bytes."""
        answer = self._answer
        assert answer is not None
        try:
            contents = answer.get("output") or [self._items[place] for place in sorted(self._items)]
            return output.response(
                [output.item(content) for content in contents],
                _used(answer, sent, len(str(contents))),
                id=answer.get("id"),
                cut=_cut(answer),
            )
        except NONSENSE as error:
            raise ModelBroken from error


def _cut(answer: Json) -> output.Cut | None:
    if not answer.get("incomplete_details") and answer.get("status") != "incomplete":
        return None
    reason = (answer.get("incomplete_details") or {}).get("reason")
    return "content_filter" if reason == "content_filter" else "max_output_tokens"


def _used(answer: Json, sent: int, received: int) -> ResponseUsage:
    used = answer.get("usage")
    if not used:
        return output.estimated_usage(sent, received)
    asked, answered = used.get("input_tokens_details"), used.get("output_tokens_details")
    return output.usage(
        output.count(used, "input_tokens"),
        output.count(used, "output_tokens"),
        output.count(used, "total_tokens"),
        cached=output.count(asked, "cached_tokens"),
        written=output.count(asked, "cache_write_tokens"),
        reasoning=output.count(answered, "reasoning_tokens"),
    )

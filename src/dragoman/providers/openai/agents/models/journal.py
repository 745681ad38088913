"""A model that writes down what another model says.

What is streamed is shown as it comes; the finished answer is recorded as a whole. The SDK's Runner gets one event, the
terminal one: that is all it needs. An answer that calls tools is durable before the Runner, and so any tool, sees it.
"""

import logging
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from typing import Any

from agents import Model, ModelResponse
from agents.items import TResponseOutputItem, TResponseStreamEvent
from openai.types.responses import Response, ResponseCompletedEvent, ResponseFunctionToolCall

from dragoman.domain.errors import ModelBroken
from dragoman.domain.events import Delta, DeltaKind, ItemDone, ItemName, ModelAnswered
from dragoman.domain.items import Content, text_of
from dragoman.domain.text import storable
from dragoman.providers.openai.agents import translate
from dragoman.providers.openai.agents.current import Call, Play, current_path, current_play
from dragoman.providers.openai.agents.models.direct import DirectModel, Request, sdk_usage
from dragoman.providers.openai.agents.models.output import is_estimate
from dragoman.providers.openai.agents.models.sdk import SdkModel
from dragoman.providers.openai.errors import model_failure

logger = logging.getLogger(__name__)

_THINKS_OR_SPEAKS = frozenset({"message", "reasoning"})
_NO_CALL = (None, None)


class AnswerTruncated(Exception):
    """The endpoint cut the answer short. What there is has been recorded; the run ends here, incomplete."""

    def __init__(self, text: str, response_id: str | None) -> None:
        self.text = text
        self.response_id = response_id
        super().__init__("truncated")


class JournalModel(Model):
    """Stands before ``inner``. ``name`` is what the log calls it; one of the SDK's kind may be silent for ``idle_timeout``."""

    def __init__(self, inner: Model, name: str, *, agent: str | None = None, idle_timeout: float) -> None:
        self.inner = inner
        self.name = name
        self._agent = agent
        self._idle_timeout = idle_timeout
        self._asked = inner if isinstance(inner, DirectModel) else SdkModel(inner, silence=idle_timeout)

    def of(self, agent: str) -> "JournalModel":
        """The same model in the hands of one agent, whose name its answers carry."""
        return JournalModel(self.inner, self.name, agent=agent, idle_timeout=self._idle_timeout)

    async def get_response(self, *args: Any, **named: Any) -> ModelResponse:
        """Called for nested agents. It streams as well, so that they can be watched."""
        response = await self._answer(Request(*args, **named))
        return ModelResponse(response.output, sdk_usage(response), response.id)

    async def stream_response(self, *args: Any, **named: Any) -> AsyncIterator[TResponseStreamEvent]:
        response = await self._answer(Request(*args, **named))
        yield ResponseCompletedEvent(response=response, type="response.completed", sequence_number=0)

    async def _answer(self, request: Request) -> Response:
        play = current_play()
        assert play is not None, "a prepared agent is played by its runtime only"
        if isinstance(request.input, list):
            await play.record_outputs(request.input)
        answer = Answer(play, self._agent or play.speaking, self.name, frozenset(h.tool_name for h in request.handoffs))
        if trace := play.turn.run.trace:
            request = request.with_headers({"traceparent": trace})
        try:
            response = await self._asked.answer(request, answer)
        except Exception as error:
            if failure := model_failure(error, begun=answer.begun):
                raise failure from error
            logger.exception("the model %s failed in an unexpected way", self.name)
            raise ModelBroken from error
        return await answer.finish(response)


@dataclass(slots=True)
class Answer:
    """One answer of a model, as it grows."""

    play: Play
    agent: str
    model: str
    handoffs: frozenset[str]
    path: str = field(default_factory=current_path)
    begun: bool = False
    _calls: dict[int, tuple[str, str]] = field(default_factory=dict)  # by output index: call id and tool
    _claimed: list[tuple[str, str]] = field(default_factory=list)  # the model's call ids and ours, in order

    def begin_call(self, output: int, call_id: str, tool: str) -> None:
        self._calls[output] = (self._claim(call_id), tool)

    def say(self, kind: DeltaKind, text: str, output: int) -> None:
        call_id, tool = self._calls.get(output, _NO_CALL) if kind == "arguments" else _NO_CALL
        self.begun = True
        self.play.recorder.show(Delta(kind, storable(text), self.path, output, call_id, tool))

    async def finish(self, response: Response) -> Response:
        """Record the answer. What comes back is for the Runner: the same, with the call ids of the log."""
        truncated = response.status == "incomplete" or response.incomplete_details is not None
        output = [self._settled(item) for item in response.output]
        if truncated:  # half a call is none
            output = [item for item in output if item.type in _THINKS_OR_SPEAKS]
        contents = [translate.item(item) for item in output]
        durable = self._record(contents, response, truncated=truncated)
        if truncated and not self.path:
            raise AnswerTruncated("".join(map(text_of, contents)), translate.response_id(response.id))
        if any(item.type not in _THINKS_OR_SPEAKS for item in output):
            await durable
        return response.model_copy(update={"output": output})

    def _record(self, contents: list[Content], response: Response, *, truncated: bool) -> Awaitable[None]:
        items = []
        for content in contents:
            name = translate.item_name(content, self.handoffs)
            items.append(ItemDone(name, content, self.agent, self.path))
            if "call_id" in content:
                output: ItemName = "handoff_occurred" if name == "handoff_requested" else "tool_output"
                self.play.calls[content["call_id"]] = Call(output, self.agent, self.path)
        answered = ModelAnswered(
            agent=self.agent,
            model=self.model,
            ordinal=self.play.next_ordinal(self.path),
            items=len(items),
            usage=translate.usage(response.usage, self.model),
            response_id=translate.response_id(response.id),
            path=self.path,
            truncated=truncated,
            estimated=is_estimate(response.usage),
        )
        return self.play.recorder.record(*items, answered)

    def _settled(self, item: TResponseOutputItem) -> TResponseOutputItem:
        if not isinstance(item, ResponseFunctionToolCall):
            return item
        announced = next((pair for pair in self._claimed if pair[0] == item.call_id), None)
        if announced is None:
            claimed = self.play.claim_call_id(item.call_id)
        else:
            self._claimed.remove(announced)
            claimed = announced[1]
        return item if claimed == item.call_id else item.model_copy(update={"call_id": claimed})

    def _claim(self, given: str) -> str:
        claimed = self.play.claim_call_id(given)
        self._claimed.append((given, claimed))
        return claimed

"""A model that writes down what another model says.

What is streamed is shown as it comes; the finished answer is recorded as a whole. The SDK's Runner gets one event, the
terminal one: that is all it needs. An answer that calls tools is durable before the Runner, and so any tool, sees it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from agents import FunctionTool, Model, ModelResponse
from agents.items import TResponseOutputItem, TResponseStreamEvent
from agents.models.fake_id import FAKE_RESPONSES_ID
from openai.types.responses import Response, ResponseCompletedEvent, ResponseFunctionToolCall

from dragoman.domain.events import Delta, DeltaKind, ItemDone, ModelAnswered, ModelFailed
from dragoman.domain.ids import new_id
from dragoman.domain.items import Content, is_call, text_of
from dragoman.domain.journal import Answer as JournalledAnswer
from dragoman.domain.text import storable
from dragoman.domain.usage import Try
from dragoman.providers.openai.agents import translate
from dragoman.providers.openai.agents.current import Play, current_path, current_play
from dragoman.providers.openai.agents.models import output
from dragoman.providers.openai.agents.models.additions import with_additions
from dragoman.providers.openai.agents.models.direct import Request, sdk_usage
from dragoman.providers.openai.agents.models.routing import Pay, Routed, RoutedModel, Witness

_THINKS_OR_SPEAKS = frozenset({"message", "reasoning"})
_NO_CALL = (None, None)


class AnswerTruncated(Exception):
    """The endpoint cut the answer short. What there is has been recorded; the run ends here, incomplete."""

    def __init__(self, text: str, response_id: str | None) -> None:
        self.text = text
        self.response_id = response_id
        super().__init__("truncated")


class Stopped(Exception):
    """Somebody asked the run to stop after its turn, and the turn is over."""


class HandedBack(Exception):
    """The answer calls functions of the caller's, and nothing is left to be done here: the run ends."""

    def __init__(self, text: str, response_id: str | None) -> None:
        self.text = text
        self.response_id = response_id
        super().__init__("handed back")


class JournalModel(Model):
    """Stands before ``inner``. ``name`` is what the catalogue calls it; the log says which model really answered."""

    def __init__(self, inner: RoutedModel, name: str, *, agent: str | None = None) -> None:
        self.inner = inner
        self.name = name
        self._agent = agent

    def of(self, agent: str) -> "JournalModel":
        """The same model in the hands of one agent, whose name its answers carry."""
        return JournalModel(self.inner, self.name, agent=agent)

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
        if play.diverged:
            play.diverge()
        if isinstance(request.input, list):
            await play.record_outputs(request.input)
        path = current_path()
        if not path:
            if play.handed_back:  # what else was called has been done
                raise HandedBack(play.said, None)
            request = with_additions(request, play.turn.run.options, first=play.first_on(path))
        agent = self._agent or play.speaking
        earlier = play.journalled(path)
        if not path:
            if play.turn.stop.requested and not earlier:
                raise Stopped
            request = await _steered(request, play)
        if earlier:
            return replayed(play, earlier, agent, request)
        answer = Answer(play, agent, frozenset(h.tool_name for h in request.handoffs), guarded(request))
        if trace := play.turn.run.trace:
            request = request.with_headers({"traceparent": trace})
        witness = Witness(play.turn.principal.tenant, frozenset(play.spoken), pay=answer.pay())
        await play.turn.held()
        try:
            routed = await self.inner.ask(request, answer, witness)
        except (Exception, asyncio.CancelledError):
            answer.fail(witness.tries)
            raise
        return await answer.finish(routed, witness.tries)


async def _steered(request: Request, play: Play) -> Request:
    """The request with what was said to the run until now."""
    assert isinstance(request.input, list)
    told = await play.steer(request.input, remembered=request.conversation_id is not None)
    return request if told is request.input else replace(request, input=told)


def replayed(play: Play, earlier: JournalledAnswer, agent: str, request: Request) -> Response:
    """An answer that an earlier attempt recorded. The model is not asked, and nothing is recorded again."""
    closed = earlier.closed
    if closed.agent != agent or not all(_still_fits(done, play, request) for done in earlier.items):
        play.diverge()
    play.next_ordinal(closed.path)
    play.spoken.add(closed.endpoint)
    if closed.truncated and not closed.path:
        raise AnswerTruncated("".join(text_of(done.item) for done in earlier.items), closed.response_id)
    for done in earlier.items:
        if call_id := done.item.get("call_id"):
            play.call_ids.add(call_id)
            if play.turn.journal.output(call_id) is None:
                play.expect_output(done)
    decided = [_as_decided(done.item, play) for done in earlier.items]
    said = readable(play, [output.item({"id": FAKE_RESPONSES_ID, **item}) for item in decided], guarded(request))
    said = ours(play, said, closed.path, "".join(text_of(done.item) for done in earlier.items), closed.response_id)
    return output.response(said, output.usage(0, 0), id=closed.response_id)


def ours(
    play: Play, said: list[TResponseOutputItem], path: str, text: str, response_id: str | None
) -> list[TResponseOutputItem]:
    """What of a recorded answer the Runner has to see to. If only the caller can go on, the run ends."""
    if path or not play.handed_back:
        return said
    play.said = text
    left = [item for item in said if not (item.type == "function_call" and play.is_handed_back(item.name, path))]
    if all(item.type in _THINKS_OR_SPEAKS for item in left):
        raise HandedBack(text, response_id)
    return left


def _as_decided(item: Content, play: Play) -> Content:
    """A call with the arguments that a person has put in the place of the model's, if one has."""
    decided = play.turn.journal.decisions.get(item.get("call_id", ""))
    if decided is None or decided.arguments is None:
        return item
    return {**item, "arguments": json.dumps(decided.arguments, ensure_ascii=False)}


def guarded(request: Request) -> frozenset[str]:
    """The tools of a request whose calls may have to wait for a person."""
    tools = (tool for tool in request.tools if isinstance(tool, FunctionTool))
    return frozenset(tool.name for tool in tools if tool.needs_approval is not False)


def readable(play: Play, said: list[TResponseOutputItem], guarded: frozenset[str]) -> list[TResponseOutputItem]:
    """The same, but without arguments that are no JSON object where a person would have to read them: such a call fails."""
    for place, item in enumerate(said):
        if (
            isinstance(item, ResponseFunctionToolCall)
            and item.name in guarded
            and not translate.is_object(item.arguments)
        ):
            play.unreadable.add(item.call_id)
            said[place] = item.model_copy(update={"arguments": "{}"})
    return said


def _still_fits(done: ItemDone, play: Play, request: Request) -> bool:
    """Whether the agent still has the tool of a call that was answered. (One it never had was answered with a failure.)"""
    if not is_call(done.item):
        return True
    answered = play.turn.journal.output(done.item["call_id"])
    known = {tool.name for tool in request.tools} | {handoff.tool_name for handoff in request.handoffs}
    return answered is None or answered.failed or done.item["name"] in known


@dataclass(slots=True)
class Answer:
    """One answer of a model, as it grows."""

    play: Play
    agent: str
    handoffs: frozenset[str]
    guarded: frozenset[str]
    path: str = field(default_factory=current_path)
    _reservation: str = ""
    _calls: dict[int, tuple[str, str]] = field(default_factory=dict)  # by output index: call id and tool
    _claimed: list[tuple[str, str]] = field(default_factory=list)  # the model's call ids and ours, in order

    def pay(self) -> Pay | None:
        """How its requests are paid."""
        spending = self.play.turn.spending
        if spending is None:
            return None
        self._reservation = new_id("resv")

        async def reserve(cost: Decimal | None) -> None:
            await spending.reserve(self._reservation, self.agent, cost)

        return reserve

    def begin_call(self, output: int, call_id: str, tool: str) -> None:
        self._calls[output] = (self._claim(call_id), tool)

    def say(self, kind: DeltaKind, text: str, output: int) -> None:
        call_id, tool = self._calls.get(output, _NO_CALL) if kind == "arguments" else _NO_CALL
        self.play.recorder.show(Delta(kind, storable(text), self.path, output, call_id, tool))

    def fail(self, tries: Sequence[Try]) -> None:
        """Record that there is no answer, and what trying has used."""
        if tries:
            ordinal, first = self.play.number_tries(self.path, len(tries))
            self.play.recorder.record(
                ModelFailed(self.agent, ordinal, tuple(tries), self.path, first, self._reservation)
            )

    async def finish(self, routed: Routed, tries: Sequence[Try]) -> Response:
        """Record the answer. What comes back is for the Runner: the same, with the call ids of the log."""
        response = routed.response
        truncated = response.status == "incomplete" or response.incomplete_details is not None
        said = [self._settled(item) for item in response.output]
        if truncated:  # half a call is none
            said = [item for item in said if item.type in _THINKS_OR_SPEAKS]
        contents = [translate.item(item) for item in said]
        durable = self._record(contents, routed, tries, truncated=truncated)
        if truncated and not self.path:
            raise AnswerTruncated("".join(map(text_of, contents)), translate.response_id(response.id))
        if any(item.type not in _THINKS_OR_SPEAKS for item in said):
            await durable
        said = readable(self.play, said, self.guarded)
        said = ours(self.play, said, self.path, "".join(map(text_of, contents)), translate.response_id(response.id))
        return response.model_copy(update={"output": said})

    def _record(
        self, contents: list[Content], routed: Routed, tries: Sequence[Try], *, truncated: bool
    ) -> Awaitable[None]:
        items = []
        for content in contents:
            name = translate.item_name(content, self.handoffs)
            items.append(done := ItemDone(name, content, self.agent, self.path))
            if "call_id" in content:
                self.play.expect_output(done)
        _, first_try = self.play.number_tries(self.path, len(tries) + 1)
        self.play.spoken.add(routed.endpoint)
        answered = ModelAnswered(
            agent=self.agent,
            model=routed.model,
            ordinal=self.play.next_ordinal(self.path),
            items=len(items),
            usage=routed.usage,
            response_id=translate.response_id(routed.response.id),
            path=self.path,
            truncated=truncated,
            estimated=routed.estimated,
            endpoint=routed.endpoint,
            latency_ms=routed.latency_ms,
            tries=tuple(tries),
            first_try=first_try,
            reservation=self._reservation,
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

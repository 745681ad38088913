"""The demo model as a ``Model`` of the SDK: reads the question, follows the rules, streams the answer."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from agents import (
    AgentOutputSchemaBase,
    FunctionTool,
    Handoff,
    Model,
    ModelProvider,
    ModelResponse,
    ModelSettings,
    ModelTracing,
    Tool,
    TResponseInputItem,
)
from agents import Usage as SdkUsage
from agents.items import TResponseStreamEvent
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionToolCall,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseTextDeltaEvent,
    ResponseUsage,
)
from openai.types.responses.response_prompt_param import ResponsePromptParam
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

from dragoman.domain.ids import new_id
from dragoman.domain.items import Content
from dragoman.providers.openai.agents.models.demo.question import HandoffOffer, ToolOffer, read
from dragoman.providers.openai.agents.models.demo.rules import answer
from dragoman.providers.openai.agents.models.demo.steps import Call, Fail, Say, Stall, Step
from dragoman.providers.openai.config import DemoSettings

NAME = "demo"
BREATH = 64
"""At full speed, after how many tokens everybody else gets a turn."""

_TOKEN = re.compile(r"\s*\S{1,12}|\s+")


class DemoModels(ModelProvider):
    """Every name is the demo model."""

    def __init__(self, settings: DemoSettings) -> None:
        self._model = DemoModel(settings)

    def get_model(self, model_name: str | None) -> Model:  # noqa: ARG002 - whatever was asked for
        return self._model


class DemoModel(Model):
    def __init__(self, settings: DemoSettings | None = None) -> None:
        self.model = NAME
        self._settings = settings or DemoSettings()

    async def get_response(self, *args: Any, **named: Any) -> ModelResponse:
        completed = [event async for event in self.stream_response(*args, **named)][-1]
        assert isinstance(completed, ResponseCompletedEvent)
        assert completed.response.usage is not None
        usage = completed.response.usage
        return ModelResponse(
            completed.response.output,
            SdkUsage(1, usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=usage.total_tokens),
            completed.response.id,
        )

    async def stream_response(  # noqa: PLR0917 - the SDK's signature
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,  # noqa: ARG002
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff],
        tracing: ModelTracing,  # noqa: ARG002
        *,
        previous_response_id: str | None,  # noqa: ARG002
        conversation_id: str | None,  # noqa: ARG002
        prompt: ResponsePromptParam | None,  # noqa: ARG002
    ) -> AsyncIterator[TResponseStreamEvent]:
        items = cast(list[Content], [{"role": "user", "content": input}] if isinstance(input, str) else input)
        steps = answer(
            read(
                items,
                instructions=system_instructions or "",
                tools=[_offer(tool) for tool in tools if isinstance(tool, FunctionTool)],
                handoffs=[HandoffOffer(h.tool_name, h.agent_name, h.tool_description) for h in handoffs],
                schema=None if output_schema is None or output_schema.is_plain_text() else output_schema.json_schema(),
            )
        )
        read_tokens = _tokens(system_instructions or "") + sum(_tokens(json.dumps(i, default=str)) for i in items)
        async for event in _Writer(self._settings.tokens_per_second, read_tokens).write(steps):
            yield event


@dataclass(slots=True)
class _Writer:
    """Streams the steps of one answer as events, at a given speed."""

    tokens_per_second: float
    read_tokens: int
    output: list[Any] = field(default_factory=list)
    written: int = 0
    events: int = 0

    async def write(self, steps: Sequence[Step]) -> AsyncIterator[TResponseStreamEvent]:
        for step in steps:
            match step:
                case Stall(seconds):
                    await asyncio.sleep(seconds)
                case Fail(error):
                    raise error
                case Say(text):
                    async for event in self._say(text):
                        yield event
                case Call():
                    async for event in self._call(step):
                        yield event
        yield ResponseCompletedEvent(
            response=self._response(), type="response.completed", sequence_number=self._number()
        )

    async def _say(self, text: str) -> AsyncIterator[TResponseStreamEvent]:
        index, id = len(self.output), new_id("msg")
        async for token in self._paced(text):
            yield ResponseTextDeltaEvent(
                type="response.output_text.delta",
                content_index=0,
                delta=token,
                item_id=id,
                logprobs=[],
                output_index=index,
                sequence_number=self._number(),
            )
        part = ResponseOutputText(type="output_text", text=text, annotations=[])
        message = ResponseOutputMessage(id=id, type="message", role="assistant", status="completed", content=[part])
        self.output.append(message)
        yield self._done(message, index)

    async def _call(self, step: Call) -> AsyncIterator[TResponseStreamEvent]:
        index, id, call_id = len(self.output), new_id("fc"), new_id("call")
        yield ResponseOutputItemAddedEvent(
            type="response.output_item.added",
            item=_call_item(id, call_id, step.tool, ""),
            output_index=index,
            sequence_number=self._number(),
        )
        async for token in self._paced(step.arguments):
            yield ResponseFunctionCallArgumentsDeltaEvent(
                type="response.function_call_arguments.delta",
                delta=token,
                item_id=id,
                output_index=index,
                sequence_number=self._number(),
            )
        call = _call_item(id, call_id, step.tool, step.arguments)
        self.output.append(call)
        yield self._done(call, index)

    async def _paced(self, text: str) -> AsyncIterator[str]:
        for token in _TOKEN.findall(text):
            self.written += 1
            if self.tokens_per_second > 0:
                await asyncio.sleep(1 / self.tokens_per_second)
            elif self.written % BREATH == 0:
                await asyncio.sleep(0)
            yield token

    def _done(self, item: Any, index: int) -> ResponseOutputItemDoneEvent:
        return ResponseOutputItemDoneEvent(
            type="response.output_item.done", item=item, output_index=index, sequence_number=self._number()
        )

    def _response(self) -> Response:
        return Response(
            id=new_id("resp"),
            created_at=0,
            model=NAME,
            object="response",
            output=self.output,
            tool_choice="auto",
            tools=[],
            parallel_tool_calls=True,
            status="completed",
            usage=ResponseUsage(
                input_tokens=self.read_tokens,
                output_tokens=self.written,
                total_tokens=self.read_tokens + self.written,
                input_tokens_details=InputTokensDetails(cached_tokens=0, cache_write_tokens=0),
                output_tokens_details=OutputTokensDetails(reasoning_tokens=0),
            ),
        )

    def _number(self) -> int:
        self.events += 1
        return self.events - 1


def _call_item(id: str, call_id: str, name: str, arguments: str) -> ResponseFunctionToolCall:
    return ResponseFunctionToolCall(
        id=id, type="function_call", call_id=call_id, name=name, arguments=arguments, status="completed"
    )


def _offer(tool: FunctionTool) -> ToolOffer:
    return ToolOffer(tool.name, tool.description, tool.params_json_schema)


def _tokens(text: str) -> int:
    """About as many as a real model would count."""
    return -(-len(text) // 4)

"""Models that are asked directly: they tell a listener what they say while they say it, and answer once.

The SDK's way is a stream of event objects, of which its Runner needs the last. Here a piece of text costs one call of a
method, and whoever stands between a model and the log (a journal, retries, a fallback) passes the listener on.
"""

import abc
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from agents import (
    AgentOutputSchemaBase,
    Handoff,
    Model,
    ModelResponse,
    ModelSettings,
    ModelTracing,
    Tool,
    TResponseInputItem,
)
from agents import Usage as SdkUsage
from agents.items import TResponseStreamEvent
from openai.types.responses import Response, ResponseCompletedEvent
from openai.types.responses.response_prompt_param import ResponsePromptParam

from dragoman.domain.events import DeltaKind


@dataclass(frozen=True, slots=True)
class Request:
    """The arguments of a model call, as the Runner passes them."""

    system_instructions: str | None
    input: str | list[TResponseInputItem]
    model_settings: ModelSettings
    tools: list[Tool]
    output_schema: AgentOutputSchemaBase | None
    handoffs: list[Handoff[Any, Any]]
    tracing: ModelTracing
    previous_response_id: str | None = None
    conversation_id: str | None = None
    prompt: ResponsePromptParam | None = None

    def with_headers(self, headers: Mapping[str, str]) -> "Request":
        """The same with these headers, where it says nothing else."""
        given = self.model_settings.extra_headers or {}
        return replace(self, model_settings=replace(self.model_settings, extra_headers={**headers, **given}))

    def stream_from(self, model: Model) -> AsyncIterator[TResponseStreamEvent]:
        return model.stream_response(
            self.system_instructions,
            self.input,
            self.model_settings,
            self.tools,
            self.output_schema,
            self.handoffs,
            self.tracing,
            previous_response_id=self.previous_response_id,
            conversation_id=self.conversation_id,
            prompt=self.prompt,
        )


class Listener(Protocol):
    """Hears an answer while it is being given. ``output`` says which of its items a piece belongs to."""

    def begin_call(self, output: int, call_id: str, tool: str) -> None:
        """A tool call; the pieces of its arguments follow."""
        ...

    def say(self, kind: DeltaKind, text: str, output: int) -> None: ...


class Deaf:
    """Listens to nobody."""

    def begin_call(self, output: int, call_id: str, tool: str) -> None: ...

    def say(self, kind: DeltaKind, text: str, output: int) -> None: ...


class DirectModel(Model):
    """Everything the SDK asks of a model follows from ``answer``."""

    @abc.abstractmethod
    async def answer(self, request: Request, listener: Listener) -> Response:
        """The finished answer, after everything in it was told to ``listener``. Failures are ``DragomanError``s.

        An answer that the endpoint cut short carries ``incomplete_details``.
        """

    async def get_response(self, *args: Any, **named: Any) -> ModelResponse:
        response = await self.answer(Request(*args, **named), Deaf())
        return ModelResponse(response.output, sdk_usage(response), response.id)

    async def stream_response(self, *args: Any, **named: Any) -> AsyncIterator[TResponseStreamEvent]:
        """The one event that the Runner needs."""
        response = await self.answer(Request(*args, **named), Deaf())
        yield ResponseCompletedEvent(response=response, type="response.completed", sequence_number=0)


def sdk_usage(response: Response) -> SdkUsage:
    usage = response.usage
    if usage is None:
        return SdkUsage(requests=1)
    return SdkUsage(
        requests=1,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        input_tokens_details=usage.input_tokens_details,
        output_tokens_details=usage.output_tokens_details,
    )

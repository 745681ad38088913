"""Models behind an OpenAI-compatible endpoint: ours, which are fast, or the SDK's own. One pool of connections each."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
from agents import Model, ModelProvider, OpenAIChatCompletionsModel, OpenAIResponsesModel
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import Response
from openai.types.responses.response import IncompleteDetails

from dragoman.domain.errors import ModelBroken, ModelRefused
from dragoman.providers.openai.agents.models.chat import ChatCompletionsModel
from dragoman.providers.openai.agents.models.responses import ResponsesModel
from dragoman.providers.openai.agents.models.transport import Wire
from dragoman.providers.openai.config import ModelEndpoint, TimeLimits


class EndpointModels(ModelProvider):
    """Every name is a model of this endpoint, spoken to with our own client."""

    def __init__(self, endpoint: ModelEndpoint, *, limits: TimeLimits) -> None:
        self._made = ResponsesModel if endpoint.spoken == "responses" else ChatCompletionsModel
        self._wire = Wire(endpoint, limits)

    def get_model(self, model_name: str | None) -> Model:
        return self._made(_checked(model_name), self._wire)

    async def aclose(self) -> None:
        await self._wire.aclose()


class SdkEndpointModels(ModelProvider):
    """The same with the SDK's models and its client."""

    def __init__(self, endpoint: ModelEndpoint, *, limits: TimeLimits) -> None:
        self._spoken = endpoint.spoken
        self._client = AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.api_key or "none",  # servers without keys do not read it; the client insists on one
            default_headers=endpoint.headers,
            default_query=endpoint.query,
            max_retries=0,  # whoever asks us knows better whether to ask again
            timeout=httpx2.Timeout(limits.silence, connect=limits.connect),
        )

    def get_model(self, model_name: str | None) -> Model:
        name = _checked(model_name)
        if self._spoken == "responses":
            return OpenAIResponsesModel(name, self._client)
        return WatchedChatModel(name, self._client)

    async def aclose(self) -> None:
        await self._client.close()


def _checked(model_name: str | None) -> str:
    if model_name is None:
        raise ModelRefused("No model is configured for this agent.")
    return model_name


class WatchedChatModel(OpenAIChatCompletionsModel):
    """The SDK's model, which takes any end of a stream for the end of an answer, watched for how the stream ends."""

    async def _fetch_response(self, *args: Any, **named: Any) -> Any:
        fetched = await super()._fetch_response(*args, **named)
        if not isinstance(fetched, tuple):
            return fetched
        response, stream = fetched
        return response, _Watched(response, stream)


class _Watched:
    """A stream of chunks that does not end well unless a finish reason was seen, and says when it was a lack of tokens."""

    def __init__(self, response: Response, stream: Any) -> None:
        self.response = stream.response  # the SDK looks for the request id here
        self._answer = response
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
        finished = False
        async for chunk in self._stream:
            for choice in chunk.choices or ():
                if choice.finish_reason is not None:
                    finished = True
                if choice.finish_reason == "length":
                    self._answer.incomplete_details = IncompleteDetails(reason="max_output_tokens")
                    choice.finish_reason = "stop"  # what was said is kept, even if it is nothing
            yield chunk
        if not finished:
            raise ModelBroken

    async def close(self) -> None:
        await self._stream.close()

"""Models of the SDK's kind, asked directly: its own, the demo model, and whatever an agent brings."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from agents import Model
from agents.items import TResponseOutputItem, TResponseStreamEvent
from openai.types.responses import Response, ResponseFunctionToolCall

from dragoman.domain.errors import ModelBroken
from dragoman.providers.openai.agents.models.direct import DirectModel, Listener, Request
from dragoman.providers.openai.agents.translate import ARGUMENTS_DELTA, DELTAS
from dragoman.providers.openai.errors import failure_called

_FINISHED = frozenset({"response.completed", "response.incomplete"})
_FAILED = frozenset({"response.failed", "error", "response.error"})


class SdkModel(DirectModel):
    """Asks ``inner``. Silence longer than ``silence`` seconds is a failure."""

    def __init__(self, inner: Model, *, silence: float) -> None:
        self._inner = inner
        self._silence = silence

    async def answer(self, request: Request, listener: Listener) -> Response:
        stream = cast(AsyncGenerator[TResponseStreamEvent, None], request.stream_from(self._inner))
        done: list[TResponseOutputItem] = []
        now = asyncio.get_running_loop().time
        async with asyncio.timeout(self._silence) as alarm, aclosing(stream) as events:
            async for event in events:
                alarm.reschedule(now() + self._silence)
                kind = getattr(event, "type", "")
                if kind in _FINISHED:
                    return _complete(event.response, done)  # type: ignore[union-attr]
                if kind in _FAILED:
                    raise failure_called(_failure_code(event))
                if kind == "response.output_item.done":
                    done.append(event.item)  # type: ignore[union-attr]
                else:
                    _tell(kind, event, listener)
        raise ModelBroken


def _tell(kind: str, event: Any, listener: Listener) -> None:
    if spoken := "arguments" if kind == ARGUMENTS_DELTA else DELTAS.get(kind):
        if event.delta:
            listener.say(spoken, event.delta, event.output_index)
    elif kind == "response.output_item.added" and isinstance(event.item, ResponseFunctionToolCall):
        listener.begin_call(event.output_index, event.item.call_id, event.item.name)


def _complete(response: Response, done: list[TResponseOutputItem]) -> Response:
    """Some endpoints leave the output out of their last event: it was in the ones before."""
    return response if response.output or not done else response.model_copy(update={"output": done})


def _failure_code(event: Any) -> str | None:
    error = getattr(getattr(event, "response", None), "error", None) or event
    return getattr(error, "code", None)

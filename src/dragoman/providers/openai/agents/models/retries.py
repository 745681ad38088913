"""A model that asks again where that is safe: as long as nobody has heard a word of the answer."""

import asyncio
import random

from openai.types.responses import Response

from dragoman.domain.errors import ModelError, ModelRateLimited, ModelUnavailable
from dragoman.domain.events import DeltaKind
from dragoman.providers.openai.agents.models.direct import DirectModel, Listener, Request

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
PATIENCE = 60.0
"""An endpoint that wants to be left alone for longer than this, in seconds, is not asked again."""


class Retrying(DirectModel):
    def __init__(self, inner: DirectModel, model: str, *, times: int) -> None:
        self.model = model
        self._inner = inner
        self._times = times

    async def answer(self, request: Request, listener: Listener) -> Response:
        for tried in range(self._times):
            heard = _Watched(listener)
            try:
                return await self._inner.answer(request, heard)
            except (ModelRateLimited, ModelUnavailable) as error:
                if heard.begun or (error.retry_after or 0) > PATIENCE:
                    raise
                await asyncio.sleep(_pause(tried, error))
        return await self._inner.answer(request, listener)


class _Watched:
    """Passes everything on, and notices whether there was anything."""

    __slots__ = ("_listener", "begun")

    def __init__(self, listener: Listener) -> None:
        self.begun = False
        self._listener = listener

    def begin_call(self, output: int, call_id: str, tool: str) -> None:
        self.begun = True
        self._listener.begin_call(output, call_id, tool)

    def say(self, kind: DeltaKind, text: str, output: int) -> None:
        self.begun = True
        self._listener.say(kind, text, output)


def _pause(tried: int, error: ModelError) -> float:
    """What the endpoint asked for; else twice as long each time, spread out so that many do not come back at once."""
    if error.retry_after is not None:
        return error.retry_after
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**tried) * random.uniform(0.75, 1.0)  # noqa: S311

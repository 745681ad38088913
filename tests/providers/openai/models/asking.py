"""Asking a model without a Runner: one request, one listener that keeps what it hears."""

import contextlib
from dataclasses import dataclass, field

from agents import ModelSettings, ModelTracing

from dragoman.providers.openai.agents.models.direct import DirectModel, Request
from dragoman.providers.openai.agents.models.endpoint import EndpointModels, SdkEndpointModels
from dragoman.providers.openai.agents.models.sdk import SdkModel
from dragoman.providers.openai.config import TimeLimits

CLIENTS = {"fast": EndpointModels, "sdk": SdkEndpointModels}


@dataclass
class Ear:
    """What was said, piece by piece."""

    pieces: list = field(default_factory=list)
    calls: dict = field(default_factory=dict)

    def begin_call(self, output, call_id, tool):
        self.calls[output] = (call_id, tool)

    def say(self, kind, text, output):
        self.pieces.append((kind, text, output))

    @property
    def text(self):
        return "".join(text for kind, text, _ in self.pieces if kind == "text")


def request(given="Hi", settings=None, **named):
    return Request(
        named.pop("system_instructions", "Be kind."),
        given,
        settings or ModelSettings(),
        named.pop("tools", []),
        named.pop("output_schema", None),
        named.pop("handoffs", []),
        ModelTracing.DISABLED,
        **named,
    )


@contextlib.asynccontextmanager
async def model_at(endpoint, *, limits=None):
    models = CLIENTS[endpoint.client](endpoint, limits=limits or TimeLimits(silence=5.0))
    model = models.get_model("m")
    try:
        yield model if isinstance(model, DirectModel) else SdkModel(model, silence=5.0)
    finally:
        await models.aclose()

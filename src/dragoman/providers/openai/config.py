"""What the provider is told: where models are, and how the demo model behaves. Importing this costs nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

Dialect = Literal["chat", "responses"]
Client = Literal["fast", "sdk"]

OPENAI_BASE_URL = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long an endpoint may take, in seconds."""

    silence: float = 60.0  # with nothing said at all, from the request on
    connect: float = 5.0
    first_token: float | None = None  # until there is something to show
    call: float | None = 1800.0  # from the request to the end of the answer


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """An OpenAI-compatible server. OpenAI's own is spoken to in Responses, any other in Chat Completions, unless said."""

    base_url: str = OPENAI_BASE_URL
    api_key: str = field(default="", repr=False)
    dialect: Dialect | None = None
    headers: dict[str, str] = field(default_factory=dict, repr=False)  # one of them may be a key
    query: dict[str, str] = field(default_factory=dict)
    client: Client = "fast"  # ours, or the SDK's own
    limits: TimeLimits | None = None  # unset: the provider's
    name: str = "openai"
    models: tuple[str, ...] = ()  # patterns of those it has; empty: it may have any
    retries: int | None = None  # unset: the provider's
    max_concurrency: int | None = None  # requests at once; more wait

    @property
    def spoken(self) -> Dialect:
        if self.dialect is not None:
            return self.dialect
        return "responses" if self.base_url.rstrip("/") == OPENAI_BASE_URL else "chat"


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """The built-in model that answers when there is no endpoint."""

    tokens_per_second: float = 60.0  # 0: as fast as possible


def place_of(model: str, endpoints: Sequence[ModelEndpoint]) -> tuple[ModelEndpoint, str] | None:
    """Where a model is, and what it is called there.

    ``endpoint:model`` says so itself. Any other name belongs to the first endpoint that lists it, else to the first that
    lists none.
    """
    prefix, _, rest = model.partition(":")
    for endpoint in endpoints:
        if endpoint.name == prefix and rest:
            return endpoint, rest
    for endpoint in endpoints:
        if any(fnmatchcase(model, pattern) for pattern in endpoint.models):
            return endpoint, model
    return next(((endpoint, model) for endpoint in endpoints if not endpoint.models), None)

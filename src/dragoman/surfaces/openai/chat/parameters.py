"""What a request asks for. Each parameter is honoured or refused; those that cannot change an answer are only accepted."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval, Len
from fastapi.exceptions import RequestValidationError
from pydantic import ConfigDict, TypeAdapter, ValidationError

from dragoman.domain.errors import Invalid
from dragoman.domain.items import Content
from dragoman.domain.runs import ModelChoices, OutputFormat, RunOptions
from dragoman.domain.text import storable_json
from dragoman.domain.tools import DeclaredTool
from dragoman.surfaces.openai.bodies import STRICT, Metadata
from dragoman.surfaces.openai.chat.messages import items_of
from dragoman.surfaces.openai.chat.wire import Asked

Json = dict[str, Any]

HARMLESS = frozenset(
    {
        *("user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
        *("service_tier", "prediction"),
    }
)
"""They say who asks, or how to be quick or cheap; the answer is the same without."""

ONLY: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "store": (False,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "modalities": (["text"],),
    "functions": ([],),
    "function_call": ("none",),
    "audio": (),
    "web_search_options": (),
    "moderation": (),
}
"""Known here with these values, which change nothing; with any other they are refused."""


@dataclass(frozen=True, slots=True)
class StreamOptions:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    include_usage: bool | None = None
    include_obfuscation: bool | None = None  # only pads what is sent


@dataclass(frozen=True, slots=True)
class FunctionBody:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: str
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None

    def to_domain(self) -> DeclaredTool:
        return DeclaredTool(self.name, self.description or "", self.parameters or EMPTY_OBJECT, bool(self.strict))


EMPTY_OBJECT: Json = {"type": "object", "properties": {}}


@dataclass(frozen=True, slots=True)
class ToolBody:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    type: Literal["function"]
    function: FunctionBody


@dataclass(frozen=True, slots=True)
class NamedFunction:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: str


@dataclass(frozen=True, slots=True)
class NamedTool:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    type: Literal["function"]
    function: NamedFunction


@dataclass(frozen=True, slots=True)
class SchemaBody:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    name: Annotated[str, Len(1, 64)]
    schema: Json
    description: str | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class FormatBody:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaBody | None = None

    def to_domain(self) -> OutputFormat | None:
        if self.type == "text":
            return None
        if self.type == "json_object":
            return OutputFormat({"type": "object"})
        if self.json_schema is None:
            raise Invalid("A format of type json_schema has a json_schema.", field="response_format.json_schema")
        return OutputFormat(self.json_schema.schema, self.json_schema.name, bool(self.json_schema.strict))


MAX_TOKENS = 2**31 - 1
MAX_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ChatBody:
    """What is honoured."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    model: Annotated[str, Len(1, 200)]
    messages: list[Any]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: list[ToolBody] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: FormatBody | None = None
    temperature: Annotated[float, Interval(ge=0, le=2)] | None = None
    top_p: Annotated[float, Interval(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[float, Interval(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Interval(ge=-2, le=2)] | None = None
    max_tokens: Annotated[int, Interval(ge=1, le=MAX_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Interval(ge=1, le=MAX_TOKENS)] | None = None
    stop: Annotated[str, Len(1)] | Annotated[list[Annotated[str, Len(1)]], Len(1, 4)] | None = None
    seed: Annotated[int, Interval(ge=-MAX_SEED, le=MAX_SEED)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    metadata: Metadata | None = None


_BODY = TypeAdapter(ChatBody)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    input: list[Content]
    stream: bool
    asked: Asked
    options: RunOptions


def read(body: Json) -> ChatRequest:
    """``Invalid`` or ``RequestValidationError``, with the parameter that is wrong."""
    given = _honoured(storable_json(body))
    try:
        chat = _BODY.validate_python(given)
    except ValidationError as error:
        wrong = [{**found, "loc": ("body", *found["loc"])} for found in error.errors()]
        raise RequestValidationError(wrong) from None
    tools = tuple(tool.function.to_domain() for tool in chat.tools or ())
    output = chat.response_format.to_domain() if chat.response_format else None
    asked = Asked(
        model=chat.model,
        tools=frozenset(tool.name for tool in tools),
        one_document=output is not None,
        include_usage=bool(chat.stream_options and chat.stream_options.include_usage),
    )
    options = RunOptions(
        metadata=chat.metadata or {},
        tools=tools,
        output=output,
        choices=_choices(chat),
    )
    return ChatRequest(items_of(chat.messages), bool(chat.stream), asked, options)


def _honoured(body: Json) -> Json:
    """Without what changes nothing. ``null`` is the default everywhere on this wire."""
    given = {name: value for name, value in body.items() if value is not None and name not in HARMLESS}
    for name in ONLY.keys() & given.keys():
        if not any(given[name] == value and type(given[name]) is type(value) for value in ONLY[name]):
            raise Invalid(f"{name} is not supported here{_unless(ONLY[name])}.", field=name)
        del given[name]
    return given


def _unless(values: tuple[Any, ...]) -> str:
    return f", other than {values[0]!r}" if values else ""


def _choices(chat: ChatBody) -> ModelChoices | None:
    choice = chat.tool_choice.function.name if isinstance(chat.tool_choice, NamedTool) else chat.tool_choice
    choices = ModelChoices(
        temperature=chat.temperature,
        top_p=chat.top_p,
        frequency_penalty=chat.frequency_penalty,
        presence_penalty=chat.presence_penalty,
        max_output_tokens=chat.max_completion_tokens or chat.max_tokens,
        stop=(chat.stop,) if isinstance(chat.stop, str) else tuple(chat.stop) if chat.stop else None,
        seed=chat.seed,
        reasoning_effort=chat.reasoning_effort,
        verbosity=chat.verbosity,
        parallel_tool_calls=chat.parallel_tool_calls,
        tool_choice=choice,
    )
    return None if choices == ModelChoices() else choices

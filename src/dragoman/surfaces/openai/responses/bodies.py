"""What a request for a response may say, and what it means to a run. What cannot be honoured is refused by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval, Len, MaxLen
from pydantic import ConfigDict

from dragoman.domain.errors import Invalid
from dragoman.domain.items import Content
from dragoman.domain.runs import ModelChoices, OutputFormat, RunOptions
from dragoman.domain.text import storable, storable_json
from dragoman.domain.tools import DeclaredTool
from dragoman.surfaces.openai.responses.compaction import expanded

STRICT = ConfigDict(extra="forbid")
Json = dict[str, Any]

_PLAIN = ("auto", "none", "required")
_PARTS = {
    "input_text": ("text",),
    "output_text": ("text",),
    "refusal": ("refusal",),
    "input_image": ("image_url",),
    "input_file": ("file_data",),
}
"""Parts of a message, and what each must have: there are no stored files here to be named by an id."""

_UNKNOWN_INCLUDES = frozenset({"message.output_text.logprobs"})


@dataclass(frozen=True, slots=True)
class ConversationBody:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    id: str


@dataclass(frozen=True, slots=True)
class ReasoningBody:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    effort: str | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None


@dataclass(frozen=True, slots=True)
class TextBody:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    format: Json | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


@dataclass(frozen=True, slots=True)
class InputBody:
    """What both a response and a count of its tokens are made of."""

    model: Annotated[str, Len(1, 200)]
    input: Annotated[str, Len(1)] | Annotated[list[Content], Len(1, 1000)]
    instructions: str | None = None
    previous_response_id: Annotated[str, Len(1, 100)] | None = None
    conversation: str | ConversationBody | None = None
    tools: Annotated[list[Json], MaxLen(128)] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    text: TextBody | None = None
    reasoning: ReasoningBody | None = None
    truncation: Literal["auto", "disabled"] | None = None

    @property
    def conversation_name(self) -> str | None:
        given = self.conversation
        return given.id if isinstance(given, ConversationBody) else given


@dataclass(frozen=True, slots=True)
class ResponseBody(InputBody):
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    metadata: Annotated[dict[str, Annotated[str, MaxLen(512)]], MaxLen(16)] | None = None
    max_output_tokens: Annotated[int, Interval(ge=1)] | None = None
    temperature: Annotated[float, Interval(ge=0, le=2)] | None = None
    top_p: Annotated[float, Interval(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Interval(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Interval(ge=-2, le=2)] | None = None
    include: list[str] | None = None
    # These change nothing about the answer here.
    stream_options: Json | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: Json | None = None
    service_tier: Literal["auto", "default"] | None = None
    # These would, and are not there: only a value that asks for nothing is taken.
    top_logprobs: Literal[0] | None = None
    max_tool_calls: None = None
    prompt: None = None
    context_management: None = None
    moderation: None = None

    def items(self) -> str | list[Content]:
        return checked_items(self.input)

    def options(self) -> RunOptions:
        """Without what only the route knows: which model, and where in which conversation."""
        if self.include and (unknown := _UNKNOWN_INCLUDES.intersection(self.include)):
            raise Invalid(f"This server cannot include {', '.join(sorted(unknown))}.", field="include")
        return RunOptions(
            background=bool(self.background),
            metadata=storable_json(self.metadata or {}),
            instructions=storable(self.instructions) if self.instructions else None,
            tools=tuple(_tool(i, tool) for i, tool in enumerate(self.tools or ())),
            output=output_format(self.text.format if self.text else None),
            choices=self._choices(),
            own_answer=True,
            echo=storable_json(self._echo()),
        )

    def _choices(self) -> ModelChoices | None:
        choices = ModelChoices(
            temperature=self.temperature,
            top_p=self.top_p,
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            max_output_tokens=self.max_output_tokens,
            reasoning_effort=self.reasoning.effort if self.reasoning else None,
            reasoning_summary=self.reasoning.summary if self.reasoning else None,
            verbosity=self.text.verbosity if self.text else None,
            truncation=self.truncation,
            parallel_tool_calls=self.parallel_tool_calls,
            tool_choice=_tool_choice(self.tool_choice),
        )
        return None if choices == ModelChoices() else choices

    def _echo(self) -> Json:
        """What the response says again, where it is not said by the run."""
        told: Json = {name: value for name in ECHOED if (value := getattr(self, name)) is not None}
        told["store"] = self.store is not False
        if self.reasoning:
            told["reasoning"] = {"effort": self.reasoning.effort, "summary": self.reasoning.summary}
        if self.text:
            told["text"] = {"format": self.text.format or {"type": "text"}}
            if self.text.verbosity:
                told["text"]["verbosity"] = self.text.verbosity
        return told


ECHOED = (
    *("model", "previous_response_id", "tool_choice", "parallel_tool_calls", "truncation", "max_output_tokens"),
    *("temperature", "top_p", "presence_penalty", "frequency_penalty", "user", "safety_identifier", "prompt_cache_key"),
)


@dataclass(frozen=True, slots=True)
class CountBody(InputBody):
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    model: Annotated[str, Len(1, 200)] | None = None  # type: ignore[assignment]
    input: Annotated[str, Len(1)] | Annotated[list[Content], Len(1, 1000)] | None = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class CompactBody:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    model: Annotated[str, Len(1, 200)]
    input: Annotated[str, Len(1)] | Annotated[list[Content], Len(1, 1000)] | None = None
    instructions: str | None = None
    previous_response_id: Annotated[str, Len(1, 100)] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: Json | None = None
    service_tier: Literal["auto", "default"] | None = None


# Parts of it ---------------------------------------------------------------------------------------------------------


def checked_items(given: str | list[Content]) -> str | list[Content]:
    """The input, with the parts of messages looked through; the rest is the run's to check."""
    if isinstance(given, str):
        return given
    items = [expanded(i, item) for i, item in enumerate(given)]
    for i, item in enumerate(items):
        content = item.get("content")
        if isinstance(content, list) and (item.get("type") or "message") == "message":
            for j, part in enumerate(content):
                _check_part(part, f"input.{i}.content.{j}")
    return items


def _check_part(part: Any, where: str) -> None:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if kind not in _PARTS:
        raise Invalid(f"A part of a message is one of {', '.join(_PARTS)}.", field=f"{where}.type")
    for name in _PARTS[kind]:
        if not isinstance(part.get(name), str):
            raise Invalid(f"A part of the type {kind} has {name} here, which is text.", field=f"{where}.{name}")


def _tool(index: int, tool: Json) -> DeclaredTool:
    where = f"tools.{index}"
    if tool.get("type") != "function":
        raise Invalid("A declared tool is a function; the other tools are the agent's.", field=f"{where}.type")
    name, parameters = tool.get("name"), tool.get("parameters")
    if not isinstance(name, str):
        raise Invalid("A function has a name.", field=f"{where}.name")
    if not isinstance(parameters, dict | None):
        raise Invalid("The parameters of a function are a JSON schema.", field=f"{where}.parameters")
    description = tool.get("description")
    return DeclaredTool(
        name,
        storable(description) if isinstance(description, str) else "",
        storable_json(parameters or {"type": "object", "properties": {}}),
        strict=bool(tool.get("strict")),
    )


def _tool_choice(given: str | Json | None) -> str | None:
    match given:
        case None:
            return None
        case str() if given in _PLAIN:
            return given
        case {"type": "function", "name": str(name)}:
            return name
    raise Invalid("A tool_choice is auto, none, required or a function.", field="tool_choice")


def output_format(given: Json | None) -> OutputFormat | None:
    match given:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return OutputFormat({"type": "object"})
        case {"type": "json_schema", "name": str(name), "schema": dict(schema)}:
            return OutputFormat(storable_json(schema), name, strict=bool(given.get("strict")))
    raise Invalid("A format is text, json_object, or json_schema with name and schema.", field="text.format")

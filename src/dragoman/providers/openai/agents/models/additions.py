"""What a run's caller adds to the requests of its agents: instructions, functions of the caller's own, a form of the
answer, settings. Nested agents are asked as they were made.

The Runner knows nothing of it: the additions are put into the request on its way to the model, and calls of the caller's
functions never reach the Runner, which could not answer them.
"""

import json
from dataclasses import fields, replace
from typing import Any

from agents import AgentOutputSchemaBase, FunctionTool, ModelSettings
from agents.tool_context import ToolContext
from openai.types.shared import Reasoning

from dragoman.domain.errors import Invalid
from dragoman.domain.runs import ModelChoices, OutputFormat, RunOptions
from dragoman.domain.tools import DeclaredTool
from dragoman.providers.openai.agents.models.direct import Request

_SETTINGS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "max_output_tokens": "max_tokens",
    "verbosity": "verbosity",
    "truncation": "truncation",
    "parallel_tool_calls": "parallel_tool_calls",
}
"""What a choice is called in the SDK's settings."""
_EXTRA = ("stop", "seed")
"""What they do not know. An endpoint that does not, either, refuses it."""


def with_additions(request: Request, options: RunOptions, *, first: bool) -> Request:
    """The request with all of it. A tool that must be called must be called in the ``first`` one of a run only."""
    if not (options.instructions or options.tools or options.output or options.choices):
        return request
    _check_names(request, options.handed_back)
    return replace(
        request,
        system_instructions="\n\n".join(filter(None, (request.system_instructions, options.instructions))) or None,
        tools=[*request.tools, *map(_function_tool, options.tools)],
        output_schema=request.output_schema if options.output is None else _OutputSchema(options.output),
        model_settings=request.model_settings.resolve(settings_of(options.choices, first=first)),
    )


def _check_names(request: Request, declared: frozenset[str]) -> None:
    own = {tool.name for tool in request.tools} | {handoff.tool_name for handoff in request.handoffs}
    for name in sorted(own & declared):
        raise Invalid(f"There is a tool {name!r} already.", field="tools")


def settings_of(choices: ModelChoices | None, *, first: bool) -> ModelSettings:
    """Choices as the SDK's settings."""
    if choices is None:
        return ModelSettings()
    chosen = {_SETTINGS[f.name]: getattr(choices, f.name) for f in fields(choices) if f.name in _SETTINGS}
    if elsewhere := {name: value for name in _EXTRA if (value := getattr(choices, name)) is not None}:
        chosen["extra_args"] = elsewhere
    thinking: dict[str, Any] = {"effort": choices.reasoning_effort, "summary": choices.reasoning_summary}
    if any(thinking.values()):
        chosen["reasoning"] = Reasoning(**{name: value for name, value in thinking.items() if value})
    if first or choices.tool_choice == "none":
        chosen["tool_choice"] = choices.tool_choice
    return ModelSettings(**chosen)


def _function_tool(declared: DeclaredTool) -> FunctionTool:
    tool = FunctionTool(
        name=declared.name,
        description=declared.description,
        params_json_schema=declared.parameters or {"type": "object", "properties": {}},
        on_invoke_tool=_not_ours,
        strict_json_schema=False,  # as it is: the caller knows what a strict schema looks like
    )
    tool.strict_json_schema = declared.strict
    return tool


async def _not_ours(context: ToolContext[Any], arguments: str) -> Any:  # noqa: ARG001 - as the SDK calls it
    raise AssertionError("a call of the caller's function never reaches the Runner")


class _OutputSchema(AgentOutputSchemaBase):
    """For the model. The Runner, which is not asked for it, takes the answer for text."""

    def __init__(self, output: OutputFormat) -> None:
        self._output = output

    def is_plain_text(self) -> bool:
        return False

    def name(self) -> str:
        return self._output.name

    def json_schema(self) -> dict[str, Any]:
        return self._output.schema

    def is_strict_json_schema(self) -> bool:
        return self._output.strict

    def validate_json(self, json_str: str) -> Any:
        return json.loads(json_str)

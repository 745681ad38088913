"""Tools as the SDK invokes them: ours made into its kind, and any of its kind prepared for a run that is recorded."""

import asyncio
import copy
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from agents import (
    Agent,
    FunctionTool,
    ModelBehaviorError,
    RunContextWrapper,
    ToolErrorFormatterArgs,
    default_tool_error_function,
)
from agents.tool import resolve_function_tool_failure_error_function, set_function_tool_failure_error_function
from agents.tool_context import ToolContext

from dragoman.application.tools import Asking, Call, Workbench, refusal
from dragoman.domain.tools import Tool, ToolError, cut, everybody
from dragoman.providers.openai.agents import translate
from dragoman.providers.openai.agents.current import Play, current_path, current_play, inside_call

logger = logging.getLogger(__name__)

Invoke = Callable[[ToolContext[Any], str], Awaitable[Any]]
NeedsApproval = Callable[[RunContextWrapper[Any], dict[str, Any], str], Awaitable[bool]]
Explain = Callable[[RunContextWrapper[Any], Exception], Any]

WRONG_ARGUMENTS = "The arguments do not fit the tool's schema. Correct them and call it again."


def function_tool_of(tool: Tool, bench: Workbench) -> FunctionTool:
    """One of our tools as a ``FunctionTool``."""

    async def invoke(context: ToolContext[Any], arguments: str) -> str:
        play = current_play()
        assert play is not None, "a prepared agent is played by its runtime only"
        outer, _, _ = current_path().rpartition("/")
        agent = play.key_of(context.agent) if isinstance(context.agent, Agent) else play.speaking
        call = Call(context.tool_call_id, tool, arguments, agent, play.turn, play.recorder, outer)
        result = await bench.use(call)
        if result.failed:
            note_failure(context.tool_call_id)
        return result.output

    def may_be_seen(*_: Any) -> bool:
        play = current_play()
        return play is not None and tool.visible_to(play.turn.principal)

    return FunctionTool(
        name=tool.name,
        description=tool.description,
        params_json_schema=tool.parameters,
        on_invoke_tool=invoke,
        strict_json_schema=tool.strict,
        is_enabled=True if tool.visible_to is everybody else may_be_seen,
    )


def prepared(tool: FunctionTool, bench: Workbench) -> FunctionTool:
    """A copy of a tool that knows its path, keeps its answer within bounds, and says when it is a failure."""
    twin = copy.copy(tool)
    if twin.output_json_schema is None:  # those with one ask the formatter of the run
        set_function_tool_failure_error_function(twin, explained(resolve_function_tool_failure_error_function(twin)))
    twin.on_invoke_tool = _inside_its_path(twin.on_invoke_tool)
    if tool.needs_approval is not False or bench.guards(tool.name):
        twin.needs_approval = _waits(tool.name, bench, wanted=tool.needs_approval)
    return twin


def prepared_of(tool: Tool, bench: Workbench) -> FunctionTool:
    """The same of one of our tools, which the workbench keeps within bounds."""
    made = function_tool_of(tool, bench)
    made.on_invoke_tool = _inside_its_path(made.on_invoke_tool, bounded=True)
    if tool.needs_approval is not False or bench.guards(tool.name):
        made.needs_approval = _waits(tool.name, bench, tool=tool)
    return made


def _waits(
    name: str, bench: Workbench, *, wanted: bool | NeedsApproval = False, tool: Tool | None = None
) -> NeedsApproval:
    """Whether a call waits for a person, as the SDK asks; more than once of the same call. ``wanted`` is what a tool of its
    own kind says."""

    async def waits(context: RunContextWrapper[Any], arguments: dict[str, Any], call_id: str) -> bool:
        play = current_play()
        call = play.calls.get(call_id) if play else None
        if play is None or call is None or call_id in play.unreadable:
            return False
        if call_id in play.waiting:
            return True
        needed = await wanted(context, arguments, call_id) if callable(wanted) else wanted
        asking = Asking(
            call_id, name, arguments, call.agent, play.turn, play.recorder, call.path, tool=tool, wanted=needed
        )
        if await bench.must_wait(asking):
            play.waiting.add(call_id)
            return True
        return False

    return waits


def explained(explain_failure: Explain | None) -> Explain | None:
    """A failure policy that also notes the failure. ``None``, which lets a failure end the run, stays."""
    if explain_failure is default_tool_error_function:
        return explain
    return None if explain_failure is None else _noted(explain_failure)


def explain(context: RunContextWrapper[Any], error: Exception) -> str:
    """What a model is told about a failure of a tool. A ``ToolError`` speaks for itself; a bug is ours to read in the log."""
    assert isinstance(context, ToolContext)
    note_failure(context.tool_call_id)
    return _told(context.tool_name, error) or default_tool_error_function(context, error)


def explain_to_runner(failure: ToolErrorFormatterArgs[Any]) -> str | None:
    """The same where the SDK asks: for tools that do not exist, or with a schema of their output."""
    note_failure(failure.call_id)
    return None if failure.error is None else _told(failure.tool_name, failure.error)


def note_failure(call_id: str) -> None:
    if play := current_play():
        play.failed.add(call_id)


def _told(tool: str, error: Exception) -> str | None:
    play = current_play()
    if play is not None and play.over:
        return None
    if isinstance(error, ToolError):
        return str(error)
    if isinstance(error, ModelBehaviorError):
        return WRONG_ARGUMENTS
    logger.error("the tool %s failed", tool, exc_info=error)
    return None


def _noted(explain_failure: Explain) -> Explain:
    async def explain_and_note(context: RunContextWrapper[Any], error: Exception) -> Any:
        assert isinstance(context, ToolContext)
        note_failure(context.tool_call_id)
        told = explain_failure(context, error)
        return await told if inspect.isawaitable(told) else told

    return explain_and_note


def _not_made(play: Play, call_id: str) -> str | None:
    """Why a call is not made, as the model is told."""
    if call_id in play.unreadable:
        return WRONG_ARGUMENTS
    decided = play.turn.journal.decisions.get(call_id)
    refused = refusal(decided) if decided else None
    return refused.output if refused else None


def settled(play: Play, call_id: str) -> bool:
    """Whether a call is answered without being made: it has been, or is not to be."""
    return play.turn.journal.output(call_id) is not None or _not_made(play, call_id) is not None


def _inside_its_path(invoke: Invoke, *, bounded: bool = False) -> Invoke:
    async def invoke_inside(context: ToolContext[Any], arguments: str) -> Any:
        play = current_play()
        if play is None:
            return await invoke(context, arguments)
        if earlier := play.turn.journal.output(context.tool_call_id):
            return translate.returned(earlier.item["output"])
        if not_made := _not_made(play, context.tool_call_id):
            note_failure(context.tool_call_id)
            return not_made
        with inside_call(play, context.tool_call_id):
            try:
                await play.turn.held()
                result = await invoke(context, arguments)
            except asyncio.CancelledError:  # its time is over, or the run's
                play.failed.add(context.tool_call_id)
                raise
        return result if bounded or not isinstance(result, str) else cut(result, play.output_limit)

    return invoke_inside

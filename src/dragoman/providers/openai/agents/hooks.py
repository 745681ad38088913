"""Tools and hand-offs as they happen: the Runner's own stream tells only when all of a turn have ended."""

from typing import Any

from agents import Agent, ItemHelpers, RunContextWrapper, RunHooks, Tool
from agents.tool_context import ToolContext

from dragoman.domain.events import Progress
from dragoman.providers.openai.agents.current import current_path, current_play
from dragoman.providers.openai.agents.tools import settled


class PlayHooks(RunHooks[Any]):
    """Writes to the run it is called in; the same object serves all."""

    async def on_tool_start(self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Tool) -> None:  # noqa: ARG002
        play = current_play()
        if play and not (isinstance(context, ToolContext) and settled(play, context.tool_call_id)):
            play.recorder.show(Progress(tool.name, "started", path=current_path()))

    async def on_tool_end(
        self,
        context: RunContextWrapper[Any],
        agent: Agent[Any],  # noqa: ARG002
        tool: Tool,  # noqa: ARG002
        result: object,
    ) -> None:
        play = current_play()
        if play and isinstance(context, ToolContext) and context.tool_call is not None:
            await play.record_output(ItemHelpers.tool_call_output_item(context.tool_call, result))

    async def on_handoff(
        self,
        context: RunContextWrapper[Any],  # noqa: ARG002
        from_agent: Agent[Any],  # noqa: ARG002
        to_agent: Agent[Any],
    ) -> None:
        if play := current_play():
            await play.record_handoff(to_agent, current_path())


class BothHooks(RunHooks[Any]):
    """Ours and those a nested run was started with. Ours come first: what they record must not depend on the others."""

    def __init__(self, ours: RunHooks[Any], theirs: RunHooks[Any]) -> None:
        self._all = (ours, theirs)

    async def on_llm_start(self, *args: Any, **named: Any) -> None:
        for hooks in self._all:
            await hooks.on_llm_start(*args, **named)

    async def on_llm_end(self, *args: Any, **named: Any) -> None:
        for hooks in self._all:
            await hooks.on_llm_end(*args, **named)

    async def on_agent_start(self, *args: Any, **named: Any) -> None:
        for hooks in self._all:
            await hooks.on_agent_start(*args, **named)

    async def on_agent_end(self, *args: Any, **named: Any) -> None:
        for hooks in self._all:
            await hooks.on_agent_end(*args, **named)

    async def on_handoff(self, *args: Any, **named: Any) -> None:
        for hooks in self._all:
            await hooks.on_handoff(*args, **named)

    async def on_tool_start(self, *args: Any, **named: Any) -> None:
        for hooks in self._all:
            await hooks.on_tool_start(*args, **named)

    async def on_tool_end(self, *args: Any, **named: Any) -> None:
        for hooks in self._all:
            await hooks.on_tool_end(*args, **named)

"""Runs inside runs: an agent used as a tool, or a tool that calls ``Runner.run``.

The SDK sends them to the process's default runner. Ours gives the prepared clone in place of the agent and records the run
under the path of the tool call around it. Outside of a run that we play, it changes nothing.
"""

from dataclasses import replace
from typing import Any

from agents import Agent, RunConfig, RunResult, RunResultStreaming
from agents.run import AgentRunner, get_default_agent_runner, set_default_agent_runner

from dragoman.providers.openai.agents.current import Play, current_play
from dragoman.providers.openai.agents.hooks import BothHooks


class NestedRunner(AgentRunner):
    def __init__(self, outside: AgentRunner) -> None:
        self._outside = outside

    async def run(self, starting_agent: Agent[Any], input: Any, **options: Any) -> RunResult:
        play = current_play()
        if play is None:
            return await self._outside.run(starting_agent, input, **options)
        return await super().run(play.stand_in(starting_agent), input, **_recorded(play, options))

    def run_sync(self, starting_agent: Agent[Any], input: Any, **options: Any) -> RunResult:
        return self._outside.run_sync(starting_agent, input, **options)

    def run_streamed(self, starting_agent: Agent[Any], input: Any, **options: Any) -> RunResultStreaming:
        play = current_play()
        if play is None:
            return self._outside.run_streamed(starting_agent, input, **options)
        return super().run_streamed(play.stand_in(starting_agent), input, **_recorded(play, options))


def install() -> None:
    """Make it the default runner, once per process, before whichever was there."""
    runner = get_default_agent_runner()
    if not isinstance(runner, NestedRunner):
        set_default_agent_runner(NestedRunner(runner))


def _recorded(play: Play, options: dict[str, Any]) -> dict[str, Any]:
    hooks, config = options.get("hooks"), options.get("run_config")
    return {
        **options,
        "hooks": BothHooks(play.hooks, hooks) if hooks is not None else play.hooks,
        "run_config": _config(play, config),
    }


def _config(play: Play, theirs: RunConfig | dict[str, Any] | None) -> RunConfig:
    """Their choices, with our models and without tracing."""
    if theirs is None or theirs is play.config:
        return play.config
    if isinstance(theirs, dict):
        theirs = RunConfig(**theirs)
    ours = play.config
    return replace(
        theirs,
        model=None if theirs.model is None else play.model_for(theirs.model),
        model_provider=ours.model_provider,
        tracing_disabled=True,
        tool_not_found_behavior=ours.tool_not_found_behavior,
        tool_error_formatter=theirs.tool_error_formatter or ours.tool_error_formatter,
    )

"""The agents of the provider, by key: specifications made into SDK agents, SDK agents as they are, and a card for each."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from agents import Agent, FunctionTool, Handoff, RunContextWrapper, Tool

from dragoman.domain.agents import AgentCard, AgentSpec, ToolCard, card_of, key_from
from dragoman.domain.errors import Invalid
from dragoman.domain.runs import ModelChoices
from dragoman.domain.tools import ApprovalNeed
from dragoman.domain.tools import Tool as OurTool
from dragoman.ports.tools import ToolRegistry
from dragoman.providers.openai.agents.answers import answer_schema
from dragoman.providers.openai.agents.current import current_play
from dragoman.providers.openai.agents.models.additions import settings_of

Declared = Agent[Any] | AgentSpec


def by_key(agents: Iterable[Declared]) -> dict[str, Declared]:
    """Agents under the keys that their specifications or names give them."""
    keyed: dict[str, Declared] = {}
    for agent in agents:
        key = agent.key if isinstance(agent, AgentSpec) else key_from(agent.name)
        if keyed.setdefault(key, agent) is not agent:
            raise Invalid(f"Two agents have the key {key!r}.", field="agents")
    return keyed


def sdk_agents(
    agents: Mapping[str, Declared], tools: ToolRegistry, known: Mapping[str, Agent[Any]] | None = None
) -> dict[str, Agent[Any]]:
    """All of them as SDK agents. A specification names its hand-offs by key, also to those that are ``known`` already; they
    may lead in circles."""
    made = {key: _made(agent, tools) if isinstance(agent, AgentSpec) else agent for key, agent in agents.items()}
    for key, spec in agents.items():
        if isinstance(spec, AgentSpec):
            made[key].handoffs = [_target({**(known or {}), **made}, spec, other) for other in spec.handoffs]
    return made


def card(key: str, agent: Agent[Any], *, provider: str, model: str, keys: Mapping[int, str]) -> AgentCard:
    """What callers may know. ``keys`` are the keys of registered agents, by identity."""
    return AgentCard(
        key=key,
        name=agent.name,
        provider=provider,
        description=agent.handoff_description or "",
        model=model,
        instructions=agent.instructions if isinstance(agent.instructions, str) else None,
        tools=tuple(_tool_card(tool) for tool in agent.tools),
        handoffs=tuple(_handoff_name(target, keys) for target in agent.handoffs),
        capabilities={
            "streaming": True,
            "tools": bool(agent.tools or agent.mcp_servers),
            "handoffs": bool(agent.handoffs),
            "structured_output": agent.output_type not in (None, str),
        },
    )


def declared(card: AgentCard, spec: AgentSpec) -> AgentCard:
    """The card of a specification's agent, with what the SDK's agent does not know."""
    return replace(
        card,
        instructions=spec.instructions if spec.template is None else spec.template,
        habits=spec.habits,
        max_seconds=spec.max_seconds,
        mcp=spec.mcp,
        memory=spec.memory,
        public=spec.public,
        continues=spec.continues,
    )


def check_handoffs(agents: Mapping[str, Agent[Any]]) -> None:
    """Agents of the SDK may name the keys of others, too."""
    for key, agent in agents.items():
        for target in cast("list[Any]", agent.handoffs):
            if isinstance(target, str) and target not in agents:
                raise Invalid(f"The agent {key!r} hands over to {target!r}, which does not exist.", field="handoffs")


def _made(spec: AgentSpec, tools: ToolRegistry) -> Agent[Any]:
    made: Agent[Any] = Agent(
        name=spec.name,
        handoff_description=spec.description or None,
        instructions=spec.instructions if spec.template is None else _filled_by(spec),
        model=spec.model,
        tools=cast("list[Tool]", [tools.get(name) for name in spec.tools]),  # its clone has them as the SDK wants them
        output_type=None if spec.output is None else answer_schema(spec),
    )
    if spec.settings != ModelChoices():
        made.model_settings = made.model_settings.resolve(settings_of(spec.settings, first=True))
    return made


def _filled_by(spec: AgentSpec) -> Callable[[RunContextWrapper[Any], Agent[Any]], str]:
    """Instructions from its template, for the run that is being played."""

    def instructions(_: RunContextWrapper[Any], __: Agent[Any]) -> str:
        play = current_play()
        assert play is not None, "a prepared agent is played by its runtime only"
        return spec.instructions_for(play.turn.run)

    return instructions


def _target(made: Mapping[str, Agent[Any]], spec: AgentSpec, key: str) -> Agent[Any]:
    if key not in made:
        raise Invalid(f"The agent {spec.key!r} hands over to {key!r}, which does not exist.", field="handoffs")
    return made[key]


def _tool_card(tool: Tool | OurTool) -> ToolCard:
    if isinstance(tool, OurTool):
        return card_of(tool)
    if not isinstance(tool, FunctionTool):
        return ToolCard(tool.name)
    need: ApprovalNeed = "sometimes" if callable(tool.needs_approval) else "always" if tool.needs_approval else "never"
    return ToolCard(tool.name, tool.description, tool.params_json_schema, need)


def _handoff_name(target: "Agent[Any] | Handoff[Any, Any] | str", keys: Mapping[int, str]) -> str:
    if isinstance(target, str):
        return target
    if isinstance(target, Handoff):
        return target.agent_name
    return keys.get(id(target), target.name)

"""A provider without any SDK that plays exactly what it is told. Public, as a test double for applications of one's own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.application.tools import Workbench
from dragoman.domain.agents import AgentCard, AgentSpec, ToolCard, card_of
from dragoman.domain.prices import Prices
from dragoman.ports.realtime import RealtimeChannelFactory
from dragoman.ports.tools import NoServers, ToolRegistry, ToolServers
from dragoman.providers.scripted.runtime import MODEL, ScriptedRuntime
from dragoman.providers.scripted.script import Script

NAME = "scripted"


@dataclass(frozen=True, slots=True)
class ScriptedProvider:
    """Agents that play scripts. One without a script obeys the commands in its messages."""

    agents: dict[str, AgentCard]
    runtime: ScriptedRuntime
    realtime: RealtimeChannelFactory | None = None
    name: str = NAME

    def add(self, agents: Mapping[str, AgentSpec]) -> None:
        for key, spec in agents.items():
            self.agents[key] = _card(key, spec, self.runtime.tools)
            self.runtime.specs[key] = spec

    def replace(self, agents: Mapping[str, Any]) -> None:
        specs = {key: agent for key, agent in agents.items() if isinstance(agent, AgentSpec)}
        cards = {key: _card(key, spec, self.runtime.tools) for key, spec in specs.items()}
        self.agents.clear()
        self.agents.update(cards)
        self.runtime.specs.clear()
        self.runtime.specs.update(specs)

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass


def build_scripted_provider(
    agents: Sequence[AgentSpec],
    *,
    scripts: Mapping[str, Script] | None = None,
    tools: ToolRegistry | None = None,
    seconds_per_piece: float = 0.0,
    bench: Workbench | None = None,
    prices: Prices | None = None,
    servers: ToolServers | None = None,
) -> ScriptedProvider:
    cards: dict[str, AgentCard] = {}
    runtime = ScriptedRuntime(
        cards,
        scripts or {},
        tools,
        bench or Workbench(),
        seconds_per_piece,
        prices=prices or Prices(),
        servers=servers or NoServers(),
    )
    provider = ScriptedProvider(cards, runtime)
    provider.add({spec.key: spec for spec in agents})
    return provider


def _card(key: str, spec: AgentSpec, tools: ToolRegistry | None) -> AgentCard:
    return AgentCard(
        key=key,
        name=spec.name,
        provider=NAME,
        description=spec.description,
        model=MODEL,
        instructions=spec.instructions if spec.template is None else spec.template,
        tools=tuple(card_of(tools.get(name)) if tools else ToolCard(name) for name in spec.tools),
        handoffs=spec.handoffs,
        capabilities={"streaming": True, "structured_output": spec.output is not None},
        habits=spec.habits,
        max_seconds=spec.max_seconds,
        mcp=spec.mcp,
        memory=spec.memory,
        public=spec.public,
        continues=spec.continues,
    )

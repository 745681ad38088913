"""The provider: built from values, started and stopped with the application."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from agents import Agent, Model, ModelProvider, RunConfig, set_trace_processors

from dragoman.application.tools import Workbench
from dragoman.domain.agents import AgentCard, AgentSpec
from dragoman.domain.endpoints import EndpointStats
from dragoman.domain.errors import ModelRefused
from dragoman.domain.prices import Prices
from dragoman.ports.provider_conversations import ProviderConversations
from dragoman.ports.realtime import RealtimeChannelFactory
from dragoman.ports.runtime import Provider
from dragoman.ports.tools import ToolRegistry, ToolServers
from dragoman.providers.openai.agents import nested, registry
from dragoman.providers.openai.agents.conversations import EndpointConversations
from dragoman.providers.openai.agents.graph import Graph, Models
from dragoman.providers.openai.agents.models.demo import DemoModels
from dragoman.providers.openai.agents.models.router import Router
from dragoman.providers.openai.agents.models.transport import Wire
from dragoman.providers.openai.agents.runtime import OpenAIRuntime
from dragoman.providers.openai.agents.tools import explain_to_runner
from dragoman.providers.openai.config import DemoSettings, ModelEndpoint, TimeLimits, place_of

NAME = "openai"
THREADS = 64
"""Synchronous tools work in threads, and the default of a small machine is six."""


@dataclass(frozen=True, slots=True)
class OpenAIProvider:
    runtime: OpenAIRuntime
    models: Models
    tools: ToolRegistry
    agents: dict[str, AgentCard] = field(default_factory=dict)
    name: str = NAME
    realtime: RealtimeChannelFactory | None = None

    def add(self, agents: Mapping[str, Any]) -> None:
        made = registry.sdk_agents(_understood(agents), self.tools, self.runtime.graph.registered)
        self.runtime.graph.add(made)
        self._describe(agents, made)

    def replace(self, agents: Mapping[str, Any]) -> None:
        made = registry.sdk_agents(_understood(agents), self.tools)
        registry.check_handoffs(made)
        self.runtime.graph.replace(made)
        self.runtime.max_turns.clear()
        self.runtime.graph.declared.clear()
        self.agents.clear()
        self._describe(agents, made)

    def _describe(self, agents: Mapping[str, Agent[Any] | AgentSpec], made: Mapping[str, Agent[Any]]) -> None:
        for key, agent in made.items():
            model = self.models.name_of(agent.model)
            card = registry.card(key, agent, provider=NAME, model=model, keys=self.runtime.graph.keys)
            if isinstance(spec := agents[key], AgentSpec):
                self.runtime.max_turns[key] = spec.max_turns
                self.runtime.graph.declared[key] = spec.mcp
                card = registry.declared(card, spec)
            self.agents[key] = card

    def endpoints(self) -> Mapping[str, EndpointStats]:
        return self.models.stats()

    async def start(self) -> None:
        set_trace_processors([])  # nothing is uploaded, whatever the environment says
        nested.install()
        executor = ThreadPoolExecutor(THREADS, thread_name_prefix="tool")
        asyncio.get_running_loop().set_default_executor(executor)  # the loop shuts it down

    async def stop(self) -> None:
        await self.models.aclose()
        if self.runtime.conversations is not None:
            await self.runtime.conversations.aclose()


def _understood(agents: Mapping[str, Any]) -> dict[str, Agent[Any] | AgentSpec]:
    return {key: agent for key, agent in agents.items() if isinstance(agent, Agent | AgentSpec)}


class NoModels(ModelProvider):
    """Neither an endpoint nor the demo model: only agents that bring a model of their own can speak."""

    def get_model(self, model_name: str | None) -> Model:  # noqa: ARG002
        raise ModelRefused("No model endpoint is configured.")


def build_openai_provider(
    *,
    agents: Mapping[str, Agent[Any] | AgentSpec],
    tools: ToolRegistry,
    endpoint: ModelEndpoint | None = None,
    others: Sequence[ModelEndpoint] = (),
    model: str | None = None,
    fallbacks: Sequence[str] = (),
    prices: Prices | None = None,
    demo: DemoSettings | None = None,
    idle_timeout: float = 120.0,
    max_retries: int = 2,
    conversations: ProviderConversations | None = None,
    bench: Workbench | None = None,
    servers: ToolServers | None = None,
) -> Provider:
    """Plays ``agents`` with the models of ``endpoint`` and ``others``, else with the demo model.

    ``model`` is for agents that name none, ``fallbacks`` are asked when it, or whichever an agent names, gives no answer;
    ``endpoint:model`` is a model of that endpoint. A model that is silent for ``idle_timeout`` seconds counts as unavailable.
    Tools are used at ``bench``, within its limits. With ``conversations`` the endpoint, which speaks Responses, keeps conversations too, and is only sent what is new.
    """
    named: ModelProvider = DemoModels(demo) if demo is not None else NoModels()
    endpoints = [endpoint, *others] if endpoint is not None else []
    limits = TimeLimits(idle_timeout)
    if endpoints:
        named = Router(endpoints, fallbacks, prices, limits=limits, retries=max_retries)
    models = Models(named, model, idle_timeout=idle_timeout, prices=prices)
    config = RunConfig(
        model_provider=models,
        tracing_disabled=True,
        trace_include_sensitive_data=False,
        tool_not_found_behavior="return_error_to_model",
        tool_error_formatter=explain_to_runner,
    )
    kept_there = None
    if conversations is not None and model is not None and (place := place_of(model, endpoints)):
        there = place[0]

        def has(name: str | None) -> bool:
            found = place_of(name or model, endpoints)
            return found is not None and found[0] is there

        kept_there = EndpointConversations(conversations, Wire(there, there.limits or limits), has)
    graph = Graph(models, bench or Workbench(), servers)
    provider = OpenAIProvider(OpenAIRuntime(graph, config, conversations=kept_there), models, tools)
    provider.replace(agents)
    return provider

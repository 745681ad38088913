"""The provider: built from values, started and stopped with the application."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from agents import Agent, Model, ModelProvider, RunConfig, set_trace_processors

from dragoman.domain.agents import AgentCard, AgentSpec
from dragoman.domain.errors import ModelRefused
from dragoman.ports.realtime import RealtimeChannelFactory
from dragoman.ports.runtime import AgentRuntime, Provider
from dragoman.ports.tools import ToolRegistry
from dragoman.providers.openai.agents import nested, registry
from dragoman.providers.openai.agents.graph import Graph, Models
from dragoman.providers.openai.agents.models.demo import DemoModels
from dragoman.providers.openai.agents.models.endpoint import EndpointModels, SdkEndpointModels
from dragoman.providers.openai.agents.runtime import OpenAIRuntime
from dragoman.providers.openai.agents.tools import explain_to_runner
from dragoman.providers.openai.config import DemoSettings, ModelEndpoint, TimeLimits

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

    def add(self, agents: Mapping[str, Agent[Any] | AgentSpec]) -> None:
        made = registry.sdk_agents(agents, self.tools)
        self.runtime.graph.add(made)
        for key, agent in made.items():
            model = self.models.name_of(agent.model)
            self.agents[key] = registry.card(key, agent, provider=NAME, model=model, keys=self.runtime.graph.keys)
            if isinstance(spec := agents[key], AgentSpec):
                self.runtime.max_turns[key] = spec.max_turns

    async def start(self) -> None:
        set_trace_processors([])  # nothing is uploaded, whatever the environment says
        nested.install()
        executor = ThreadPoolExecutor(THREADS, thread_name_prefix="tool")
        asyncio.get_running_loop().set_default_executor(executor)  # the loop shuts it down

    async def stop(self) -> None:
        await self.models.aclose()


class NoModels(ModelProvider):
    """Neither an endpoint nor the demo model: only agents that bring a model of their own can speak."""

    def get_model(self, model_name: str | None) -> Model:  # noqa: ARG002
        raise ModelRefused("No model endpoint is configured.")


def build_openai_provider(
    *,
    agents: Mapping[str, Agent[Any] | AgentSpec],
    tools: ToolRegistry,
    endpoint: ModelEndpoint | None = None,
    model: str | None = None,
    demo: DemoSettings | None = None,
    idle_timeout: float = 120.0,
    max_retries: int = 2,
) -> Provider:
    """Plays ``agents`` with the models of ``endpoint``, else with the demo model.

    ``model`` is for agents that name none. A model that is silent for ``idle_timeout`` seconds counts as unavailable.
    """
    named = _named_models(endpoint, demo, idle_timeout=idle_timeout, max_retries=max_retries)
    models = Models(named, model, idle_timeout=idle_timeout)
    config = RunConfig(
        model_provider=models,
        tracing_disabled=True,
        trace_include_sensitive_data=False,
        tool_not_found_behavior="return_error_to_model",
        tool_error_formatter=explain_to_runner,
    )
    provider = OpenAIProvider(OpenAIRuntime(Graph(models), config), models, tools)
    provider.add(agents)
    return provider


def _named_models(
    endpoint: ModelEndpoint | None, demo: DemoSettings | None, *, idle_timeout: float, max_retries: int
) -> ModelProvider:
    if endpoint is not None:
        made = EndpointModels if endpoint.client == "fast" else SdkEndpointModels
        return made(endpoint, limits=endpoint.limits or TimeLimits(idle_timeout), max_retries=max_retries)
    return DemoModels(demo) if demo is not None else NoModels()

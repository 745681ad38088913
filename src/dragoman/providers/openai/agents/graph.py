"""Agents prepared to be played: clones that record what they do. The agents they were made from are never changed.

A clone differs from its original in its model, which is a ``JournalModel``, in its tools, which know their path, and in its
hand-offs, which lead to clones. Clones are made once, also of agents that are met on the way: behind a hand-off or inside a
tool.
"""

import weakref
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from agents import (
    Agent,
    FunctionTool,
    Handoff,
    Model,
    ModelProvider,
    ModelSettings,
    RunContextWrapper,
    Tool,
    default_tool_error_function,
)
from agents.agent import MCPConfig
from agents.models.default_models import get_default_model_settings

from dragoman.application.tools import Workbench
from dragoman.domain.agents import key_from
from dragoman.domain.endpoints import EndpointStats
from dragoman.domain.errors import Invalid, ModelRefused, NotFound
from dragoman.domain.prices import Prices
from dragoman.domain.tools import Tool as OurTool
from dragoman.ports.tools import NoServers, ToolServers
from dragoman.providers.openai.agents.current import current_play
from dragoman.providers.openai.agents.models.direct import DirectModel
from dragoman.providers.openai.agents.models.journal import JournalModel
from dragoman.providers.openai.agents.models.router import Router
from dragoman.providers.openai.agents.models.routing import Endpoint, RoutedModel, Target
from dragoman.providers.openai.agents.models.sdk import SdkModel
from dragoman.providers.openai.agents.tools import explained, prepared, prepared_of

GetTools = Callable[[RunContextWrapper[Any]], Coroutine[Any, Any, list[Tool]]]


class Models(ModelProvider):
    """Finds the model for a name, or wraps the one an agent brings. Every model it gives is a ``JournalModel``."""

    def __init__(
        self, named: ModelProvider, default: str | None, *, idle_timeout: float, prices: Prices | None = None
    ) -> None:
        self.default = default
        self._named = named
        self._idle_timeout = idle_timeout
        self._prices = prices

    def get_model(self, model_name: str | None) -> JournalModel:
        return self.find(model_name)

    def find(self, wanted: str | Model | None) -> JournalModel:
        if isinstance(wanted, JournalModel):
            return wanted
        if isinstance(wanted, Model):
            return self._journal(wanted, str(getattr(wanted, "model", type(wanted).__name__)))
        name = wanted or self.default
        model = self._named.get_model(name)
        return self._journal(model, str(getattr(model, "model", name)))

    def stats(self) -> Mapping[str, EndpointStats]:
        """How the endpoints are doing."""
        return self._named.stats() if isinstance(self._named, Router) else {}

    def name_of(self, wanted: str | Model | None) -> str:
        """What the log and the catalogue call it; empty if nothing would answer."""
        try:
            return self.find(wanted).name
        except ModelRefused:
            return ""

    async def aclose(self) -> None:
        await self._named.aclose()

    def _journal(self, model: Model, name: str) -> JournalModel:
        if not isinstance(model, RoutedModel):  # one of its own kind, with nowhere else to go
            asked = model if isinstance(model, DirectModel) else SdkModel(model, silence=self._idle_timeout)
            model = RoutedModel([Target(Endpoint(failures=None), name, asked)], self._prices)
        return JournalModel(model, name)


class Graph:
    """The registered agents and everything they can reach, as clones."""

    def __init__(self, models: Models, bench: Workbench | None = None, servers: ToolServers | None = None) -> None:
        self.models = models
        self.servers = servers or NoServers()
        self.declared: dict[str, tuple[str, ...]] = {}  # names of servers, by agent
        self.bench = bench or Workbench()
        self.keys: dict[int, str] = {}  # of registered agents, by identity
        self._clones: dict[int, Agent[Any]] = {}
        self._originals: dict[int, weakref.ref[Agent[Any]]] = {}  # by the id of the clone
        self._spoken_of: dict[int, str] = {}  # the keys of clones, which may outlive their originals in a run
        self._agents: dict[str, Agent[Any]] = {}

    def add(self, agents: Mapping[str, Agent[Any]]) -> None:
        """Register agents under their keys."""
        self._agents.update(agents)
        self.keys.update({id(agent): key for key, agent in agents.items()})

    def replace(self, agents: Mapping[str, Agent[Any]]) -> None:
        """Register these instead of those that were. Runs that are being played keep their clones."""
        self._agents.clear()
        self.keys.clear()
        self._clones.clear()
        self.add(agents)

    @property
    def registered(self) -> Mapping[str, Agent[Any]]:
        return self._agents

    def __getitem__(self, key: str) -> Agent[Any]:
        if key not in self._agents:  # since the run was accepted
            raise NotFound("agent", key)
        return self.clone(self._agents[key])

    def original(self, key: str) -> Agent[Any]:
        """A registered agent as it was given."""
        return self._agents[key]

    def key_of(self, agent: Agent[Any]) -> str:
        """The key of an agent or its clone. One that is not registered gets the key it would have."""
        if key := self._spoken_of.get(id(agent)):
            return key
        original = self._originals.get(id(agent), lambda: None)() or agent
        if key := self.keys.get(id(original)):
            return key
        try:
            return key_from(original.name)
        except Invalid:
            return original.name

    def clone(self, agent: Agent[Any]) -> Agent[Any]:
        if id(agent) in self._originals:
            return agent
        if known := self._clones.get(id(agent)):
            return known
        clone = agent.clone(handoffs=[], tools=[self._tool(tool) for tool in agent.tools])
        clone.model = self.models.find(agent.model).of(self.key_of(agent))
        clone.model_settings = self._settings(agent)
        clone.mcp_config = _mcp_config(agent)
        if agent.mcp_servers or self.servers.names:
            get = self._mcp_tools(clone.get_mcp_tools, self.key_of(agent))
            clone.get_mcp_tools = get  # type: ignore[assignment, method-assign]
        self._remember(agent, clone)
        clone.handoffs = [self._handoff(target) for target in agent.handoffs]  # last: they may lead back here
        return clone

    def _remember(self, agent: Agent[Any], clone: Agent[Any]) -> None:
        key, clone_key = id(agent), id(clone)
        self._clones[key] = clone
        self._originals[clone_key] = weakref.ref(agent)
        self._spoken_of[clone_key] = self.key_of(agent)
        # One that a tool made for itself does not stay for good; nor does one that was replaced.
        weakref.finalize(agent, self._clones.pop, key, None)
        weakref.finalize(clone, self._forget, clone_key)

    def _forget(self, clone_key: int) -> None:
        self._originals.pop(clone_key, None)
        self._spoken_of.pop(clone_key, None)

    def _settings(self, agent: Agent[Any]) -> ModelSettings:
        """Without the SDK's retries: one logical call is one answer. Its defaults fit the model that will really answer."""
        settings = agent.model_settings
        if agent.model is None and settings == get_default_model_settings():
            settings = get_default_model_settings(self.models.name_of(None)) if self.models.default else ModelSettings()
        usage = True if settings.include_usage is None else settings.include_usage
        return replace(settings, retry=None, include_usage=usage)

    def _handoff(self, target: "Agent[Any] | Handoff[Any, Any] | str") -> "Agent[Any] | Handoff[Any, Any]":
        if isinstance(target, str):  # a key
            return self[target]
        if isinstance(target, Agent):
            return self.clone(target)
        invoke = target.on_invoke_handoff

        async def invoke_to_clone(context: RunContextWrapper[Any], arguments: str) -> Agent[Any]:
            return self.clone(await invoke(context, arguments))

        return replace(target, on_invoke_handoff=invoke_to_clone)

    def _tool(self, tool: Tool | OurTool) -> Tool:
        if isinstance(tool, OurTool):
            return prepared_of(tool, self.bench)
        return prepared(tool, self.bench) if isinstance(tool, FunctionTool) else tool

    def _mcp_tools(self, get: GetTools, key: str) -> GetTools:
        """Tools of MCP servers, of the agent's own and of the operator's, may be others in every turn, and are prepared then."""

        async def get_prepared(context: RunContextWrapper[Any]) -> list[Tool]:
            return [*map(self._tool, await get(context)), *map(self._tool, await self._served(key))]

        return get_prepared

    async def _served(self, key: str) -> list[OurTool]:
        """What servers bring for the run that is being played, with a stand-in for each call in its log whose tool is gone."""
        play = current_play()
        if play is None or not self.servers.names:
            return []
        tools = {
            tool.name: tool for tool in await self.servers.tools(key, self.declared.get(key, ()), play.turn.principal)
        }
        for name in play.turn.journal.called - tools.keys():
            if stand_in := self.servers.stand_in(name):
                tools[name] = stand_in
        return list(tools.values())


def _mcp_config(agent: Agent[Any]) -> MCPConfig:
    """How failures of tools of MCP servers are told."""
    policy = agent.mcp_config.get("failure_error_function", default_tool_error_function)
    return {**agent.mcp_config, "failure_error_function": explained(policy)}

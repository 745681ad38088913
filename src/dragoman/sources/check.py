"""What cannot be right about agents, before any of them is played."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from dragoman.application.workflows import Workflow
from dragoman.domain.agents import AgentSpec
from dragoman.domain.schemas import loose_places
from dragoman.endpoints import ModelSetup
from dragoman.providers.openai.config import place_of
from dragoman.sources import Found
from dragoman.sources.places import Place


@dataclass(frozen=True, slots=True)
class Problem:
    key: str  # of the agent
    text: str
    place: Place | None = None

    def __str__(self) -> str:
        where = "built in" if self.place is None else str(self.place)
        return f"{where}: the agent {self.key!r} {self.text}"


@dataclass(frozen=True, slots=True)
class Checker:
    """``agents`` are all of a server, by key."""

    agents: Mapping[str, Any]
    found: Found
    tools: Collection[str]  # names of the server's own
    servers: Collection[str]  # names of MCP servers
    models: ModelSetup

    def problems(self) -> list[Problem]:
        return [*self._wrong(), *self._unreachable()]

    def _wrong(self) -> Iterator[Problem]:
        for key, agent in self.agents.items():
            for text in self._of(agent):
                yield Problem(key, text, self.found.places.get(id(agent)))

    def _of(self, agent: Any) -> Iterator[str]:
        if isinstance(agent, AgentSpec):
            return self._of_spec(agent)
        return self._of_workflow(agent) if isinstance(agent, Workflow) else self._of_sdk_agent(agent)

    def _of_workflow(self, workflow: Workflow) -> Iterator[str]:
        for name in workflow.agents:
            if name not in self.agents:
                yield f"asks the agent {name!r}, which does not exist.{_like(name, self.agents)}"

    def _of_spec(self, spec: AgentSpec) -> Iterator[str]:
        for name in spec.tools:
            if name not in self.tools:
                yield f"has the tool {name!r}, which does not exist.{_like(name, self.tools)}"
        for name in spec.handoffs:
            if name not in self.agents:
                yield f"hands over to {name!r}, which does not exist.{_like(name, self.agents)}"
        for name in spec.mcp:
            if name not in self.servers:
                yield f"uses the MCP server {name!r}, which is not in dragoman.toml.{_like(name, self.servers)}"
        if spec.model is not None and self.models.endpoints and place_of(spec.model, self.models.endpoints) is None:
            yield f"has the model {spec.model!r}, which no endpoint has."
        if spec.output is not None and spec.strict_output:
            for place in _loose(spec):
                yield f"has an output that is not strict ({place}). Correct it, or say strict_output = false."

    def _of_sdk_agent(self, agent: Any) -> Iterator[str]:
        for target in agent.handoffs:
            if isinstance(target, str) and target not in self.agents:
                yield f"hands over to {target!r}, which does not exist.{_like(target, self.agents)}"

    def _unreachable(self) -> Iterator[Problem]:
        reached = {key for key, agent in self.agents.items() if getattr(agent, "public", True)}
        ahead = list(reached)
        while ahead:
            for key in self._next(self.agents[ahead.pop()]):
                if key in self.agents and key not in reached:
                    reached.add(key)
                    ahead.append(key)
        for key in self.agents.keys() - reached:
            text = "is not public, and no agent hands over to it."
            yield Problem(key, text, self.found.places.get(id(self.agents[key])))

    def _next(self, agent: Any) -> Iterator[str]:
        if isinstance(agent, Workflow):
            yield from agent.agents
            return
        keys = {id(known): key for key, known in self.agents.items()}
        for target in agent.handoffs:
            yield target if isinstance(target, str) else keys.get(id(target), "")


def _like(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def _loose(spec: AgentSpec) -> list[str]:
    if not isinstance(spec.output, type):
        return list(loose_places(spec.output or {}))
    # The SDK makes a strict schema of a class where that is possible; an object of anything it cannot.
    return list(_open_objects(TypeAdapter(spec.output).json_schema()))


def _open_objects(schema: Any, place: str = "") -> Iterator[str]:
    if isinstance(schema, Mapping):
        if schema.get("type") == "object" and schema.get("additionalProperties") not in (None, False):
            yield f"{place or 'the answer'}: it may have anything in it"
        for name, inner in schema.items():
            yield from _open_objects(inner, name if name not in ("properties", "$defs", "items", "anyOf") else place)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _open_objects(inner, place)

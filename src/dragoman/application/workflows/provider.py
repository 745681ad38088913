"""The provider whose agents are workflows. It asks the agents of the others."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dragoman.application.catalog import Catalog
from dragoman.application.workflows.flow import Ending, Flow, Limits, Stopped
from dragoman.domain.agents import AgentCard, check_key
from dragoman.domain.errors import NotFound
from dragoman.domain.events import ItemDone
from dragoman.domain.identity import LOCAL
from dragoman.domain.items import assistant_message
from dragoman.domain.runs import Habits, Run, RunStatus
from dragoman.domain.text import storable
from dragoman.ports.clock import Clock
from dragoman.ports.realtime import RealtimeChannelFactory
from dragoman.ports.runtime import Outcome, Provider, Recorder, Turn

NAME = "workflow"


def no_limits(_: Run) -> Limits:
    return Limits()


@dataclass(frozen=True, slots=True)
class Workflow:
    """Agents at work together, to be found under a key of its own like any agent."""

    key: str
    name: str
    play: Callable[[Flow], Awaitable[Ending]]
    agents: tuple[str, ...]  # keys of those it asks; it is in the catalogue where they all are
    description: str = ""
    limits: Callable[[Run], Limits] = no_limits
    habits: Habits = field(default_factory=Habits)

    def __post_init__(self) -> None:
        check_key(self.key)


@dataclass(frozen=True, slots=True)
class WorkflowRuntime:
    """``AgentRuntime``. ``at_once``: how many agents may be at work for workflows in this process; more wait, in order."""

    catalog: Catalog
    clock: Clock
    at_once: int
    workflows: dict[str, Workflow] = field(default_factory=dict)
    _places: list[asyncio.Semaphore] = field(default_factory=list)

    async def play(self, turn: Turn, recorder: Recorder) -> Outcome:
        workflow = self.workflows[turn.run.agent]

        def find(key: str) -> Provider:
            return self.catalog.providers[self.catalog.find(turn.principal, key, hidden=True).provider]

        flow = Flow(turn, recorder, self.clock, find, self._room(), workflow.limits(turn.run))
        try:
            ending = await workflow.play(flow)
        except Stopped:
            ending = None
        if flow.waiting:
            return Outcome(status=RunStatus.REQUIRES_ACTION)
        return Outcome(status=RunStatus.CANCELLED) if ending is None else _outcome(ending, turn)

    def _room(self) -> asyncio.Semaphore:
        if not self._places:
            self._places.append(asyncio.Semaphore(self.at_once))
        return self._places[0]


def _outcome(ending: Ending, turn: Turn) -> Outcome:
    said = ItemDone("message_output_created", assistant_message(storable(ending.text)), turn.run.agent)
    return Outcome(ending.output, ending.status, f"resp_{turn.run.id}", turns=1, failure=ending.failure, last_word=said)


@dataclass(frozen=True, slots=True)
class WorkflowProvider:
    """``Provider``. Its catalogue is that of the agents it may ask."""

    runtime: WorkflowRuntime
    realtime: RealtimeChannelFactory | None = None
    name: str = NAME

    @property
    def agents(self) -> Mapping[str, AgentCard]:
        """The workflows whose agents there are."""
        return {key: _card(one) for key, one in self.runtime.workflows.items() if self._complete(one)}

    def add(self, agents: Mapping[str, Any]) -> None:
        self.runtime.workflows.update(_workflows(agents))

    def replace(self, agents: Mapping[str, Any]) -> None:
        replaced = _workflows(agents)
        self.runtime.workflows.clear()
        self.runtime.workflows.update(replaced)

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def _complete(self, workflow: Workflow) -> bool:
        return all(map(self._known, workflow.agents))

    def _known(self, key: str) -> bool:
        try:
            self.runtime.catalog.find(LOCAL, key, hidden=True)
        except NotFound:
            return False
        return True


def _workflows(agents: Mapping[str, Any]) -> dict[str, Workflow]:
    return {key: agent for key, agent in agents.items() if isinstance(agent, Workflow)}


def build_workflow_provider(
    workflows: Iterable[Workflow], catalog: Catalog, clock: Clock, *, at_once: int
) -> WorkflowProvider:
    return WorkflowProvider(WorkflowRuntime(catalog, clock, at_once, {one.key: one for one in workflows}))


def _card(workflow: Workflow) -> AgentCard:
    return AgentCard(
        key=workflow.key,
        name=workflow.name,
        provider=NAME,
        description=workflow.description,
        capabilities={"streaming": True, "tools": False, "handoffs": False, "agents": list(workflow.agents)},
        habits=workflow.habits,
    )

"""What plays a run. A provider bundles a runtime, its realtime channels and its agents under one name."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol, runtime_checkable

from dragoman.domain.agents import AgentCard
from dragoman.domain.endpoints import EndpointStats
from dragoman.domain.events import Event, ItemDone
from dragoman.domain.identity import Principal
from dragoman.domain.items import Content
from dragoman.domain.journal import Journal
from dragoman.domain.memory import Older
from dragoman.domain.runs import Run, RunError, RunStatus
from dragoman.ports.realtime import RealtimeChannelFactory


class Recorder(Protocol):
    """Where a runtime writes its events. They enter the log in the order of the calls."""

    def show(self, event: Event) -> None:
        """A delta or progress: readers see it at once, it is stored within a tick."""
        ...

    def record(self, *events: Event) -> Awaitable[None]:
        """Anything else: readers see it once it is durable. Await the result before starting anything that depends on it;
        leave it if nothing does. Raises nothing when the run was taken away: the runtime is cancelled instead."""
        ...


class Spending(Protocol):
    """Whoever pays for the model calls of a run."""

    async def reserve(self, reservation: str, agent: str, cost: Decimal | None) -> None:
        """To be awaited before every request to a model, retries and fallbacks included, with what it may cost at most;
        ``None``: nobody knows its price. All requests of one model call share a reservation, whose id the event that tells of
        the call has to name. ``BudgetExhausted`` if there is not enough left."""
        ...


class StopSignal:
    """How a runtime learns that it should stop after the current turn. (To stop at once, it is cancelled.)"""

    def __init__(self) -> None:
        self.requested = False
        self._callbacks: list[Callable[[], None]] = []

    def request(self) -> None:
        if not self.requested:
            self.requested = True
            for callback in self._callbacks:
                callback()

    def on_request(self, callback: Callable[[], None]) -> None:
        self._callbacks.append(callback)
        if self.requested:
            callback()


async def nothing_said() -> Sequence[Content]:
    """Of a run to which nobody can say anything more."""
    return ()


async def _nobody_else() -> None:
    """A run that nobody can take away."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Everything a runtime needs to play a run."""

    run: Run
    principal: Principal
    history: Sequence[Content]  # repaired and bounded; with those outputs in the run's input that belong to calls in it
    input: Sequence[Content]  # the rest of the run's input
    older: Older | None = None  # what has to be summarised first, by the model that is about to answer
    max_turns: int | None = None
    journal: Journal = field(default_factory=Journal)  # what an earlier attempt has finished
    stop: StopSignal = field(default_factory=StopSignal)
    held: Callable[[], Awaitable[None]] = _nobody_else  # returns when nobody else can be playing the run
    steered: Callable[[], Awaitable[Sequence[Content]]] = (
        nothing_said  # what was said to the run since it was last asked
    )
    spending: Spending | None = None  # None: nobody counts, and nothing has to be reserved
    path: str = ""  # of the part of the run that this is; what it writes, and finds in its journal, is relative to it


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, when it ended well."""

    final_output: Any = None
    status: RunStatus = RunStatus.COMPLETED
    response_id: str | None = None
    turns: int = 0
    failure: RunError | None = None  # why it is incomplete, where that is an error
    last_word: ItemDone | None = None  # a message of the run's own, to be recorded together with its end


class AgentRuntime(Protocol):
    async def play(self, turn: Turn, recorder: Recorder) -> Outcome:
        """Play one run to its end.

        Every finished output item and tool result is recorded, each model answer closed by ``ModelAnswered``; an answer
        that calls tools is durable before any of them starts, a tool's result before the model sees it. Failures are raised as
        ``DragomanError``; anything else counts as our own fault and is told to nobody. When cancelled it stops promptly and
        leaves no task behind. Right before it asks a model or starts a tool it awaits ``turn.held``. Before it asks the model of
        the run's own agent, but where the journal has the answer, it awaits ``turn.steered``; what that brings, and what the
        journal says was brought there, the model is told from then on. When ``turn.stop`` is
        requested it finishes the model answer and its tools, and returns ``CANCELLED``. An answer that calls one of ``run.options.tools`` is the last: what else it calls is done, and the
        caller answers the rest with another run.
        """
        ...


class Provider(Protocol):
    """One way of playing agents, under a name."""

    @property
    def name(self) -> str: ...

    @property
    def runtime(self) -> AgentRuntime: ...

    @property
    def realtime(self) -> RealtimeChannelFactory | None: ...

    @property
    def agents(self) -> Mapping[str, AgentCard]:
        """The agents it can play, by key."""
        ...

    def add(self, agents: Mapping[str, Any]) -> None:
        """Take more of the agents it understands; one of a key it knows replaces it for new runs."""
        ...

    def replace(self, agents: Mapping[str, Any]) -> None:
        """Play these of the agents it understands from now on, and no others; if it cannot, it raises and goes on with what it
        had. A run that is being played keeps the agents it began with."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@runtime_checkable
class UsesEndpoints(Protocol):
    """A provider whose models are at endpoints may say how these are doing."""

    def endpoints(self) -> Mapping[str, EndpointStats]:
        """By name, at this moment."""
        ...

"""Servers with one fault each, built from parts that break one promise. A simulation that does not find them is worth nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dragoman.adapters.memory.events import MemoryEvents
from dragoman.adapters.memory.queue import MemoryQueue, take
from dragoman.adapters.memory.runs import MemoryRuns
from dragoman.adapters.memory.state import State, encoded
from dragoman.application.log import Channel, LiveLog
from dragoman.domain.events import Event, Recorded, Steered
from dragoman.domain.identity import Principal
from dragoman.domain.journal import Journal
from dragoman.domain.runs import Asked, CancelMode, Run, RunStatus, place
from dragoman.ports.events import Append, End
from dragoman.ports.runs import Begun, Claim
from dragoman.ports.runtime import AgentRuntime, Outcome, Provider, Recorder, Turn
from tests.simulation.store import Gone, Ports, SimulatedClock, memory_ports
from tests.simulation.world import Parts


class UnfencedEvents(MemoryEvents):
    """Whoever writes may write."""

    async def append(self, batch: Sequence[Append]) -> frozenset[str]:
        runs = self.state.runs
        known = [append for append in batch if append.run_id in runs]
        gone = frozenset(append.run_id for append in batch if append.run_id not in runs)
        return gone | await super().append([replace(append, attempt=runs[append.run_id].attempt) for append in known])


class DistractedEvents(MemoryEvents):
    """Ends the runs whose messages another one takes, and tells it nothing."""

    async def absorb(self, run_id: str, attempt: int, position: int) -> Steered | None:
        steered = await super().absorb(run_id, attempt, position)
        if steered is None or not steered.runs:
            return steered
        self.state.logs[run_id][-1:] = encoded([Recorded(position, Steered())])
        return Steered()


class GreedyEvents(MemoryEvents):
    """Lets a run take a message, and lets the message have its turn all the same."""

    async def absorb(self, run_id: str, attempt: int, position: int) -> Steered | None:
        steered = await super().absorb(run_id, attempt, position)
        for taken in steered.runs if steered else ():
            self.state.logs[taken].clear()
            run = self.state.runs[taken]
            self.state.put(replace(run, status=RunStatus.QUEUED, steered_into=None, ended_at=None))
        return steered


class RecklessQueue(MemoryQueue):
    """Releases a run whatever its attempt."""

    async def release(self, claim: Claim, runs: Sequence[Run]) -> None:
        now = [self.state.runs.get(run.id, run) for run in runs]
        self.state.claims.update({run.id: claim for run in now if run.status is RunStatus.IN_PROGRESS})
        await super().release(claim, now)


class SilentQueue(MemoryQueue):
    """Does not tell readers that a run was taken over."""

    async def claim(self, claim: Claim, limit: int) -> Sequence[Run]:
        taken = await super().claim(claim, limit)
        for run in taken:
            if run.attempt:
                self.state.logs[run.id].pop()
        return taken


class ImpatientQueue(MemoryQueue):
    """Does not wait for the run before in a conversation."""

    async def claim(self, claim: Claim, limit: int) -> Sequence[Run]:
        runs = sorted((self.state.runs[run_id] for run_id in self.state.unfinished), key=place)
        queued = [run for run in runs if run.status is RunStatus.QUEUED]
        return [take(self.state, run, claim) for run in queued[:limit]]


class DeafQueue(MemoryQueue):
    """Keeps to itself that somebody wants a run to stop."""

    async def renew(self, claim: Claim, run_ids: Collection[str]) -> Mapping[str, Asked | None]:
        return dict.fromkeys(await super().renew(claim, run_ids))


class SleepyQueue(MemoryQueue):
    """Never finds that somebody is gone."""

    async def abandoned(self, claim: Claim) -> Sequence[Run]:
        return []


class KeylessRuns(MemoryRuns):
    """Does not know a request again."""

    async def begin(self, run: Run, **given: Any) -> Begun:
        return await super().begin(run, **{**given, "idempotency": None})


class ForgetfulRuns(MemoryRuns):
    """Undoes a turn without keeping it."""

    async def begin(self, run: Run, **given: Any) -> Begun:
        begun = await super().begin(run, **given)
        if (undone := begun.disturbed) is not None and undone.superseded_by:
            del self.state.branches[undone.conversation_id or ""][undone.branch or ""]
        return begun


class StubbornRuns(MemoryRuns):
    """Undoes a turn and lets its player write on."""

    async def begin(self, run: Run, **given: Any) -> Begun:
        begun = await super().begin(run, **given)
        if (undone := begun.disturbed) is not None and undone.superseded_by:
            self.state.runs[undone.id] = replace(undone, status=RunStatus.IN_PROGRESS, attempt=undone.attempt - 1)
        return begun


class RashRuns(MemoryRuns):
    """Lets a message that is cancelled while it waits into the middle of a turn."""

    async def cancel(self, principal: Principal, run_id: str, mode: CancelMode) -> Run:
        run = await super().cancel(principal, run_id, mode)
        if run_id in self.state.unsaid:
            self.state.unsaid.discard(run_id)
            self.state.enter(run)
        return run


@dataclass(slots=True)
class HastyRuns:
    """Says that a run is stored, and then stores it."""

    store: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def begin(self, run: Run, **how: Any) -> Begun:
        how["claim"] = None
        asyncio.get_running_loop().create_task(self._later(run, how))
        return Begun(run, fresh=True)

    async def _later(self, run: Run, how: dict[str, Any]) -> None:
        await asyncio.gather(self.store.begin(run, **how), return_exceptions=True)


class HastyChannel(Channel):
    """Shows what is not stored yet."""

    def record(self, *events: Event, end: End | None = None) -> Awaitable[None]:
        settled = super().record(*events, end=end)
        self._visible = self._next
        self.wake_readers()
        return settled


class GappyChannel(Channel):
    """Lets a reader who is behind go on with what is still in memory."""

    def since(self, after: int) -> list[Recorded] | None:
        entries = super().since(after)
        return entries if entries is not None else super().since(self._base - 1) or None


def with_channel(kind: type[Channel]) -> type[LiveLog]:
    class Log(LiveLog):
        def open(self, run_id: str, attempt: int) -> Channel:
            super().open(run_id, attempt)
            channel = self._channels[run_id] = kind(run_id, attempt, self._wake, tail=self._tail)
            return channel

    return Log


@dataclass(frozen=True, slots=True)
class ForgetfulRuntime:
    """Replays the model's answers, and calls all their tools again."""

    runtime: AgentRuntime

    async def play(self, turn: Turn, recorder: Recorder) -> Outcome:
        return await self.runtime.play(replace(turn, journal=Journal(turn.journal.answers)), recorder)


@dataclass(frozen=True, slots=True)
class AmnesicRuntime:
    """Replays nothing."""

    runtime: AgentRuntime

    async def play(self, turn: Turn, recorder: Recorder) -> Outcome:
        return await self.runtime.play(replace(turn, journal=Journal()), recorder)


def _ports(**others: type[Any]) -> Callable[[State, SimulatedClock, Gone], Ports]:
    def build(state: State, clock: SimulatedClock, gone: Gone) -> Ports:
        named = {name: kind(state) for name, kind in others.items() if name != "queue"}
        if "queue" in others:
            named["queue"] = others["queue"](state, alone=False, now=clock.now, gone=gone)
        return replace(memory_ports(state, clock, gone), **named)

    return build


def _runtime(kind: Callable[[AgentRuntime], AgentRuntime]) -> Callable[[Provider], Provider]:
    return lambda provider: replace(provider, runtime=kind(provider.runtime))  # type: ignore[type-var]


@dataclass(frozen=True, slots=True)
class Fault:
    parts: Parts
    found_as: str  # what the witness says
    seeds: range = range(600)  # one of these shows it


BROKEN: dict[str, Fault] = {
    "an append does not check the attempt": Fault(
        Parts(_ports(events=UnfencedEvents), weather=("freeze", "slow_down")), "was over", seeds=range(300)
    ),
    "a release does not check the attempt": Fault(
        Parts(_ports(queue=RecklessQueue), weather=("slow_down",)), "is taken from"
    ),
    "a claim does not wait for the run before": Fault(Parts(_ports(queue=ImpatientQueue)), "the turns of"),
    "a takeover is not announced": Fault(Parts(_ports(queue=SilentQueue)), "the attempts of"),
    "a player is not told that its run shall stop": Fault(
        Parts(_ports(queue=DeafQueue)), "is not told", seeds=range(300)
    ),
    "nobody takes over": Fault(Parts(_ports(queue=SleepyQueue)), "does not end"),
    "a message that steers is lost": Fault(Parts(_ports(events=DistractedEvents)), "and was told"),
    "a message that steers is answered as well": Fault(Parts(_ports(events=GreedyEvents)), "is taken twice"),
    "an undone turn is thrown away": Fault(Parts(_ports(runs=ForgetfulRuns)), "is not to be seen"),
    "an undone turn goes on": Fault(Parts(_ports(runs=StubbornRuns)), "is still in_progress"),
    "a cancelled message enters a turn": Fault(Parts(_ports(runs=RashRuns)), "the turns of", seeds=range(300)),
    "a repeated request is a new one": Fault(Parts(_ports(runs=KeylessRuns)), "one key gave"),
    "a message is acknowledged before it is stored": Fault(
        Parts(near=lambda ports: replace(ports, runs=HastyRuns(ports.runs))), "was acknowledged and is not there"
    ),
    "a step is shown before it is stored": Fault(
        Parts(log=with_channel(HastyChannel), weather=("cut",)), "which came to nothing", seeds=range(300)
    ),
    "a slow reader is given what is left": Fault(Parts(log=with_channel(GappyChannel)), "a reader of"),
    "a replay calls the tools again": Fault(Parts(provider=_runtime(ForgetfulRuntime)), "whose result is in the log"),
    "a replay asks the model again": Fault(Parts(provider=_runtime(AmnesicRuntime)), "asked its model the same again"),
}
"""What is rare gets weather in which it is less so, and more worlds."""

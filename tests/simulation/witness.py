"""Sees all that reaches the store, all that tools do and all that readers read, and says which promises were broken."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from dragoman.adapters.memory.events import MemoryEvents
from dragoman.adapters.memory.state import State
from dragoman.application.dispatch import LEASE
from dragoman.domain.events import (
    SHOWN_AT_ONCE,
    TERMINAL,
    ItemDone,
    ModelAnswered,
    Recorded,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    Steered,
)
from dragoman.domain.items import Content, Item, complete_pairs, text_of
from dragoman.domain.runs import Asked, Run, RunStatus, first_position
from dragoman.ports.events import Append
from dragoman.ports.runs import Begun, Claim
from dragoman.ports.runtime import Turn
from tests.simulation.store import USER, at_once

CLOCKS_DIFFER = 9.0
"""Seconds by which a claim may be shorter than it says: by the clocks of two replicas, and on its way to a slow store."""


def settled(recorded: Iterable[Recorded]) -> list[Recorded]:
    """What is left for a reader that forgets what ``RunResumed`` tells it to."""
    kept: list[Recorded] = []
    for entry in recorded:
        if isinstance(entry.event, RunResumed):
            after = entry.event.discard_after
            kept = [k for k in kept if k.position <= after or isinstance(k.event, RunResumed)]
        kept.append(entry)
    return kept


@dataclass(slots=True)
class Reader:
    """What a client has read of a run, in however many pieces."""

    run_id: str
    read: list[Recorded] = field(default_factory=list)
    deleted: bool = False  # it was told that there is nothing to read any more

    @property
    def last(self) -> int:
        return self.read[-1].position if self.read else -1

    @property
    def ended(self) -> bool:
        return self.deleted or (bool(self.read) and isinstance(self.read[-1].event, TERMINAL))


@dataclass(slots=True)
class Request:
    """A message that a client sends until it is answered."""

    text: str
    session: str | None
    keyed: bool
    run_ids: dict[str, None] = field(default_factory=dict)  # in the acknowledgements
    rejected: bool = False


@dataclass(slots=True)
class Witness:
    state: State
    looks_dead: Callable[[str], bool]
    broken: list[str] = field(default_factory=list)
    accepted: dict[str, Run] = field(default_factory=dict)  # in this order
    now: float = 0.0
    holders: dict[str, str] = field(default_factory=dict)  # who has a run and has not given it back
    renewed: dict[str, float] = field(default_factory=dict)  # when its holder last said so
    cancelled: set[str] = field(default_factory=set)  # runs that somebody was told will stop
    players: dict[tuple[str, int], str] = field(default_factory=dict)  # who got a run and attempt
    finished: set[str] = field(default_factory=set)  # tool calls whose result is in a log
    effects: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))  # by call, who did it
    requests: list[Request] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)  # names of conversations that somebody wanted to be gone

    # while it happens --------------------------------------------------------------------------------------------

    def saw(self, now: float, player: str, name: str, args: Sequence[Any], result: Any) -> None:
        self.now = now
        match name:
            case "runs.cancel":
                self.cancelled.add(args[1])
            case "runs.begin":
                self._begun(player, result)
            case "queue.claim":
                for run in result:
                    self._claimed(player, run)
            case "queue.renew":
                self._renewed(args[0], args[1], result)
            case "queue.release":
                for run in args[1]:
                    self._released(player, run)
            case "events.append":
                for append in args[0]:
                    if append.run_id not in result:
                        self._appended(player, append)
            case "events.absorb" if result is not None:
                self._appended(player, Append(args[0], args[1], ()))

    def _begun(self, player: str, begun: Begun) -> None:
        if begun.fresh:
            self.accepted[begun.run.id] = begun.run
            if begun.disturbed is not None and begun.run.options.on_busy != "steer":
                self.cancelled.add(begun.disturbed.id)
            if begun.run.status is RunStatus.IN_PROGRESS:
                self._claimed(player, begun.run)

    def _released(self, player: str, run: Run) -> None:
        now, holder = self.state.runs.get(run.id), self.holders.get(run.id)
        if now is None or holder is None or (now.status, now.attempt) != (RunStatus.QUEUED, run.attempt + 1):
            return
        if holder != player and self._claim_holds(run.id) and not self.looks_dead(holder):
            self.broken.append(f"attempt {run.attempt} of {run.id} is taken from {holder}, who is alive")
        del self.holders[run.id]

    def _claimed(self, player: str, run: Run) -> None:
        holder = self.holders.get(run.id)
        if holder is not None and self._claim_holds(run.id):
            self.broken.append(f"attempt {run.attempt} of {run.id} is taken from {holder}, who is alive")
        self.holders[run.id] = player
        self.renewed[run.id] = self.now
        before = self.players.setdefault((run.id, run.attempt), player)
        if before != player:
            self.broken.append(f"{player} was given attempt {run.attempt} of {run.id}, which is {before}'s")

    def _renewed(self, claim: Claim, run_ids: Iterable[str], held: Mapping[str, Asked | None]) -> None:
        for run_id in run_ids:
            if run_id in self.cancelled and run_id in held and held[run_id] is None:
                self.broken.append(f"{claim.player} is not told that {run_id} was asked to stop")
            if self.holders.get(run_id) != claim.player:
                continue
            if self._claim_holds(run_id):
                self.renewed[run_id] = self.now
            else:  # so late that somebody may be about to take it over
                del self.holders[run_id]

    def _claim_holds(self, run_id: str) -> bool:
        """Whether it does by everybody's clock."""
        return self.now < self.renewed[run_id] + LEASE.total_seconds() - CLOCKS_DIFFER

    def _appended(self, player: str, append: Append) -> None:
        owner = self.players.get((append.run_id, append.attempt))
        if owner != player:
            self.broken.append(f"{player} wrote into attempt {append.attempt} of {append.run_id}, which is {owner}'s")
        run = self.state.runs[append.run_id]
        if run.attempt != append.attempt:
            self.broken.append(f"{player} wrote into {run.id} when its attempt {append.attempt} was over")
        for entry in append.events:
            if isinstance(entry.event, ItemDone) and entry.event.name == "tool_output":
                self.finished.add(entry.event.item["call_id"])

    def tool_begins(self, player: str, call_id: str) -> None:
        if call_id in self.finished:
            self.broken.append(f"{player} makes {call_id} again, whose result is in the log")
        self.effects[call_id].append(player)

    def turn_begins(self, turn: Turn) -> None:
        if complete_pairs(turn.history) != list(turn.history):
            self.broken.append(f"{turn.run.id} was given a history with a torn call")

    # when all is over --------------------------------------------------------------------------------------------

    def look_back(self) -> None:
        for request in self.requests:
            self._check_request(request)
        for run_id in self.accepted:
            if run := self.state.runs.get(run_id):
                self._check_run(run, self.log(run_id))
        for conversation_id in self.state.conversations:
            self._check_history(conversation_id)
        for reader in self.readers:
            self._check_reader(reader)

    def log(self, run_id: str) -> list[Recorded]:
        reading = MemoryEvents(self.state).read(USER, run_id, -1, sys.maxsize)
        return list(at_once(reading))

    def _check_request(self, request: Request) -> None:
        may_be_gone = request.session in self.deleted
        for run_id in request.run_ids:
            if run_id not in self.state.runs and not may_be_gone:
                self.broken.append(f"{run_id} was acknowledged and is not there")
        if request.keyed and len(request.run_ids) > 1 and not may_be_gone:
            self.broken.append(f"one key gave {len(request.run_ids)} runs: {', '.join(request.run_ids)}")
        if request.rejected and any(text_of(run.input[-1]) == request.text for run in self.accepted.values()):
            self.broken.append(f"{request.text!r} was rejected and accepted")

    def _check_run(self, run: Run, log: list[Recorded]) -> None:
        if not run.status.ended:
            self.broken.append(f"{run.id} is still {run.status}")
            return
        positions = [entry.position for entry in log]
        if positions != sorted(set(positions)):
            self.broken.append(f"the positions of {run.id} do not grow")
        if any(isinstance(entry.event, TERMINAL) for entry in log[:-1]):
            self.broken.append(f"the log of {run.id} goes on after its end")
        self._check_end(run, log[-1])
        self._check_attempts(run, log)
        self._check_steps(run, log)
        self._check_steered(run, log)
        if lost := [entry for entry in _finished(log) if entry not in settled(log)]:
            self.broken.append(f"{run.id} tells its readers to forget {len(lost)} finished steps")

    def _check_end(self, run: Run, last: Recorded) -> None:
        match last.event:
            case RunCompleted(status=status):
                pass
            case RunFailed():
                status = RunStatus.FAILED
            case _:
                self.broken.append(f"{run.id} is {run.status}, but its log has no end")
                return
        if status is not run.status:
            self.broken.append(f"{run.id} is {run.status}, its log says {status}")

    def _check_attempts(self, run: Run, log: list[Recorded]) -> None:
        begun = [entry for entry in log if isinstance(entry.event, RunStarted | RunResumed)]
        places = [first_position(attempt) for attempt in range(run.attempt + 1) if (run.id, attempt) in self.players]
        if run.superseded_by:
            places.append(first_position(run.attempt))
        if [entry.position for entry in begun] != places:
            self.broken.append(f"the attempts of {run.id} begin at {[e.position for e in begun]}, not at {places}")

    def _check_steps(self, run: Run, log: list[Recorded]) -> None:
        asked = [(e.event.path, e.event.ordinal) for e in log if isinstance(e.event, ModelAnswered)]
        made = [e.event.item["call_id"] for e in log if isinstance(e.event, ItemDone) and "call_id" in e.event.item]
        if len(set(asked)) != len(asked):
            self.broken.append(f"{run.id} asked its model the same again: {asked}")
        if any(made.count(call_id) > 2 for call_id in made):
            self.broken.append(f"{run.id} holds a call or its output twice: {made}")
        if not isinstance(log[0].event, RunStarted) and any(
            (run.id, a) in self.players for a in range(run.attempt + 1)
        ):
            self.broken.append(f"the log of {run.id} does not begin at its beginning")

    def _check_steered(self, run: Run, log: list[Recorded]) -> None:
        taken = [run_id for entry in log if isinstance(entry.event, Steered) for run_id in entry.event.runs]
        for run_id in taken:
            other = self.state.runs.get(run_id)
            if taken.count(run_id) > 1 or (other is not None and other.steered_into != run.id):
                self.broken.append(f"{run.id} has taken {run_id}, which is taken twice")

    def _check_reader(self, reader: Reader) -> None:
        if reader.run_id not in self.state.runs:
            return
        if reader.deleted:
            self.broken.append(f"a reader was told that {reader.run_id} is gone, which it is not")
        read = [entry.position for entry in reader.read]
        if read != sorted(set(read)):
            self.broken.append(f"a reader of {reader.run_id} got something twice or in disorder: {read}")
        kept = settled(reader.read)
        if lost := [entry for entry in _finished(reader.read) if entry not in kept]:
            self.broken.append(f"a reader of {reader.run_id} was shown {lost}, which came to nothing")
        if kept != (wanted := settled(self.log(reader.run_id))):
            missing = [entry for entry in wanted if entry not in kept]
            doubled = [entry for entry in kept if entry not in wanted]
            self.broken.append(f"a reader of {reader.run_id} misses {missing} and has {doubled} too much")

    def _check_history(self, conversation_id: str) -> None:
        runs = [self.state.runs[run.id] for run in self.accepted.values() if run.conversation_id == conversation_id]
        current = self._items(conversation_id, self.state.conversations[conversation_id].branch)
        order = [run_id for run_id, _ in groupby(item.run_id for item in current)]
        expected = [run.id for run in runs if not run.superseded_by and not run.steered_into]
        if order != expected:
            self.broken.append(f"the turns of {conversation_id} are {order}, accepted were {expected}")
        for run in runs:
            if run.steered_into:
                self._check_taken(run)
            else:
                self._check_place(run, current)

    def _check_taken(self, run: Run) -> None:
        """The run that took its message says so, once."""
        assert run.steered_into is not None
        taker = self.state.runs.get(run.steered_into)
        told = [item for item in self._steered(taker) if item in run.input] if taker else list(run.input)
        if told != list(run.input):
            self.broken.append(f"{run.steered_into} has taken {run.id}, and was told {told}")

    def _steered(self, run: Run) -> list[Content]:
        return [item for entry in self.log(run.id) if isinstance(entry.event, Steered) for item in entry.event.items]

    def _check_place(self, run: Run, current: list[Item]) -> None:
        """It is on the current branch, or on one that says by what it was superseded."""
        assert run.conversation_id is not None
        items = current
        if run.superseded_by:
            branch = self.state.branches[run.conversation_id].get(run.branch or "")
            if branch is None or branch.superseded_by != run.superseded_by:
                self.broken.append(f"{run.id} was undone and is not to be seen")
                return
            items = self._items(run.conversation_id, branch.id)
        contents = [item.content for item in items]
        if complete_pairs(contents) != contents:
            self.broken.append(f"the history of {run.id} has a torn call")
        self._check_turn(run, [item.content for item in items if item.run_id == run.id])

    def _items(self, conversation_id: str, branch: str) -> list[Item]:
        """A history, oldest first."""
        item_id = self.state.branches[conversation_id][branch].head
        items: list[Item] = []
        while item_id is not None:
            items.append(self.state.items[conversation_id][item_id])
            item_id = items[-1].parent
        return items[::-1]

    def _check_turn(self, run: Run, said: list[Content]) -> None:
        """The history says what the log says."""
        done: list[Content] = []
        for entry in self.log(run.id):
            match entry.event:
                case ItemDone(path="", item=item):
                    done.append(item)
                case Steered(items=items):
                    done += items
        expected = [*run.input, *complete_pairs(done)]
        if said[: len(expected)] != expected:
            self.broken.append(f"the history of {run.id} is {said}, its log says {expected}")
        rest = said[len(expected) :]
        if any(item.get("status") != "incomplete" for item in rest):
            self.broken.append(f"the history of {run.id} has {rest} too much")


def _finished(log: list[Recorded]) -> list[Recorded]:
    return [entry for entry in log if not isinstance(entry.event, SHOWN_AT_ONCE)]

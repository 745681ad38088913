"""What a run's log knows already. A run that is taken up again is replayed from it: what is here is not asked again.

Model answers are found by the path of the call and its ordinal there, outputs of tools and hand-offs and what people have
decided by the id of their call, messages that reached the run while it was played by the ordinal of the answer they came before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dragoman.domain.events import (
    AgentUpdated,
    ApprovalDecided,
    ApprovalRequested,
    Event,
    HistorySummarized,
    ItemDone,
    ModelAnswered,
    Steered,
)
from dragoman.domain.items import Content, is_call

_OUTPUTS = frozenset({"tool_output", "handoff_occurred"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished model answer with its items."""

    closed: ModelAnswered
    items: tuple[ItemDone, ...]


@dataclass(frozen=True, slots=True)
class Journal:
    answers: Mapping[tuple[str, int], Answer] = field(default_factory=dict)
    outputs: Mapping[str, ItemDone] = field(default_factory=dict)
    agent_updates: int = 0  # how many changes of agent have been shown
    requested: frozenset[str] = frozenset()  # ids of the calls that wait for a person, or have waited
    decisions: Mapping[str, ApprovalDecided] = field(default_factory=dict)  # by call id
    steered: Mapping[int, Sequence[Content]] = field(
        default_factory=dict
    )  # by the ordinal of the root answer behind it
    summary: Content | None = None  # of what was too old for the run

    def answer(self, path: str, ordinal: int) -> Answer | None:
        return self.answers.get((path, ordinal))

    def output(self, call_id: str) -> ItemDone | None:
        return self.outputs.get(call_id)

    @property
    def called(self) -> frozenset[str]:
        """The names of the tools that were called."""
        items = (done.item for answer in self.answers.values() for done in answer.items)
        return frozenset(item["name"] for item in items if is_call(item) and "name" in item)

    @property
    def empty(self) -> bool:
        return not self.answers

    def under(self, path: str) -> "Journal":
        """What it knows of a part of the run, as if that were a run of its own."""
        mine = {
            (inner, ordinal): Answer(replace(answer.closed, path=inner), _without(path, answer.items))
            for (place, ordinal), answer in self.answers.items()
            if (inner := inside(path, place)) is not None
        }
        return replace(self, answers=mine, agent_updates=0, steered={})

    def items(self, path: str) -> tuple[ItemDone, ...]:
        """All that was said in a part of the run and that its tools have answered."""
        said = [done for _, answer in sorted(self.answers.items(), key=lambda pair: pair[0]) for done in answer.items]
        return _without(path, (*said, *self.outputs.values()))


def below(path: str, inner: str) -> str:
    """The path of what stands at ``inner`` in the part of a run at ``path``."""
    return f"{path}/{inner}" if inner else path


def inside(path: str, place: str) -> str | None:
    """The reverse: ``None`` where it stands elsewhere."""
    if place == path:
        return ""
    return place[len(path) + 1 :] if place.startswith(f"{path}/") else None


def _without(path: str, items: Iterable[ItemDone]) -> tuple[ItemDone, ...]:
    """Those of the items that stand below a path, without it."""
    return tuple(replace(done, path=inner) for done in items if (inner := inside(path, done.path)) is not None)


def journal_of(events: Iterable[Event]) -> Journal:
    """The journal of a log, read from its start. An answer that was not closed is none."""
    answers: dict[tuple[str, int], Answer] = {}
    outputs: dict[str, ItemDone] = {}
    said: dict[str, list[ItemDone]] = {}
    agent_updates = 0
    requested: set[str] = set()
    decisions: dict[str, ApprovalDecided] = {}
    steered: dict[int, list[Content]] = {}
    answered = 0  # by the root agent
    summary: Content | None = None
    for event in events:
        match event:
            case HistorySummarized():
                summary = event.item
            case ItemDone(name=name) if name in _OUTPUTS:
                outputs[event.item["call_id"]] = event
            case ItemDone():
                said.setdefault(event.path, []).append(event)
            case ModelAnswered():
                items = said.pop(event.path, [])
                kept = items[len(items) - event.items :]
                answers[event.path, event.ordinal] = Answer(event, tuple(kept))
                answered += not event.path
            case AgentUpdated():
                agent_updates += 1
            case ApprovalRequested():
                requested.add(event.call_id)
            case ApprovalDecided():
                decisions[event.call_id] = event
            case Steered(items=items) if items:
                steered.setdefault(answered, []).extend(items)
    return Journal(answers, outputs, agent_updates, frozenset(requested), decisions, steered, summary)

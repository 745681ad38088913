"""What a run has said and done so far, as its own events tell it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from dragoman.domain.events import (
    UNFINISHED,
    ApprovalDecided,
    ApprovalRequested,
    Delta,
    Event,
    HistorySummarized,
    ItemDone,
    ModelAnswered,
    ModelFailed,
    Recorded,
    Row,
    RunCompleted,
    RunResumed,
    Steered,
    resumed,
    unpack,
)
from dragoman.domain.items import NewItem, assistant_message, complete_pairs, is_call, is_output
from dragoman.domain.runs import Run, RunStatus
from dragoman.domain.usage import Usage


@dataclass(slots=True)
class Story:
    """Gathered event by event: what the run has used, and the items it adds to its conversation."""

    handed_back: frozenset[str] = frozenset()  # tools whose calls wait for the caller
    items: list[NewItem] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    turns: int = 0
    unfinished: list[str] = field(default_factory=list)  # text of the message being written
    asked: bool = False  # whether it has asked for an approval

    def add(self, event: Event) -> None:
        match event:
            case Delta(kind="text", path=""):
                self.unfinished.append(event.text)
            case ItemDone(path=""):
                self.items.append(NewItem(event.item))
                if event.name == "message_output_created":
                    self.unfinished.clear()
            case Steered():
                self.items += map(NewItem, event.items)
            case HistorySummarized():
                self.items.append(NewItem(event.item))
            case RunResumed():
                self.unfinished.clear()
            case ModelAnswered():
                self.usage = self.usage + event.used
                if not event.path:
                    self.turns += 1
                    self.unfinished.clear()
            case ModelFailed():
                self.usage = self.usage + event.used
            case ApprovalRequested():
                self.asked = True
            case ApprovalDecided(arguments=arguments) if arguments is not None:
                self.items = [_changed(item, event) for item in self.items]

    @property
    def calling(self) -> bool:
        """Whether tools are at work: some call has no output yet."""
        calls = {item.content["call_id"] for item in self.items if is_call(item.content)}
        return not calls.issubset(item.content["call_id"] for item in self.items if is_output(item.content))

    def told(self) -> tuple[NewItem, ...]:
        """The items for the history. A half answer is kept as such; no call of ours is without an output."""
        kept = {id(item.content): item for item in self.items}
        contents = complete_pairs((item.content for item in self.items), self.handed_back)
        items = [kept.get(id(content)) or NewItem(content, status="incomplete") for content in contents]
        if said := "".join(self.unfinished):
            items.append(NewItem({**assistant_message(said), "status": "incomplete"}, status="incomplete"))
        return tuple(items)


def _changed(item: NewItem, decided: ApprovalDecided) -> NewItem:
    """A call with the arguments that a person put in the place of the model's."""
    if not is_call(item.content) or item.content["call_id"] != decided.call_id:
        return item
    return replace(item, content={**item.content, "arguments": json.dumps(decided.arguments, ensure_ascii=False)})


def story_of(events: Iterable[Event], handed_back: frozenset[str] = frozenset()) -> Story:
    """The story of a log, read from its start."""
    story = Story(handed_back)
    for event in events:
        story.add(event)
    return story


def undone(run: Run, log: Iterable[Row]) -> tuple[Story, list[Recorded]]:
    """What a run had finished that is undone in this attempt, and how its log ends: without what was not finished."""
    story, finished = Story(run.options.handed_back), -1
    for row in log:
        for entry in unpack(row):
            story.add(entry.event)
        if row.kind not in UNFINISHED:
            finished = row.position
    last = resumed(run, finished, "superseded")
    story.add(last.event)
    ended = RunCompleted(RunStatus.CANCELLED, None, story.usage, story.turns, run.session_id)
    return story, [last, Recorded(last.position + 1, ended)]

"""A part of a run, as its own runtime sees it: a run with a path of its own in the log of the whole."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field, replace

from dragoman.application.workflows.purse import Purse
from dragoman.domain.events import (
    AgentUpdated,
    ApprovalRequested,
    Delta,
    Event,
    ItemDone,
    ModelAnswered,
    ModelFailed,
    Progress,
)
from dragoman.domain.journal import below
from dragoman.ports.runtime import Recorder

PLACED = (Delta, ItemDone, ModelAnswered, ModelFailed, Progress, ApprovalRequested)
"""The events that say where in the run they belong."""


@dataclass(slots=True)
class PartRecorder:
    """``Recorder`` that writes under a path, remembers the items, and tells the purse what was spent."""

    whole: Recorder
    path: str
    purse: Purse
    items: list[ItemDone] = field(default_factory=list)

    def show(self, event: Event) -> None:
        self.whole.show(self._placed(event))

    def record(self, *events: Event) -> Awaitable[None]:
        for event in events:
            if isinstance(event, ItemDone):
                self.items.append(event)
            elif isinstance(event, ModelAnswered | ModelFailed):
                self.purse.settle(event)
        placed = [self._placed(event) for event in events if not isinstance(event, AgentUpdated)]
        return self.whole.record(*placed) if placed else _settled()

    def _placed(self, event: Event) -> Event:
        if isinstance(event, PLACED):
            return replace(event, path=below(self.path, event.path))
        return event


def _settled() -> Awaitable[None]:
    """What changes hands inside of a part is nobody's business."""
    settled = asyncio.get_running_loop().create_future()
    settled.set_result(None)
    return settled

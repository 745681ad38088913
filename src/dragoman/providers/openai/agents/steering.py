"""What is said to a run while it is played, put where its models would have found it.

The Runner knows nothing of it: a message is put into the request on its way to the model, and again into every later one,
behind what the model had been told when it came.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dragoman.domain.items import Content
from dragoman.providers.openai.agents import translate


@dataclass(slots=True)
class Steering:
    """By the ordinal of the answer that the messages came before."""

    heard: dict[int, list[Content]]
    _places: dict[int, int] = field(default_factory=dict)  # behind how many items of the Runner's

    def hear(self, ordinal: int, messages: Sequence[Content]) -> None:
        if messages:
            self.heard.setdefault(ordinal, []).extend(messages)

    def into(self, told: Sequence[Any], ordinal: int, *, remembered: bool) -> list[Any]:
        """What the model is told for this answer, with all that has been said by now; or what is new, where its endpoint
        remembers the rest."""
        steered = list(told)
        if ordinal in self.heard:
            self._places[ordinal] = len(told)
        for said in sorted(self._places, reverse=True):
            if said == ordinal or not remembered:
                place = _between_calls(steered, self._places[said])
                steered[place:place] = translate.model_input((), self.heard[said])
        return steered


def steering(journal: Mapping[int, Sequence[Content]]) -> Steering:
    return Steering({ordinal: list(messages) for ordinal, messages in journal.items()})


def _between_calls(told: Sequence[Any], place: int) -> int:
    """Where a hand-off has left less of what was told, its place may be gone: the next at which no call waits for an output."""
    waiting: set[str] = set()
    for at, item in enumerate(told):
        if at >= place and not waiting:
            return at
        if call_id := item.get("call_id"):
            (waiting.discard if "output" in item else waiting.add)(call_id)
    return len(told)

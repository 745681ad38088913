"""Items: what a conversation consists of, in the vocabulary of the Open Responses specification.

An item's content is the JSON of one Responses item (``message``, ``function_call``, ``function_call_output``,
``reasoning``, …). It is the one form in which items are logged, stored, shown and given to a model.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from dragoman.domain.ids import item_id

Content = dict[str, Any]
ItemStatus = Literal["completed", "incomplete", "blocked", "superseded"]

WITHHELD: frozenset[ItemStatus] = frozenset({"blocked", "superseded"})
"""Their owner sees them; no model ever does."""

UNANSWERED = "The call was interrupted; whether it took effect is unknown."
"""Stands in for the output of a tool call that has none, so that no history holds an orphan."""


@dataclass(frozen=True, slots=True)
class Item:
    id: str
    conversation_id: str
    parent: str | None
    run_id: str | None
    content: Content
    created_at: datetime
    status: ItemStatus = "completed"

    @property
    def kind(self) -> str:
        return kind_of(self.content)

    @property
    def role(self) -> str | None:
        role: str | None = self.content.get("role")
        return role


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item that has not found its place in a conversation yet; the store chains it to the head of a branch."""

    content: Content
    status: ItemStatus = "completed"
    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", item_id())


def message(role: str, text: str) -> Content:
    return {"type": "message", "role": role, "content": text}


def assistant_message(text: str) -> Content:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "status": "completed", "content": [part]}


def tool_call(call_id: str, name: str, arguments: str) -> Content:
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def tool_output(call_id: str, output: Any) -> Content:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def kind_of(content: Content) -> str:
    kind: str = content.get("type") or "message"
    return kind


def text_of(content: Content) -> str:
    """The words of a message, whichever of its shapes it has; empty for anything else."""
    body = content.get("content")
    if isinstance(body, str):
        return body
    if not isinstance(body, list):
        return ""
    return "".join(part.get("text") or part.get("refusal") or "" for part in body if isinstance(part, dict))


def urls_in(value: Any, where: str) -> Iterator[tuple[str, str]]:
    """The addresses of images and files in an item, to which whoever reads it will be sent, with the fields they stand in:
    ``image_url`` and its like, bare or with the address inside. Data is no address, and a citation sends nobody anywhere."""
    if isinstance(value, list):
        for index, inner in enumerate(value):
            yield from urls_in(inner, f"{where}.{index}")
    elif isinstance(value, dict):
        for name, inner in value.items():
            field = f"{where}.{name}"
            if name.endswith("_url") and isinstance(inner, dict):
                inner, field = inner.get("url"), f"{field}.url"
            if not name.endswith("_url"):
                yield from urls_in(inner, field)
            elif isinstance(inner, str) and inner[:5].lower() != "data:":
                yield field, inner


def is_call(content: Content) -> bool:
    return kind_of(content) == "function_call"


def is_output(content: Content) -> bool:
    return kind_of(content) == "function_call_output"


def complete_pairs(contents: Iterable[Content], handed_back: Collection[str] = ()) -> list[Content]:
    """The same items, with an output behind every call and a call before every output.

    Some models use a call id again in a later turn, so an output belongs to the last call before it. A call of a tool that
    is ``handed_back`` may wait.
    """
    result: list[Content] = []
    waiting: dict[str, int] = {}  # where in the result the calls without an output stand
    unanswered: list[int] = []
    for item in contents:
        if is_output(item) and waiting.pop(item["call_id"], None) is None:
            continue
        if is_call(item):
            if (earlier := waiting.get(item["call_id"])) is not None:
                unanswered.append(earlier)
            waiting[item["call_id"]] = len(result)
        result.append(item)
    for place in sorted([*unanswered, *waiting.values()], reverse=True):
        if result[place].get("name") not in handed_back:
            result.insert(place + 1, tool_output(result[place]["call_id"], UNANSWERED))
    return result


def answering(history: Sequence[Content], given: Sequence[Content]) -> tuple[list[Content], list[Content]]:
    """History and input of a turn, both complete: outputs in the input whose calls wait in the history are put there."""
    answered = complete_pairs(_gathered([*history, *(item for item in given if is_output(item))]))
    at_home = {id(item) for item in answered}
    return answered, complete_pairs(_gathered(item for item in given if id(item) not in at_home))


def _gathered(contents: Iterable[Content]) -> list[Content]:
    """The same items, with outputs that came late moved up to the calls and outputs around their own call."""
    result: list[Content] = []
    calls: dict[str, Content] = {}
    for item in contents:
        if is_call(item):
            calls[item["call_id"]] = item
        elif is_output(item) and (call := calls.pop(item["call_id"], None)) is not None:
            result.insert(_end_of_group(result, call), item)
            continue
        result.append(item)
    return result


def _end_of_group(contents: Sequence[Content], call: Content) -> int:
    """Behind the calls and outputs that follow a call."""
    end = len(contents)
    for place in range(len(contents) - 1, -1, -1):
        if not (is_call(contents[place]) or is_output(contents[place])):
            end = place
        elif contents[place] is call:
            break
    return end


def window(contents: Sequence[Content], limit: int) -> list[Content]:
    """The newest items, at most ``limit``, never beginning inside a call and its output."""
    kept: list[Content] = []
    called: set[str] = set()
    for item in contents[-limit:] if limit > 0 else ():
        if is_call(item):
            called.add(item["call_id"])
        if not is_output(item) or item["call_id"] in called:
            kept.append(item)
    return kept

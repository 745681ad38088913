"""What the demo model is asked, as its rules see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dragoman.domain.items import Content, is_call, is_output, text_of
from dragoman.domain.memory import HEADING


@dataclass(frozen=True, slots=True)
class ToolOffer:
    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class HandoffOffer:
    tool: str
    agent: str
    description: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a tool answered since the person spoke last."""

    tool: str
    arguments: str
    output: str


@dataclass(frozen=True, slots=True)
class Question:
    text: str  # what the person said last
    said: Sequence[str]  # everything the person said before, oldest first
    results: Sequence[Result]
    calls_made: int  # since the person spoke last, hand-offs included
    first: bool  # nothing has been answered in this conversation yet
    handed_over: bool  # the message came from another agent
    instructions: str
    tools: Sequence[ToolOffer]
    handoffs: Sequence[HandoffOffer]
    schema: dict[str, Any] | None

    def tool(self, name: str) -> ToolOffer | None:
        return next((tool for tool in self.tools if tool.name == name), None)


def read(
    items: Sequence[Content],
    *,
    instructions: str = "",
    tools: Sequence[ToolOffer] = (),
    handoffs: Sequence[HandoffOffer] = (),
    schema: dict[str, Any] | None = None,
) -> Question:
    """The question in a conversation: its last words of a person, and what tools have answered since."""
    spoken = [i for i, item in enumerate(items) if item.get("role") == "user"]
    last = spoken[-1] if spoken else -1
    since = items[last + 1 :]
    calls = {item["call_id"]: item for item in since if is_call(item)}
    answered = [(calls[item["call_id"]], item) for item in since if is_output(item) and item["call_id"] in calls]
    transfers = [call for call, _ in answered if _is_transfer(call)]
    return Question(
        text=text_of(items[last]) if spoken else "",
        said=[*_summaries(items), *(text_of(items[i]) for i in spoken[:-1])],
        results=[
            Result(call["name"], call["arguments"], _text(output["output"]))
            for call, output in answered
            if call not in transfers
        ],
        calls_made=len(answered),
        first=not any(item.get("role") == "assistant" for item in items),
        handed_over=bool(transfers),
        instructions=instructions,
        tools=tools,
        handoffs=handoffs,
        schema=schema,
    )


def _summaries(items: Sequence[Content]) -> list[str]:
    """What was said before these, as far as somebody has summarised it."""
    told = (text_of(item) for item in items if item.get("role") == "developer")
    return [line for text in told if text.startswith(HEADING) for line in text.splitlines()[1:]]


def _is_transfer(call: Content) -> bool:
    name: str = call["name"]
    return name.startswith("transfer_to_")


def _text(output: Any) -> str:
    return output if isinstance(output, str) else text_of({"content": output}) or "something that is not text"

"""From the SDK's objects to our events and items, and back. Pure functions."""

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any, cast

from agents import TResponseInputItem
from agents.models.fake_id import FAKE_RESPONSES_ID as PLACEHOLDER_ID
from openai.types.responses import ResponseUsage
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from dragoman.domain.events import Delta, DeltaKind, ItemName
from dragoman.domain.items import Content, kind_of, text_of
from dragoman.domain.text import storable, storable_json
from dragoman.domain.usage import Usage

DELTAS: dict[str, DeltaKind] = {
    "response.output_text.delta": "text",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.reasoning_text.delta": "reasoning",
    "response.refusal.delta": "refusal",
}
ARGUMENTS_DELTA = "response.function_call_arguments.delta"

_NAMES: dict[str, ItemName] = {
    "message": "message_output_created",
    "reasoning": "reasoning_item_created",
    "mcp_list_tools": "mcp_list_tools",
    "mcp_approval_request": "mcp_approval_requested",
}
_NOISE = frozenset({"model", "response_id"})
"""What the SDK's Chat Completions adapter notes on every item; the log says it once, in ``ModelAnswered``."""


def delta(event: Any, path: str = "", *, call_id: str | None = None, tool: str | None = None) -> Delta | None:
    """A piece of text of any kind, or ``None`` for an event that carries none."""
    kind: DeltaKind | None = "arguments" if event.type == ARGUMENTS_DELTA else DELTAS.get(event.type)
    if kind is None or not event.delta:
        return None
    return Delta(kind, storable(event.delta), path, event.output_index, call_id, tool)


def item_name(content: Content, handoffs: Collection[str] = ()) -> ItemName:
    """What a finished output item is called; ``handoffs`` are the tool names that stand for hand-offs."""
    kind = kind_of(content)
    if kind == "function_call" and content.get("name") in handoffs:
        return "handoff_requested"
    return _NAMES.get(kind, "tool_called")


def item(output: BaseModel | dict[str, Any]) -> Content:
    """The JSON of an output item: what was set, under its name on the wire, without placeholders."""
    if isinstance(output, BaseModel):
        output = output.model_dump(mode="json", by_alias=True, exclude_unset=True)
    content: Content = storable_json(output)
    if content.get("id") == PLACEHOLDER_ID:
        del content["id"]
    if _NOISE.issuperset(content.get("provider_data", {})):
        content.pop("provider_data", None)
    return content


def returned(output: Any) -> Any:
    """What a tool returned, from the output it became: text, or parts, which the SDK calls by shorter names than the wire."""
    if not isinstance(output, list):
        return output
    return [{**part, "type": part["type"].removeprefix("input_")} for part in output]


def handoff_outputs(to: str) -> Iterator[str]:
    """What the SDK answers to the hand-offs of one turn, in their order: only the first takes place."""
    yield json.dumps({"assistant": to})
    while True:
        yield "Multiple handoffs detected, ignoring this one."


def response_id(given: str | None) -> str | None:
    """An endpoint's id of its answer; Chat Completions has none."""
    return None if given == PLACEHOLDER_ID else given


def usage(reported: ResponseUsage | None, model: str) -> Usage:
    """One model call's usage; an endpoint that reports none still answered once."""
    if reported is None:
        return Usage(requests=1, models=(model,))
    cached, reasoning = reported.input_tokens_details, reported.output_tokens_details
    return Usage(
        requests=1,
        input_tokens=reported.input_tokens,
        output_tokens=reported.output_tokens,
        total_tokens=reported.total_tokens,
        cached_input_tokens=(cached.cached_tokens if cached else 0) or 0,
        reasoning_tokens=(reasoning.reasoning_tokens if reasoning else 0) or 0,
        models=(model,),
    )


def model_input(history: Sequence[Content], given: Sequence[Content]) -> list[TResponseInputItem]:
    """What the first model call of a run sees: earlier turns without their reasoning, then the run's own input."""
    spoken = (content for content in (*history, *given) if kind_of(content) != "reasoning")
    return [item for content in spoken if (item := _input_item(content))]


def _input_item(content: Content) -> TResponseInputItem | None:
    """An item as an input: without the ids and marks that only its first endpoint understands.

    What an agent said becomes plain text, the one form that both dialects take; if it said nothing, it is left out.
    """
    if kind_of(content) == "message" and content["role"] == "assistant":
        text = text_of(content)
        return {"role": "assistant", "content": text} if text else None
    kept = {name: value for name, value in content.items() if name not in ("id", "provider_data", "status")}
    if "arguments" in kept and not is_object(kept["arguments"]):
        kept["arguments"] = "{}"  # what a model once scribbled must not make every later call fail
    if kind_of(content) == "message" and isinstance(content["content"], str):
        kept = {"role": content["role"], "content": content["content"]}
    return cast(TResponseInputItem, kept)


def is_object(text: Any) -> bool:
    """Whether a text is a JSON object."""
    try:
        return isinstance(json.loads(text), dict)
    except (TypeError, ValueError):
        return False


def final_output(value: Any) -> Any:
    """What an agent ended with, as text or JSON."""
    if value is None or isinstance(value, str):
        return value
    return to_jsonable_python(value, fallback=str)

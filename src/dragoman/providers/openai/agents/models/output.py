"""Finished answers as the SDK wants them: real output items in a ``Response``, made without its slow constructors."""

import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

from agents.items import TResponseOutputItem
from agents.models.fake_id import FAKE_RESPONSES_ID
from openai.types.responses import (
    Response,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseReasoningItem,
    ResponseUsage,
)
from openai.types.responses.response import IncompleteDetails
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails
from pydantic import BaseModel, ValidationError

BYTES_PER_TOKEN = 4
"""Of text, about, in the tokenizers of today; for endpoints that do not count for us."""

Cut = Literal["max_output_tokens", "content_filter"]

_KINDS: dict[str, type[BaseModel]] = {
    "message": ResponseOutputMessage,
    "function_call": ResponseFunctionToolCall,
    "reasoning": ResponseReasoningItem,
}


def response(
    output: Sequence[TResponseOutputItem],
    usage: ResponseUsage,
    *,
    id: str | None = None,
    cut: Cut | None = None,
) -> Response:
    """A finished answer; ``cut`` says why the endpoint stopped before its end."""
    return _blank().model_copy(
        update={
            "id": id or FAKE_RESPONSES_ID,
            "created_at": time.time(),
            "output": list(output),
            "usage": usage,
            "incomplete_details": IncompleteDetails(reason=cut) if cut else None,
        }
    )


@functools.cache
def _blank() -> Response:
    return Response(
        id=FAKE_RESPONSES_ID,
        created_at=0,
        model="",
        object="response",
        output=[],
        parallel_tool_calls=True,
        tool_choice="auto",
        tools=[],
    )


def item(content: Mapping[str, Any]) -> TResponseOutputItem:
    """An output item from its JSON, of whatever kind, with whatever an endpoint adds or leaves out."""
    if kind := _KINDS.get(content.get("type", "")):
        try:
            return cast(TResponseOutputItem, kind.model_validate(content))
        except ValidationError:
            pass
    return Response.construct(output=[content]).output[0]


def usage(
    input_tokens: int,
    output_tokens: int,
    total_tokens: int = 0,
    *,
    cached: int = 0,
    written: int = 0,
    reasoning: int = 0,
) -> ResponseUsage:
    return ResponseUsage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=total_tokens or input_tokens + output_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=cached, cache_write_tokens=written),
        output_tokens_details=OutputTokensDetails(reasoning_tokens=reasoning),
    )


def estimated_usage(sent: int, received: int) -> ResponseUsage:
    """From the bytes that went each way, marked as what it is."""
    guess = usage(-(-sent // BYTES_PER_TOKEN), -(-received // BYTES_PER_TOKEN))
    return guess.model_copy(update={"estimated": True})


def is_estimate(reported: ResponseUsage | None) -> bool:
    return getattr(reported, "estimated", False)


def count(counts: Any, name: str) -> int:
    """A number of tokens, where an endpoint reports one."""
    value = counts.get(name) if isinstance(counts, dict) else None
    return value if isinstance(value, int) else 0

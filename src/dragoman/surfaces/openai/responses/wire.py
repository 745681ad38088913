"""A run as a response object, and items as this wire shows them. Pure functions."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dragoman.domain.items import Content, kind_of
from dragoman.domain.runs import Run, RunError, RunStatus
from dragoman.domain.tools import DeclaredTool
from dragoman.domain.usage import Usage
from dragoman.surfaces.openai.responses.ids import input_id, output_id, response_id

Json = dict[str, Any]

DEFAULTS: Json = {
    "temperature": 1.0,
    "top_p": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_logprobs": 0,
    "parallel_tool_calls": True,
    "truncation": "disabled",
    "tool_choice": "auto",
    "text": {"format": {"type": "text"}},
    "reasoning": {"effort": None, "summary": None},
    "store": False,
    "service_tier": "default",
    "previous_response_id": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
    "user": None,
}
"""What a response says about its request where the request said nothing. Agents have settings of their own, which are not told."""

STATUS = {RunStatus.REQUIRES_ACTION: "incomplete"}
"""This wire has no word for waiting for a person."""

_CODES = {"model_rate_limited": "rate_limit_exceeded", "guardrail_blocked": "invalid_prompt"}


def response(
    run: Run,
    *,
    status: RunStatus,
    output: Sequence[Content] = (),
    usage: Usage | None = None,
    error: RunError | None = None,
    truncated: bool = False,
) -> Json:
    options = run.options
    ended_at = (run.ended_at or datetime.now(UTC)) if status.ended else None
    told = {
        "id": response_id(run.id),
        "object": "response",
        "created_at": int(run.created_at.timestamp()),
        "completed_at": ended_at and int(ended_at.timestamp()),
        "status": STATUS.get(status, status.value),
        "background": options.background,
        "error": _error(error),
        "incomplete_details": {"reason": "max_output_tokens"} if truncated else None,
        "instructions": options.instructions,
        "metadata": _metadata(options.metadata),
        "model": run.agent,
        "output": output,
        "tools": [_tool(tool) for tool in options.tools],
        "usage": None if usage is None else usage_record(usage),
        **DEFAULTS,
        **options.echo,
    }
    if "conversation" not in told and run.session_id is not None:
        told["conversation"] = {"id": run.conversation_id}
    return told


def usage_record(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_input_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def _error(error: RunError | None) -> Json | None:
    """The codes of this wire are few; ours stands with the message."""
    if error is None:
        return None
    return {"code": _CODES.get(error.code, "server_error"), "message": f"{error.message} ({error.code})"}


def _metadata(given: Json) -> Json:
    return {name: value if isinstance(value, str) else str(value) for name, value in given.items()}


def _tool(tool: DeclaredTool) -> Json:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description or None,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }


# Items ---------------------------------------------------------------------------------------------------------------


def output_item(content: Content, run_id: str, index: int) -> Content:
    """A finished item of a response: its ids are ours, and nothing is missing that clients insist on."""
    kind = kind_of(content)
    id = output_id(kind, run_id, index)
    status = content.get("status") or "completed"
    match kind:
        case "message":
            return message_item(id, [_part(part) for part in _parts(content)], status)
        case "reasoning":
            kept = {name: content[name] for name in ("content", "encrypted_content") if content.get(name)}
            return {"id": id, "type": kind, "summary": content.get("summary") or [], **kept, "status": status}
        case _:
            return call_item(id, content["call_id"], content["name"], content["arguments"], status)


def message_item(id: str, parts: list[Content], status: str) -> Content:
    return {"id": id, "type": "message", "role": "assistant", "status": status, "content": parts}


def call_item(id: str, call_id: str, name: str, arguments: str, status: str) -> Content:
    return {
        "id": id,
        "type": "function_call",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def text_part(text: str, annotations: Sequence[Any] = ()) -> Content:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}


def refusal_part(refusal: str) -> Content:
    return {"type": "refusal", "refusal": refusal}


def summary_part(text: str) -> Content:
    return {"type": "summary_text", "text": text}


def _parts(content: Content) -> list[Content]:
    body = content.get("content")
    return [{"type": "output_text", "text": body}] if isinstance(body, str) else list(body or ())


def _part(part: Content) -> Content:
    if part.get("type") == "refusal":
        return refusal_part(part["refusal"])
    return text_part(part.get("text", ""), part.get("annotations") or ())


def input_items(run: Run) -> list[Content]:
    """What a response was given, oldest first."""
    return [_input_item(content, run.id, index) for index, content in enumerate(run.input)]


def _input_item(content: Content, run_id: str, index: int) -> Content:
    kind = kind_of(content)
    id = input_id(kind, run_id, index)
    if kind != "message":
        return {**content, "id": id, "type": kind, "status": "completed"}
    if content["role"] == "assistant":
        return message_item(id, [_part(part) for part in _parts(content)], "completed")
    body = content["content"]
    parts = [{"type": "input_text", "text": body}] if isinstance(body, str) else body
    return {"id": id, "type": kind, "role": content["role"], "status": "completed", "content": parts}

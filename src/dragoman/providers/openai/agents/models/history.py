"""What has been said so far, as each dialect wants it.

Nothing is remembered between calls. The Runner copies every item before each call, so there is no identity to remember
by; and turning 200 items into bytes takes less time than telling whether they are the same 200 (``bench/README.md``).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from agents.models.fake_id import FAKE_RESPONSES_ID

from dragoman.domain.errors import ModelRefused

Json = dict[str, Any]

OMITTED = "[output omitted: not text]"
REPLAYED_AS = "_chat_completions_reasoning_field"
"""Where the SDK notes the field in which an endpoint sent its thoughts."""

_TEXTS = frozenset({"input_text", "output_text", "text"})
_ASIDE = ("prompt_cache_breakpoint",)
"""What may stand on any part of a message and is passed on as it is."""


def default(value: Any) -> Any:
    """What ``orjson`` does not know: the SDK's and its client's objects."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, Mapping):
        return dict(value)
    try:
        return list(value)
    except TypeError:
        raise TypeError(f"{type(value).__name__} is no JSON") from None


# Responses -----------------------------------------------------------------------------------------------------------


def input_items(given: str | Sequence[Any]) -> list[Any]:
    """Items are what this dialect speaks. Only what another endpoint left on them goes."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    return [cleaned for item in given if (cleaned := _cleaned(item)) is not None]


def _cleaned(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    foreign = item.get("provider_data")
    if foreign and item.get("type") == "reasoning":
        return None
    if "provider_data" in item or item.get("id") == FAKE_RESPONSES_ID:
        return {k: v for k, v in item.items() if k != "provider_data" and v != FAKE_RESPONSES_ID}
    return item


# Chat Completions ----------------------------------------------------------------------------------------------------


def messages(instructions: str | None, given: str | Sequence[Any], model: str) -> list[Json]:
    """Items as messages: an assistant's text and its calls become one message, as they were one answer."""
    told = _Retelling(model)
    if instructions:
        told.messages.append({"role": "system", "content": instructions})
    items: Sequence[Any] = [{"role": "user", "content": given}] if isinstance(given, str) else given
    for item in items:
        told.add(item)
    return told.messages


class _Retelling:
    def __init__(self, model: str) -> None:
        self.messages: list[Json] = []
        self._model = model
        self._answer: Json | None = None  # the assistant's message that calls may still join
        self._thoughts: Json = {}  # to be sent back with the answer they led to

    def add(self, item: Json) -> None:
        kind = item.get("type") or "message"
        if kind == "function_call":
            self._call(item)
        elif kind == "message" and item.get("role") == "assistant":
            self._assistant(item)
        elif kind == "reasoning":
            self._think(item)
        elif kind == "function_call_output":
            self._close()
            self.messages.append(
                {"role": "tool", "tool_call_id": item["call_id"], "content": _tool_output(item["output"])}
            )
        elif kind == "message":
            self._close()
            self.messages.append(_spoken(item))
        # Anything else is a tool hosted by another endpoint: what it found is in the message that follows it.

    def _assistant(self, item: Json) -> None:
        text, refusal = _said(item["content"])
        answer = self._answer
        if answer is None or not answer.get("tool_calls") or answer["content"] is not None:
            answer = self._open()
        answer["content"] = text
        if refusal:
            answer["refusal"] = refusal

    def _call(self, item: Json) -> None:
        call: Json = {
            "id": item["call_id"],
            "type": "function",
            "function": {"name": item["name"], "arguments": item["arguments"] or "{}"},
        }
        if signature := (item.get("provider_data") or {}).get("thought_signature"):
            call["extra_content"] = {"google": {"thought_signature": signature}}
        answer = self._answer or self._open()
        answer.setdefault("tool_calls", []).append(call)
        self._recall(answer)

    def _think(self, item: Json) -> None:
        """Some models want their thoughts back while they work with tools, in the field they sent them in."""
        self._close()
        told = item.get("provider_data") or {}
        self._thoughts = {}
        if told.get(REPLAYED_AS) == "reasoning" and told.get("model") == self._model:
            self._thoughts = {"reasoning": _joined(item.get("content"))}
        elif "deepseek" in self._model.lower() and "deepseek" in told.get("model", self._model).lower():
            self._thoughts = {"reasoning_content": _joined(item.get("summary"))}

    def _open(self) -> Json:
        self._answer = {"role": "assistant", "content": None}
        self.messages.append(self._answer)
        return self._answer

    def _recall(self, answer: Json) -> None:
        answer.update({field: text for field, text in self._thoughts.items() if text})
        self._thoughts = {}

    def _close(self) -> None:
        self._answer = None
        self._thoughts = {}


def _spoken(item: Json) -> Json:
    """What a user said, or the operator: the operator in words only."""
    role, content = item["role"], item["content"]
    if isinstance(content, str):
        return {"role": role, "content": content}
    parts = [_part(part) for part in content]
    return {"role": role, "content": parts if role == "user" else [part for part in parts if part["type"] == "text"]}


def _said(content: str | list[Json]) -> tuple[str | None, str | None]:
    """An assistant's words, and its refusal."""
    if isinstance(content, str):
        return content, None
    texts = [part["text"] for part in content if part.get("type") in _TEXTS]
    refusal = next((part["refusal"] for part in content if part.get("type") == "refusal"), None)
    return "\n".join(texts) if texts else None, refusal


def _tool_output(output: Any) -> Any:
    if isinstance(output, str):
        return output
    if not isinstance(output, list):
        return orjson.dumps(output, default=default).decode()
    return [part for part in map(_part, output) if part["type"] == "text"] or OMITTED


def _part(part: Json) -> Json:
    """One part of a message. Parts that are in this dialect already are let through."""
    kind = part.get("type", "")
    if kind in _TEXTS:
        told: Json = {"type": "text", "text": part["text"]}
    elif kind == "input_image":
        told = _image(part)
    elif kind == "input_file":
        told = _file(part)
    elif kind in ("image_url", "input_audio", "video_url", "file"):
        return part
    else:
        raise ModelRefused(f"This endpoint takes no content of the type {kind!r}.")
    for name in _ASIDE:
        if name in part:
            told[name] = part[name]
    return told


def _image(part: Json) -> Json:
    if not (url := part.get("image_url")):
        raise ModelRefused("This endpoint takes images by URL or as data, not by the id of a file.")
    detail = part.get("detail") or "auto"
    return {"type": "image_url", "image_url": {"url": url, "detail": "high" if detail == "original" else detail}}


def _file(part: Json) -> Json:
    kept = {name: part[name] for name in ("file_data", "file_id", "filename") if part.get(name)}
    if kept.keys() <= {"filename"}:
        raise ModelRefused("This endpoint takes files as data or by id, not by URL.")
    return {"type": "file", "file": kept}


def _joined(parts: Any) -> str:
    return "\n".join(part["text"] for part in parts or () if part.get("text"))

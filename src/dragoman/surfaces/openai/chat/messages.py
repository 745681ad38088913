"""The messages of a request as items. Pure functions; what cannot be understood is ``Invalid`` with its place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dragoman.domain.errors import Invalid
from dragoman.domain.items import Content, message, tool_call, tool_output

Json = dict[str, Any]
MAX_MESSAGES = 5000

FIELDS = {
    "system": {"content"},
    "developer": {"content"},
    "user": {"content"},
    "assistant": {"content", "refusal", "tool_calls", "reasoning_content", "annotations", "audio", "function_call"},
    "tool": {"content", "tool_call_id", "name"},
}
"""What a message of each role may carry. ``reasoning_content`` and ``annotations`` come back from answers, and a tool's
``name`` says nothing that its call does not: they are not shown to the model."""
EMPTY_ONLY = ("audio", "function_call")


def items_of(messages: Any) -> list[Content]:
    """The dialogue, oldest first."""
    if not isinstance(messages, list) or not 1 <= len(messages) <= MAX_MESSAGES:
        raise Invalid(f"messages is a list of 1 to {MAX_MESSAGES} messages.", field="messages")
    return [item for i, given in enumerate(messages) for item in _items(given, f"messages.{i}")]


def _items(given: Any, where: str) -> Iterator[Content]:
    role = given.get("role") if isinstance(given, dict) else None
    if not isinstance(role, str) or role not in FIELDS:
        raise Invalid(f"A message's role is one of {', '.join(FIELDS)}.", field=f"{where}.role")
    carried = {name: value for name, value in given.items() if value is not None and name != "role"}
    for name in carried:
        if name not in FIELDS[role] or name in EMPTY_ONLY:
            raise Invalid(f"{name!r} is not supported in a message of role {role!r}.", field=f"{where}.{name}")
    match role:
        case "assistant":
            yield from _assistant(carried, where)
        case "tool":
            yield _tool(carried, where)
        case "user":
            yield {**message(role, ""), "content": _said_by_user(carried, where)}
        case _:
            if text := _text(carried, where, TEXT_ONLY):  # front ends send empty ones
                yield message(role, text)


def _said_by_user(given: Json, where: str) -> str | list[Content]:
    content = _content(given, where, PARTS)
    if not content:
        raise Invalid("A message of the user is not empty.", field=f"{where}.content")
    return content


def _assistant(given: Json, where: str) -> Iterator[Content]:
    """What was said, then what was called."""
    said, calls = given.get("content") or given.get("refusal"), given.get("tool_calls") or []
    if said and (text := _text({"content": said}, where, SAID)):
        yield message("assistant", text)
    for i, call in enumerate(_list(calls, f"{where}.tool_calls")):
        yield _call(call, f"{where}.tool_calls.{i}")


def _call(given: Any, where: str) -> Content:
    function = given.get("function") if isinstance(given, dict) else None
    if not isinstance(function, dict) or given.get("type", "function") != "function":
        raise Invalid("A tool call has the type 'function' and a function.", field=f"{where}.type")
    name, arguments = _string(function, "name", f"{where}.function"), function.get("arguments", "")
    if not isinstance(arguments, str):
        raise Invalid("The arguments of a call are JSON, written as text.", field=f"{where}.function.arguments")
    return tool_call(_string(given, "id", where), name, arguments or "{}")


def _tool(given: Json, where: str) -> Content:
    return tool_output(_string(given, "tool_call_id", where), _text(given, where, TEXT_ONLY))


# Content ----------------------------------------------------------------------------------------------------------

Part = Callable[[Json, str], Content]


def _content(given: Json, where: str, parts: Mapping[str, Part]) -> str | list[Content]:
    """Text, or a list of parts."""
    content, where = given.get("content"), f"{where}.content"
    if isinstance(content, str):
        return content
    return [_part(part, f"{where}.{i}", parts) for i, part in enumerate(_list(content, where, at_least=1))]


def _text(given: Json, where: str, parts: Mapping[str, Part]) -> str:
    """The same, where only its words count."""
    content = _content(given, where, parts)
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def _part(given: Any, where: str, parts: Mapping[str, Part]) -> Content:
    kind = given.get("type") if isinstance(given, dict) else None
    if not isinstance(kind, str) or kind not in parts:
        raise Invalid(f"A part of this message is one of {', '.join(parts)}.", field=f"{where}.type")
    return parts[kind](given, where)


def _text_part(given: Json, where: str) -> Content:
    return {"type": "input_text", "text": _string(given, "text", where, at_least=0)}


def _refusal_part(given: Json, where: str) -> Content:
    return {"type": "refusal", "text": _string(given, "refusal", where)}


def _image_part(given: Json, where: str) -> Content:
    image, where = given.get("image_url"), f"{where}.image_url"
    if not isinstance(image, dict):
        raise Invalid("An image has a url: of the web, or with its data inline.", field=where)
    part = {"type": "input_image", "image_url": _string(image, "url", where), "detail": image.get("detail", "auto")}
    if part["detail"] not in ("auto", "low", "high"):
        raise Invalid("The detail of an image is auto, low or high.", field=f"{where}.detail")
    return part


def _file_part(given: Json, where: str) -> Content:
    file, where = given.get("file"), f"{where}.file"
    if not isinstance(file, dict) or file.get("file_id") is not None:
        raise Invalid("A file comes with its data inline (file_data); this server stores none.", field=where)
    return {
        "type": "input_file",
        "file_data": _string(file, "file_data", where),
        "filename": _string(file, "filename", where) if "filename" in file else "file",
    }


TEXT_ONLY: Mapping[str, Part] = {"text": _text_part}
SAID: Mapping[str, Part] = {**TEXT_ONLY, "refusal": _refusal_part}
PARTS: Mapping[str, Part] = {**TEXT_ONLY, "image_url": _image_part, "file": _file_part}


def _string(given: Json, name: str, where: str, *, at_least: int = 1) -> str:
    value = given.get(name)
    if not isinstance(value, str) or len(value) < at_least:
        raise Invalid(f"{name} is missing, or no text.", field=f"{where}.{name}")
    return value


def _list(given: Any, where: str, *, at_least: int = 0) -> Sequence[Any]:
    if not isinstance(given, list) or len(given) < at_least:
        raise Invalid("It is text, or a list that is not empty.", field=where)
    return given

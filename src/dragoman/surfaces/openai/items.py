"""Items on the wire of Responses and Conversations. Ours are kept in that vocabulary; here they get what it never omits."""

from collections.abc import Callable, Sequence
from typing import Any

from dragoman.domain.items import Content, Item, ItemStatus, kind_of

Json = dict[str, Any]


def item_object(item: Item) -> Json:
    return content_object(item.id, item.content, item.status)


def content_object(id: str, content: Content, status: ItemStatus = "completed") -> Json:
    """An item under this id. What is withheld from models is ``incomplete`` there."""
    kind = kind_of(content)
    told = {name: value for name, value in content.items() if name != "provider_data"}
    shape = _SHAPES.get(kind, _as_it_is)
    return {**shape(told), "id": id, "type": kind, "status": "completed" if status == "completed" else "incomplete"}


def item_page(items: Sequence[Json], *, has_more: bool) -> Json:
    """A page of a list. An empty one has empty ids: the official clients know no null there."""
    return {
        "object": "list",
        "data": items,
        "first_id": items[0]["id"] if items else "",
        "last_id": items[-1]["id"] if items else "",
        "has_more": has_more,
    }


def _message(content: Content) -> Json:
    role, body = content["role"], content["content"]
    if isinstance(body, str):
        kind = "output_text" if role == "assistant" else "input_text"
        body = [{"type": kind, "text": body}]
    return {**content, "content": [{**_PART_DEFAULTS.get(part.get("type"), {}), **part} for part in body]}


_PART_DEFAULTS: dict[Any, Json] = {"output_text": {"annotations": []}, "input_image": {"detail": "auto"}}


def _reasoning(content: Content) -> Json:
    return {"summary": [], **content}


def _as_it_is(content: Content) -> Json:
    return content


_SHAPES: dict[str, Callable[[Content], Json]] = {"message": _message, "reasoning": _reasoning}

"""JSON schemas of arguments, as endpoints want them.

A strict schema, to which an endpoint can hold its model, knows no optional properties and no objects with any: what may be
left out may be null instead.
"""

from collections.abc import Callable
from typing import Any

Schema = dict[str, Any]

_INSIDE_MANY = ("anyOf", "allOf", "prefixItems")
_INSIDE_NAMED = ("properties", "$defs")
_SAYS_WHAT = frozenset({"type", "anyOf", "allOf", "$ref", "enum", "const"})
_SAYS_OF_WHAT = frozenset({"items", "prefixItems"})


class LooseSchema(ValueError):
    """It cannot be made strict; ``place`` is where."""

    def __init__(self, place: str) -> None:
        self.place = place
        super().__init__(place)


def plain_schema(schema: Schema) -> Schema:
    """Without the titles, which only repeat names."""
    return _walked(schema, lambda node, _: node)


def strict_schema(schema: Schema) -> Schema:
    """The same as a strict one. Raises ``LooseSchema`` where it may be any object."""
    definitions = schema.get("$defs", {})
    strict = _walked(schema, lambda node, place: _strict(node, place, definitions))
    return _nullable(strict, set(schema.get("required", ())))


def _walked(schema: Schema, change: Callable[[Schema, str], Schema], place: str = "") -> Schema:
    """A copy, changed from the outside in."""
    node = change(
        {name: value for name, value in schema.items() if name != "title" or not isinstance(value, str)}, place
    )
    for name in _INSIDE_NAMED:
        if name in node:
            node[name] = {key: _walked(inner, change, key) for key, inner in node[name].items()}
    for name in _INSIDE_MANY:
        if name in node:
            node[name] = [_walked(inner, change, place) for inner in node[name]]
    if isinstance(node.get("items"), dict):
        node["items"] = _walked(node["items"], change, place)
    return node


def _strict(node: Schema, place: str, definitions: Schema) -> Schema:
    if "$ref" in node and len(node) > 1:  # a reference must stand alone
        reference = node.pop("$ref")
        node = {**definitions[reference.rpartition("/")[2]], **node}
        node.pop("title", None)
    node.pop("default", None)
    if "oneOf" in node:
        node["anyOf"] = node.pop("oneOf")
        node.pop("discriminator", None)
    if node.get("type") == "object":
        if node.get("additionalProperties", False) is not False or (place and "properties" not in node):
            raise LooseSchema(place)
        node.setdefault("properties", {})
        node |= {"additionalProperties": False, "required": list(node["properties"])}
    elif not _SAYS_WHAT & set(node) or (node.get("type") == "array" and not _SAYS_OF_WHAT & set(node)):
        raise LooseSchema(place)
    return node


def _nullable(schema: Schema, required: set[str]) -> Schema:
    """With null for the arguments that may be left out."""
    properties = {
        name: inner if name in required or _takes_null(inner) else _or_null(inner)
        for name, inner in schema["properties"].items()
    }
    return {**schema, "properties": properties}


def _takes_null(schema: Schema) -> bool:
    return schema.get("type") == "null" or any(_takes_null(inner) for inner in schema.get("anyOf", ()))


def _or_null(schema: Schema) -> Schema:
    described = {"description": schema["description"]} if "description" in schema else {}
    inner = {name: value for name, value in schema.items() if name != "description"}
    return {"anyOf": [inner, {"type": "null"}], **described}

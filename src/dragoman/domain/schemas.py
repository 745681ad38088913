"""JSON schemas of answers, as far as endpoints can hold a model to them: what makes one strict, and whether a value fits."""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_KINDS: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def loose_places(schema: Schema, place: str = "") -> Iterator[str]:
    """Where a schema is not strict, and why: endpoints refuse such a one, or answer in a form of their own."""
    here = place or "the answer"
    if not place and schema.get("type") != "object":
        yield "the answer must be an object"
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        if schema.get("additionalProperties") is not False:
            yield f"{here}: additionalProperties must be false"
        if left_out := [name for name in properties if name not in schema.get("required", ())]:
            yield f"{here}: required must name {', '.join(left_out)}"
    elif not {"type", "anyOf", "$ref", "enum", "const"} & set(schema):
        yield f"{here}: it may be anything"
    for step, inner in _inner(schema):
        yield from loose_places(inner, f"{place}.{step}" if place else step)


def _inner(schema: Schema) -> Iterator[tuple[str, Schema]]:
    for name in ("properties", "$defs"):
        yield from schema.get(name, {}).items()
    if isinstance(items := schema.get("items"), Mapping):
        yield "items", items
    for number, inner in enumerate(schema.get("anyOf", ())):
        yield f"anyOf.{number}", inner


def misfit(schema: Schema, value: Any, *, root: Schema | None = None) -> str | None:
    """Where a value does not fit a schema, if it does not."""
    root = schema if root is None else root
    if "$ref" in schema:
        return misfit(root.get("$defs", {})[schema["$ref"].rpartition("/")[2]], value, root=root)
    if "anyOf" in schema and all(misfit(inner, value, root=root) is not None for inner in schema["anyOf"]):
        return "fits none of its forms"
    if "enum" in schema and value not in schema["enum"]:
        return "is not one of its values"
    if "const" in schema and value != schema["const"]:
        return "is not its value"
    if not _is(schema.get("type"), value):
        return f"is not of the type {schema['type']}"
    parts = {**_of_object(schema, value), **_of_list(schema, value)} if isinstance(value, dict | list) else {}
    if isinstance(value, dict) and (missing := [name for name in schema.get("required", ()) if name not in value]):
        return f"lacks {missing[0]}"
    for step, (inner, part) in parts.items():
        if inner is None:
            return f"has {step}, which is unknown"
        if found := misfit(inner, part, root=root):
            return f"{step} {found}"
    return None


def _of_object(schema: Schema, value: Any) -> dict[str, tuple[Schema | None, Any]]:
    if not isinstance(value, dict):
        return {}
    other = schema.get("additionalProperties", True)
    rest: Schema | None = other if isinstance(other, Mapping) else {} if other else None
    properties = schema.get("properties", {})
    return {name: (properties.get(name, rest), part) for name, part in value.items()}


def _of_list(schema: Schema, value: Any) -> dict[str, tuple[Schema | None, Any]]:
    if not isinstance(value, list):
        return {}
    return {str(number): (schema.get("items", {}), part) for number, part in enumerate(value)}


def _is(kind: Any, value: Any) -> bool:
    if kind is None:
        return True
    kinds = kind if isinstance(kind, list) else [kind]
    if isinstance(value, bool):
        return "boolean" in kinds
    return any(isinstance(value, _KINDS.get(one, ())) for one in kinds)

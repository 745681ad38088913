"""A valid, dull instance of a JSON schema, with the given words wherever text may stand."""

import math
from typing import Any

Schema = dict[str, Any]

_FORMATS = {
    "date": "2025-01-01",
    "date-time": "2025-01-01T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "demo@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
}
MAX_DEPTH = 12
"""Schemas may contain themselves; what is optional is left out below this depth."""


def instance(schema: Schema, words: str) -> Any:
    return _instance(schema, schema, words, 0)


def _instance(schema: Schema, root: Schema, words: str, depth: int) -> Any:
    if "$ref" in schema:
        return _instance(_resolved(schema["$ref"], root), root, words, depth + 1)
    for fixed in ("const", "default"):
        if fixed in schema:
            return schema[fixed]
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("allOf"):
        merged = {name: value for part in schema["allOf"] for name, value in part.items()}
        return _instance({**merged, **{k: v for k, v in schema.items() if k != "allOf"}}, root, words, depth)
    for choice in ("anyOf", "oneOf"):
        if schema.get(choice):
            return _instance(_simplest(schema[choice], depth), root, words, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    return _of_type(kind or ("object" if "properties" in schema else "string"), schema, root, words, depth)


def _of_type(kind: str, schema: Schema, root: Schema, words: str, depth: int) -> Any:
    match kind:
        case "object":
            wanted = schema.get("properties", {})
            if depth >= MAX_DEPTH:
                wanted = {name: part for name, part in wanted.items() if name in schema.get("required", ())}
            return {name: _instance(part, root, words, depth + 1) for name, part in wanted.items()}
        case "array":
            if schema.get("prefixItems"):
                return [_instance(part, root, words, depth + 1) for part in schema["prefixItems"]]
            count = max(schema.get("minItems", 0), 0 if depth >= MAX_DEPTH or schema.get("maxItems") == 0 else 1)
            return [_instance(schema.get("items", {}), root, words, depth + 1) for _ in range(count)]
        case "integer" | "number":
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return True
        case "null":
            return None
    return _text(schema, words)


def _number(schema: Schema, *, whole: bool) -> int | float:
    low, high = (
        schema.get("minimum", schema.get("exclusiveMinimum")),
        schema.get("maximum", schema.get("exclusiveMaximum")),
    )
    step = schema.get("multipleOf", 1 if whole else None)
    if low is not None and high is not None and step is None:
        return float(low + high) / 2
    value = 1
    if low is not None and value <= low:
        value = low if low == schema.get("minimum") else low + (step or 1)
    if high is not None and value >= high:
        value = high if high == schema.get("maximum") else high - (step or 1)
    if step is not None:
        value = math.ceil(value / step) * step
    return int(value) if whole else value


def _text(schema: Schema, words: str) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    text = words.ljust(schema.get("minLength", 0), ".")
    return text[: schema.get("maxLength", len(text))]


def _simplest(choices: list[Schema], depth: int) -> Schema:
    null = next((choice for choice in choices if choice.get("type") == "null"), None)
    if null is not None and depth >= MAX_DEPTH:
        return null
    return next((choice for choice in choices if choice is not null), choices[0])


def _resolved(reference: str, root: Schema) -> Schema:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part, {}) if part else found
    return found if isinstance(found, dict) else {}

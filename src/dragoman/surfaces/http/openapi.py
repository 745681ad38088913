"""How errors and examples look in the OpenAPI document."""

from typing import Any

from dragoman.domain.errors import DragomanError
from dragoman.surfaces.http import problems

_TEXT = {"type": "string"}
PROBLEM: dict[str, Any] = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457). `code` is stable; `detail` is a sentence for a person.",
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {**_TEXT, "format": "uri"},
        "title": _TEXT,
        "status": {"type": "integer"},
        "code": _TEXT,
        "detail": _TEXT,
        "request_id": _TEXT,
        "run_id": {**_TEXT, "description": "Where there is a run."},
        "errors": {
            "description": "Which fields, for 422.",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "reason"],
                "properties": {"field": _TEXT, "reason": _TEXT},
            },
        },
    },
}
"""Written out at each response, so that a router is complete inside any application; ours gives it a name."""

Responses = dict[int | str, dict[str, Any]]


def example(value: Any, description: str = "") -> dict[str, Any]:
    """A JSON response, by example."""
    response: dict[str, Any] = {"content": {"application/json": {"example": value}}}
    return {**response, "description": description} if description else response


def event_stream(events: Any, shown: str, description: str) -> dict[str, Any]:
    """A stream of these events; ``shown`` is how some of them look."""
    media = {"schema": {"type": "object"}, "example": shown}  # FastAPI would say "string", and adds the events
    return {"model": events, "description": description, "content": {"text/event-stream": media}}


def failures(*errors: type[DragomanError], statuses: tuple[int, ...] = ()) -> Responses:
    """The error responses of an operation: one per status, with an example of each error."""
    found: dict[int, dict[str, Any]] = {}
    for error in errors:
        row = problems.row_of(error)
        found.setdefault(row.status, {})[error.code] = _example(row.status, row.title, error.code, error.message)
    for status in statuses:
        code, title, detail = problems.OF_HTTP[status]
        found.setdefault(status, {})[code] = _example(status, title, code, detail)
    return {status: _response(examples) for status, examples in found.items()}


def _example(status: int, title: str, code: str, detail: str) -> dict[str, Any]:
    value: dict[str, Any] = {
        "type": f"urn:dragoman:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": "req_01jd4w4fcs7kse2mzz7hn3g8p5",
    }
    if status == 422:
        value["errors"] = [{"field": "input", "reason": detail}]
    return {"value": value}


def _response(examples: dict[str, Any]) -> dict[str, Any]:
    content = {"schema": PROBLEM, "examples": examples}
    return {"description": " · ".join(examples), "content": {problems.MEDIA_TYPE: content}}


def named_problems(schema: dict[str, Any]) -> dict[str, Any]:
    """The document with the schema of a problem written down once."""
    schema.setdefault("components", {}).setdefault("schemas", {})["Problem"] = PROBLEM
    for operations in schema["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                if content := response.get("content", {}).get(problems.MEDIA_TYPE):
                    content["schema"] = {"$ref": "#/components/schemas/Problem"}
    return schema

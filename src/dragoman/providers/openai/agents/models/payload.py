"""JSON as endpoints send it, and the failures they report inside."""

import json
from typing import Any

import orjson

from dragoman.domain.errors import DragomanError, ModelBroken
from dragoman.providers.openai.errors import failure_called, status_failure

END = b"[DONE]"
NONSENSE = (AttributeError, LookupError, TypeError, ValueError)
"""What reading an answer raises when parts of it are missing or something else than they should be."""


def parsed(data: bytes) -> Any:
    """The value of a JSON text. Half a surrogate pair, as some servers cut their tokens, is let through."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ModelBroken from error


def error_in(payload: Any) -> dict[str, Any] | None:
    """The error object of an answer, in any of the places where servers put one."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    if not isinstance(payload, dict):
        return None
    error = payload.get("error")
    if isinstance(error, dict):
        return error
    if error:
        return {"message": str(error)}
    return payload if payload.get("object") == "error" or payload.get("type") == "error" else None


def code_of(error: dict[str, Any] | None) -> str | None:
    """What the endpoint calls its error: a word if it has one."""
    named = [error.get("code"), error.get("type")] if error else []
    return next((name for name in named if isinstance(name, str) and name != "error"), None)


def reported_failure(error: dict[str, Any]) -> DragomanError:
    """What an error in the middle of a stream means: by its name, or by its number, which is an HTTP status."""
    number = error.get("code")
    if isinstance(number, int) and 400 <= number < 600:
        return status_failure(number, code_of(error), {})
    return failure_called(code_of(error))

"""What every log line of a piece of work carries: request, run, conversation, agent, trace."""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

_fields: ContextVar[Mapping[str, Any]] = ContextVar("log_fields", default={})  # noqa: B039 - never mutated


def current_log_fields() -> Mapping[str, Any]:
    return _fields.get()


@contextlib.contextmanager
def log_fields(**fields: Any) -> Iterator[None]:
    """Add these to every line logged inside, tasks started inside included."""
    token = _fields.set({**_fields.get(), **{name: value for name, value in fields.items() if value is not None}})
    try:
        yield
    finally:
        _fields.reset(token)

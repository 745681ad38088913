"""A tool of ours: a plain async function that a model may call, with the schema of its arguments."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters: dict[str, Any]  # JSON schema of an object
    call: Callable[..., Awaitable[Any]]


class ToolError(Exception):
    """Raised by a tool; its text is a sentence for the model, which may try something else."""

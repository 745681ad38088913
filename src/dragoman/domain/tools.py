"""Tools: a plain async function of ours that a model may call, or a function of the caller's own, only declared to us."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters: dict[str, Any]  # JSON schema of an object
    call: Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class DeclaredTool:
    """A function of the caller's. The agent may call it; the call is handed back, and its output comes with a later message."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)  # JSON schema of an object
    strict: bool = False


class ToolError(Exception):
    """Raised by a tool; its text is a sentence for the model, which may try something else."""

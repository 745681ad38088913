"""The built-in tools by name, each with an explicit schema of its arguments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dragoman.domain.errors import NotFound
from dragoman.domain.identity import Principal
from dragoman.domain.tools import Tool
from dragoman.tools.arithmetic import calculate
from dragoman.tools.clock import current_time


def _object(required: Sequence[str] = (), **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


BUILTIN: tuple[Tool, ...] = (
    Tool(
        "calculate",
        "Compute an arithmetic expression exactly. Use it instead of computing in your head.",
        _object(
            ["expression"],
            expression={"type": "string", "description": "For example: (2 + 3) * sqrt(16) or 2**10 / 3"},
        ),
        calculate,
    ),
    Tool(
        "current_time",
        "Tell the current date, time and weekday in a time zone.",
        _object(timezone={"type": "string", "description": "IANA name such as Europe/Berlin; UTC if left out"}),
        current_time,
    ),
)


@dataclass(frozen=True, slots=True)
class BuiltinTools:
    """The tools that come with the server; everybody may use them."""

    tools: Mapping[str, Tool] = field(default_factory=lambda: {tool.name: tool for tool in BUILTIN})

    def get(self, name: str) -> Tool:
        try:
            return self.tools[name]
        except KeyError:
            raise NotFound("tool", name) from None

    def visible_to(self, principal: Principal) -> Sequence[Tool]:  # noqa: ARG002 - a promise of the port
        return [self.tools[name] for name in sorted(self.tools)]

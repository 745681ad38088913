"""Tools by name."""

from collections.abc import Sequence
from typing import Protocol

from dragoman.domain.identity import Principal
from dragoman.domain.tools import Tool


class ToolRegistry(Protocol):
    def get(self, name: str) -> Tool:
        """The tool of that name, or ``NotFound``."""
        ...

    def visible_to(self, principal: Principal) -> Sequence[Tool]:
        """The tools this principal's agents may use, by name."""
        ...

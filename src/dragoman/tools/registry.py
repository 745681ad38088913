"""The tools of a server by name: those that come with it, and those it was given."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dragoman.domain.errors import Invalid, NotFound
from dragoman.domain.identity import Principal
from dragoman.domain.tools import Tool
from dragoman.tools.arithmetic import calculate
from dragoman.tools.clock import current_time

BUILTIN: tuple[Tool, ...] = (calculate, current_time)


@dataclass(frozen=True, slots=True)
class BuiltinTools:
    """The tools that come with the server, unless others are given."""

    tools: dict[str, Tool] = field(default_factory=lambda: {tool.name: tool for tool in BUILTIN})

    def plus(self, more: Iterable[Tool]) -> "BuiltinTools":
        """With more of them. One of the name of a built-in takes its place; two of the same name are refused."""
        added: dict[str, Tool] = {}
        for tool in more:
            if added.setdefault(tool.name, tool) is not tool:
                raise Invalid(f"Two tools have the name {tool.name!r}. Give one another name.", field="tools")
        return BuiltinTools({**self.tools, **added})

    def replace(self, tools: Mapping[str, Tool]) -> Mapping[str, Tool]:
        """Hold these from now on; gives those that it held."""
        before = dict(self.tools)
        self.tools.clear()
        self.tools.update(tools)
        return before

    def get(self, name: str) -> Tool:
        try:
            return self.tools[name]
        except KeyError:
            raise NotFound("tool", name) from None

    def visible_to(self, principal: Principal) -> Sequence[Tool]:
        return [tool for _, tool in sorted(self.tools.items()) if tool.visible_to(principal)]

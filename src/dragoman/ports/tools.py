"""Tools by name, and servers that bring some."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class ServerState:
    """How a server that brings tools is doing."""

    connected: int  # connections that are up
    waiting: int  # and those that are not
    tools: int
    trouble: str | None = None  # in words for the operator


class ToolServers(Protocol):
    """Servers outside of this process that bring tools. What they bring may change, and they may be away: then their tools stay
    known, and a call of one fails with a sentence."""

    @property
    def names(self) -> Sequence[str]: ...

    async def tools(self, agent: str, declared: Sequence[str], principal: Principal) -> Sequence[Tool]:
        """The tools that an agent has for this principal: of the servers it was ``declared`` with, and of those that are
        configured for it. Waits, within bounds, for servers that were never reached."""
        ...

    def known(self, agent: str, declared: Sequence[str], principal: Principal) -> Sequence[Tool]:
        """The same, as far as they are known, without waiting."""
        ...

    def stand_in(self, name: str) -> Tool | None:
        """For a call in a log whose tool is not there any more: one of that name, if a server may have brought it."""
        ...

    def states(self) -> Mapping[str, ServerState]:
        """By name, at this moment."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class NoServers:
    """``ToolServers`` where none is configured."""

    names: Sequence[str] = ()

    async def tools(self, agent: str, declared: Sequence[str], principal: Principal) -> Sequence[Tool]:  # noqa: ARG002
        return ()

    def known(self, agent: str, declared: Sequence[str], principal: Principal) -> Sequence[Tool]:  # noqa: ARG002
        return ()

    def stand_in(self, name: str) -> Tool | None:  # noqa: ARG002
        return None

    def states(self) -> Mapping[str, ServerState]:
        return {}

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

"""What an operator says of an MCP server. Importing this costs nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from dragoman.domain.identity import Principal
from dragoman.domain.tools import ToolError

Per = Literal["server", "tenant", "user"]
"""Who has a connection for themselves."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """What is sent with a connection. ``{tenant}`` and ``{user}`` in a value are those it is for."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    def of(self, principal: Principal) -> "Secrets":
        return Secrets(_filled(self.headers, principal), _filled(self.env, principal))


@dataclass(frozen=True, slots=True)
class McpServer:
    """Either a command or a URL."""

    name: str
    command: str | None = None
    args: tuple[str, ...] = ()
    cwd: str | None = None
    url: str | None = None
    allow_private: bool = False  # whether the URL may lead to this machine or its network
    secrets: Secrets = field(default_factory=Secrets)
    tenants: Mapping[str, Secrets] = field(default_factory=dict)  # instead of the others
    per: Per = "server"
    agents: tuple[str, ...] = ()  # patterns of the keys of agents that use it, besides those that say so
    tools: tuple[str, ...] = ("*",)  # patterns of the tools that may be used
    needs_approval: tuple[str, ...] = ()  # of those for which a person must agree
    timeout: float | None = None  # seconds that a call may take; unset: the server's limit for tools
    connect_timeout: float = 10.0
    concurrency: int | None = None

    def allows(self, tool: str) -> bool:
        return _any(tool, self.tools)

    def asks(self, tool: str) -> bool:
        return _any(tool, self.needs_approval)

    def serves(self, agent: str) -> bool:
        return _any(agent, self.agents)

    def share(self, principal: Principal) -> tuple[str, ...]:
        """Principals with the same share have a connection together."""
        if self.per == "user":
            return principal.tenant, principal.user
        return (principal.tenant,) if self.per == "tenant" or self.tenants else ()

    def secrets_of(self, principal: Principal) -> Secrets:
        return self.tenants.get(principal.tenant, self.secrets).of(principal)


def _any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _filled(values: Mapping[str, str], principal: Principal) -> dict[str, str]:
    filled = {}
    for name, value in values.items():
        said = value.replace("{tenant}", principal.tenant).replace("{user}", principal.user)
        if said != value and not (said.isascii() and said.isprintable()):
            raise ToolError("Your name cannot be sent to this server.")
        filled[name] = said
    return filled

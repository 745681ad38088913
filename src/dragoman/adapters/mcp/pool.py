"""All MCP servers of an operator, with a connection for each share of the principals."""

import asyncio
from collections.abc import Mapping, Sequence

from dragoman.adapters.mcp.connection import FIRST, UNREACHABLE, Connection
from dragoman.adapters.mcp.server import McpServer
from dragoman.adapters.mcp.tools import BETWEEN
from dragoman.domain.identity import Principal
from dragoman.domain.tools import Tool, ToolError
from dragoman.ports.tools import ServerState
from dragoman.ports.web import UrlGuard

IDLE = 600.0
"""Seconds after which a connection that belongs to one tenant or user is closed when nobody uses it."""
Key = tuple[str, ...]


class McpServers:
    """``ToolServers``."""

    def __init__(
        self, servers: Sequence[McpServer], guard: UrlGuard, *, first: float = FIRST, idle: float = IDLE
    ) -> None:
        self._servers = {server.name: server for server in servers}
        self._guard = guard
        self._first = first
        self._idle = idle
        self._connections: dict[Key, Connection] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._started = False

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._servers)

    async def start(self) -> None:
        """Connect to those that are shared by all, without waiting for them: a server starts although they are away."""
        self._started = True
        for server in self._servers.values():
            if not server.share(Principal("")):
                self._connection(server, Principal(""))

    async def stop(self) -> None:
        self._started = False
        connections, self._connections = list(self._connections.values()), {}
        await asyncio.gather(*(connection.stop() for connection in connections), *self._closing)

    async def tools(self, agent: str, declared: Sequence[str], principal: Principal) -> Sequence[Tool]:
        if not self._started:
            return []
        used = self._used(agent, declared)
        found = await asyncio.gather(*(self._connection(server, principal).known() for server in used))
        return [tool for tools in found for tool in tools]

    def known(self, agent: str, declared: Sequence[str], principal: Principal) -> Sequence[Tool]:
        known = [
            self._connections.get((server.name, *server.share(principal))) for server in self._used(agent, declared)
        ]
        return [tool for connection in known if connection is not None for tool in connection.tools]

    def stand_in(self, name: str) -> Tool | None:
        server, between, _ = name.partition(BETWEEN)
        if not between or server not in self._servers:
            return None

        async def call() -> str:
            raise ToolError(UNREACHABLE.format(server=server))

        return Tool(name, "It is not there at the moment.", {"type": "object", "properties": {}}, call)

    def states(self) -> Mapping[str, ServerState]:
        return {name: self._state(name) for name in self._servers}

    def _state(self, name: str) -> ServerState:
        here = [connection for key, connection in self._connections.items() if key[0] == name]
        up = [connection for connection in here if connection.connected]
        trouble = next((one.trouble for one in here if one.trouble), None)
        return ServerState(len(up), len(here) - len(up), max((len(one.tools) for one in here), default=0), trouble)

    def _used(self, agent: str, declared: Sequence[str]) -> list[McpServer]:
        return [server for server in self._servers.values() if server.name in declared or server.serves(agent)]

    def _connection(self, server: McpServer, principal: Principal) -> Connection:
        now = asyncio.get_running_loop().time()
        self._close_idle(now)
        key = (server.name, *server.share(principal))
        connection = self._connections.get(key)
        if connection is None:
            secrets = server.secrets_of(principal)
            connection = self._connections[key] = Connection(server, secrets, self._guard, first=self._first)
            connection.start()
        connection.used_at = now
        return connection

    def _close_idle(self, now: float) -> None:
        for key, connection in list(self._connections.items()):
            if len(key) > 1 and connection.used_at + self._idle < now:
                del self._connections[key]
                closing = asyncio.get_running_loop().create_task(connection.stop())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

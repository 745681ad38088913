"""MCP servers, as a client of theirs: connections that are held, found again and shared."""

from dragoman.adapters.mcp.pool import McpServers
from dragoman.adapters.mcp.server import McpServer

__all__ = ["McpServer", "McpServers"]

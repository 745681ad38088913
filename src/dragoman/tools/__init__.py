"""``@tool``, which makes a tool of a function; the built-in tools, and the registry that holds them."""

from dragoman.domain.tools import ToolContext, ToolError
from dragoman.tools.arithmetic import calculate
from dragoman.tools.clock import current_time
from dragoman.tools.decorator import tool
from dragoman.tools.registry import BUILTIN, BuiltinTools

__all__ = ["BUILTIN", "BuiltinTools", "ToolContext", "ToolError", "calculate", "current_time", "tool"]

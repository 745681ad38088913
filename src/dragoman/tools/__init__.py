"""Built-in tools: plain async functions, and the registry that describes them."""

from dragoman.tools.arithmetic import calculate
from dragoman.tools.clock import current_time
from dragoman.tools.registry import BUILTIN, BuiltinTools

__all__ = ["BUILTIN", "BuiltinTools", "calculate", "current_time"]

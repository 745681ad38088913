"""Dragoman: a self-hosted server for AI agents.

Importing this package is cheap and has no side effects; what needs the web framework or the SDK is loaded when it is used.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "AgentSpec",
    "Ending",
    "Flow",
    "Form",
    "Stage",
    "ToolContext",
    "ToolError",
    "Workflow",
    "create_agent_router",
    "create_app",
    "tool",
]

if TYPE_CHECKING:
    from dragoman.application.workflows import Ending, Flow, Form, Stage, Workflow
    from dragoman.asgi import create_agent_router, create_app
    from dragoman.domain.agents import AgentSpec
    from dragoman.domain.tools import ToolContext, ToolError
    from dragoman.tools import tool


def __getattr__(name: str) -> Any:
    if name in ("create_app", "create_agent_router"):
        import dragoman.asgi

        return getattr(dragoman.asgi, name)
    if name == "AgentSpec":
        from dragoman.domain.agents import AgentSpec

        return AgentSpec
    if name in ("Workflow", "Flow", "Stage", "Form", "Ending"):
        import dragoman.application.workflows

        return getattr(dragoman.application.workflows, name)
    if name in ("tool", "ToolContext", "ToolError"):
        import dragoman.tools

        return getattr(dragoman.tools, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

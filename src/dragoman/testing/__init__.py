"""For tests of your own applications: agents that play scripts, and stores that live in memory.

from dragoman.testing import AgentSpec, app_with, call, say

app = app_with({"chat": [call("calculate", {"expression": "6*7"}), say("It is 42.")]})
run = await app.run("chat", "What is 6*7?", user="sarah")
assert run.final_output == "It is 42."
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dragoman.domain.agents import AgentSpec
from dragoman.domain.tools import Tool
from dragoman.providers.scripted import ScriptedProvider, build_scripted_provider
from dragoman.providers.scripted.script import Script, Step, call, fail, hand_off, say, stall, together

if TYPE_CHECKING:
    from dragoman.asgi import Dragoman

__all__ = [
    "AgentSpec",
    "Script",
    "ScriptedProvider",
    "Step",
    "app_with",
    "build_scripted_provider",
    "call",
    "fail",
    "hand_off",
    "say",
    "stall",
    "together",
]


def app_with(
    scripts: Mapping[str, Script], *, agents: Sequence[AgentSpec] = (), tools: Iterable[Tool] = (), **overrides: Any
) -> "Dragoman":
    """The real application over memory, with scripted agents: those of ``scripts`` and of ``agents``; ``tools`` are there
    besides those that are built in."""
    from dragoman.adapters.memory import MemoryStore
    from dragoman.asgi import create_app
    from dragoman.settings import Settings
    from dragoman.tools import BuiltinTools

    given = {spec.key for spec in agents}
    specs = [*agents, *(AgentSpec(key, key.title(), "") for key in scripts if key not in given)]
    registry = BuiltinTools().plus(tools)
    provider = build_scripted_provider(specs, scripts=scripts, tools=registry)
    overrides.setdefault("store", MemoryStore())
    return create_app(settings=Settings.of(), providers={provider.name: provider}, tools=registry, **overrides)

"""The real application over memory, with the same specifications and tools on either provider. Messages are commands, which
both providers understand."""

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from dragoman.adapters.memory import MemoryStore
from dragoman.asgi import Dragoman, create_app
from dragoman.domain.agents import AgentSpec
from dragoman.domain.events import ItemDone
from dragoman.domain.identity import LOCAL
from dragoman.domain.runs import Run
from dragoman.domain.tools import Tool
from dragoman.settings import Settings

PROVIDERS = ("openai", "scripted")


def spec(*tools: Tool | str, key: str = "ann", **fields: Any) -> AgentSpec:
    names = tuple(tool if isinstance(tool, str) else tool.name for tool in tools)
    return AgentSpec(key, key.title(), "Do as you are told.", tools=names, **fields)


@contextlib.asynccontextmanager
async def played(
    provider: str, tools: Iterable[Tool], *agents: AgentSpec, store: MemoryStore | None = None, **settings: Any
) -> AsyncIterator[Dragoman]:
    tools = list(tools)
    app = create_app(
        agents or [spec(*tools)],
        tools=tools,
        store=store or MemoryStore(),
        settings=Settings.of(providers=(provider,), builtin_agents=False, demo_speed=0.0, **settings),
    )
    async with app:
        yield app


async def outputs(app: Dragoman, run: Run) -> list[tuple[str, bool]]:
    """What the tools of a run answered, in the order in which they did, and whether it was a failure."""
    return [
        (event.item["output"], event.failed)
        for event in await logged(app, run)
        if isinstance(event, ItemDone) and event.name == "tool_output"
    ]


async def logged(app: Dragoman, run: Run) -> list[Any]:
    recorded = await app.application.services.runs.events.read(LOCAL, run.id, -1, 100_000)
    return [entry.event for entry in recorded]

"""Where a server's own agents and tools come from: Python files and modules, files that declare agents, folders of both."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dragoman.application.workflows import Workflow
from dragoman.domain.agents import AgentSpec, key_from
from dragoman.domain.errors import Invalid
from dragoman.domain.tools import Tool
from dragoman.settings import WrongSettings
from dragoman.sources import declared, python
from dragoman.sources.places import Place

__all__ = ["Found", "Place", "find", "key_of", "keyed", "watched"]


@dataclass(frozen=True, slots=True)
class Found:
    """What sources bring to a server."""

    agents: list[Any] = field(default_factory=list)  # of the SDK, or ``AgentSpec``s
    tools: list[Tool] = field(default_factory=list)
    places: dict[int, Place] = field(default_factory=dict)  # of agents, by identity

    def place(self, agent: Any) -> Place:
        return self.places[id(agent)]


def find(sources: Iterable[str]) -> Found:
    """Everything at the top level of Python files and modules (``my_agents.py``, ``package.module``), all that is declared in
    ``.toml`` and ``.yaml`` files, and all of both in a folder. Raises ``WrongSettings`` that says where something is wrong."""
    agents: dict[int, tuple[Any, Place]] = {}
    tools: dict[int, Tool] = {}
    for source in sources:
        found = 0
        for part in _parts(source):
            if isinstance(part, Path) and part.suffix in declared.SUFFIXES:
                brought = declared.read(part)
            else:
                brought, more = python.load(str(part))
                tools |= {id(tool): tool for tool in more}
                found += len(more)
            agents |= {id(agent): (agent, place) for agent, place in brought}
            found += len(brought)
        if not found:
            raise WrongSettings(f"{source}: there is no Agent at its top level.")
    return Found(
        [agent for agent, _ in agents.values()],
        list(tools.values()),
        {id(agent): place for agent, place in agents.values()},
    )


def _parts(source: str) -> list[Path | str]:
    """The files of a folder that is no package; else the source itself."""
    path = Path(source)
    if path.suffix in declared.SUFFIXES:
        if not path.is_file():
            raise WrongSettings(f"{source}: there is no such file.")
        return [path]
    if not path.is_dir():
        return [source]
    files = [file for file in sorted(path.iterdir()) if file.suffix in declared.SUFFIXES]
    if (path / "__init__.py").is_file():
        return [*files, source]
    return [*files, *(file for file in sorted(path.glob("*.py")) if not file.name.startswith("_"))]


def watched(sources: Iterable[str]) -> dict[Path, int]:
    """When the files that sources consist of were changed, as far as they can be seen."""
    times: dict[Path, int] = {}
    for source in sources:
        path = Path(source)
        if not path.exists() and (module := python.file_of(source)) is not None:
            path = module.parent if module.name == "__init__.py" else module
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.suffix in (*declared.SUFFIXES, ".py") and file.is_file():
                times[file] = file.stat().st_mtime_ns
    return times


def keyed(
    builtin: Iterable[AgentSpec | Workflow], given: Iterable[Any] | Mapping[str, Any], found: Found | None = None
) -> dict[str, Any]:
    """All agents by key. One that is given replaces a built-in of the same key; two of the same key are refused."""
    agents: dict[str, Any] = {}
    pairs = given.items() if isinstance(given, Mapping) else ((key_of(agent), agent) for agent in given)
    for key, agent in pairs:
        first = agents.setdefault(key, agent)
        if first is not agent:
            where = "" if found is None else f"{found.place(agent)}: "
            other = "" if found is None else f" The other is in {found.place(first)}."
            raise WrongSettings(
                f"{where}Two agents have the key {key!r} (it may come from the name).{other} Give one another."
            )
    return {**{spec.key: spec for spec in builtin if spec.key not in agents}, **agents}


def key_of(agent: Any) -> str:
    if isinstance(agent, AgentSpec | Workflow):
        return agent.key
    try:
        return key_from(agent.name)
    except Invalid as error:
        raise WrongSettings(f"{error.detail} It comes from the agent's name {agent.name!r}.") from None

"""Agents and tools at the top level of Python files and modules, loaded as they are now."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from dragoman.application.workflows import Workflow
from dragoman.domain.agents import AgentSpec
from dragoman.domain.tools import Tool
from dragoman.settings import WrongSettings
from dragoman.sources.places import Place, line_in_python
from dragoman.tools import BUILTIN

Agents = list[tuple[Any, Place]]


def load(source: str) -> tuple[Agents, list[Tool]]:
    """Raises ``WrongSettings`` if there is no such thing, and whatever its code raises."""
    module = _loaded(source)
    values = vars(module).items()
    agents = [(value, _place(module, source, name)) for name, value in values if _is_agent(value)]
    return agents, [value for _, value in values if isinstance(value, Tool) and value not in BUILTIN]


def forget(sources: list[str]) -> dict[str, ModuleType]:
    """Let go of the modules that belong to sources, so that they are loaded anew; gives those that were there."""
    roots = {root for source in sources if (root := _root(source)) is not None}
    gone = {
        name: module
        for name, module in sys.modules.items()
        if (file := getattr(module, "__file__", None)) is not None and _belongs(Path(file), roots)
    }
    for name in gone:
        del sys.modules[name]
    importlib.invalidate_caches()
    return gone


def file_of(name: str) -> Path | None:
    """Where a module is, if it is loaded."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return None if file is None else Path(file)


def _root(source: str) -> Path | None:
    """The folder whose modules belong to a source."""
    path = Path(source) if Path(source).exists() else file_of(source)
    if path is None:
        return None
    return (path if path.is_dir() else path.parent).resolve()


def _belongs(file: Path, roots: set[Path]) -> bool:
    """Whether a module is the user's own. What is installed is not, even below the same folder."""
    mine = Path(__file__).parents[1]
    return (
        "site-packages" not in file.parts
        and mine not in file.parents
        and Path(sys.prefix) not in file.parents
        and any(root in file.parents for root in roots)
    )


def _is_agent(value: Any) -> bool:
    """An ``AgentSpec``, a workflow, or an agent of the SDK, told by its class's name so that asking does not import the SDK."""
    kinds = type(value).__mro__
    return isinstance(value, AgentSpec | Workflow) or any(
        k.__name__ == "Agent" and k.__module__ == "agents.agent" for k in kinds
    )


def _place(module: ModuleType, source: str, name: str) -> Place:
    file = getattr(module, "__file__", None)
    if file is None:
        return Place(source)
    shown = Path(source) if Path(source).is_file() else Path(file)
    return Place(str(shown), line_in_python(Path(file), name))


def _loaded(source: str) -> ModuleType:
    path = Path(source)
    if path.suffix != ".py" and not path.is_dir():
        return _import(source)
    if not path.exists():
        raise WrongSettings(f"{source}: there is no such file.")
    path = path.resolve()
    if path.name == "__init__.py":
        path = path.parent
    if path.is_dir() or (path.parent / "__init__.py").is_file():
        return _import_from_package(path)
    _make_importable(path.parent)
    spec = importlib.util.spec_from_file_location(f"dragoman_agents_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _import_from_package(path: Path) -> ModuleType:
    names = [path.stem]
    while (path.parent / "__init__.py").is_file():
        path = path.parent
        names.insert(0, path.name)
    _make_importable(path.parent)
    return _import(".".join(names))


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and name.startswith(error.name):
            raise WrongSettings(f"{name}: there is no such module or file.") from None
        raise


def _make_importable(folder: Path) -> None:
    """Its neighbours can be imported; last on the path, so that a file named ``agents.py`` hides no library."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

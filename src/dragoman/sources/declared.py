"""Agents that are declared in files: TOML, or YAML where PyYAML is installed.

A file declares one agent, whose key is the file's name unless it says another, or several in tables ``[agents.KEY]``. What may
be said is what an ``AgentSpec`` has.
"""

import difflib
import importlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from dragoman.domain.agents import AgentSpec
from dragoman.domain.errors import Invalid
from dragoman.domain.runs import Habits
from dragoman.settings import WrongSettings
from dragoman.sources.places import Place, line_in_text

SUFFIXES = (".toml", ".yaml", ".yml")

_HABITS = tuple(field.name for field in fields(Habits))
FIELDS = (*(field.name for field in fields(AgentSpec) if field.name != "habits"), *_HABITS)
"""What a declaration may say."""


def read(file: Path) -> list[tuple[AgentSpec, Place]]:
    """The agents of a file. Raises ``WrongSettings`` with file, line, agent and field."""
    text, content = _content(file)
    many = content.get("agents")
    if many is None:
        return [_File(file, text).agent(file.stem, content, ())]
    if not isinstance(many, dict) or set(content) != {"agents"}:
        raise WrongSettings(f"{file}: it has `agents`, so it is one table for each: [agents.KEY], and nothing else.")
    return [_File(file, text).agent(key, table, ("agents", key)) for key, table in many.items()]


def _content(file: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongSettings(f"{file} cannot be read: {type(error).__name__}.") from None
    content = _toml(file, text) if file.suffix == ".toml" else _yaml(file, text)
    if not isinstance(content, dict):
        raise WrongSettings(f"{file}: it declares no agent.")
    return text, content


def _toml(file: Path, text: str) -> Any:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise WrongSettings(f"{file} is no TOML: {error}.") from None


def _yaml(file: Path, text: str) -> Any:
    try:
        yaml = importlib.import_module("yaml")
    except ModuleNotFoundError:
        raise WrongSettings(f"{file}: reading YAML needs PyYAML. Install dragoman[yaml], or write TOML.") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = Place(str(file), None if mark is None else mark.line + 1)
        raise WrongSettings(f"{place}: it is no YAML: {getattr(error, 'problem', None) or 'unreadable'}.") from None


class _File:
    def __init__(self, file: Path, text: str) -> None:
        self._file = file
        self._text = text

    def agent(self, key: str, table: Any, path: tuple[str, ...]) -> tuple[AgentSpec, Place]:
        place = self._place(path)
        if not isinstance(table, dict):
            raise WrongSettings(f"{place}: {key!r} is not a table.")
        key = table.get("key", key)
        self._check(key, path, table, FIELDS)
        for name, known in _TABLES.items():
            if isinstance(table.get(name), dict):
                self._check(key, path, table[name], known, name)
        said = {"key": key, "name": str(key).replace("_", " ").replace("-", " ").capitalize(), **table}
        said["habits"] = {name: said.pop(name) for name in _HABITS if name in said}
        if isinstance(said.get("output"), str):
            said["output"] = self._class(key, path, said["output"])
        return self._spec(key, path, said), place

    def _spec(self, key: str, path: tuple[str, ...], said: Mapping[str, Any]) -> AgentSpec:
        try:
            return _SPEC.validate_python(said)
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            steps = [str(step) for step in problem["loc"] if step != "habits"]
            message = problem["msg"]
            raise self._wrong(key, path, steps[0], f"{message[:1].lower()}{message[1:]}.", *steps[1:]) from None
        except Invalid as error:
            raise self._wrong(key, path, error.field, error.detail) from None

    def _check(
        self, key: Any, path: tuple[str, ...], table: Mapping[Any, Any], known: Sequence[str], *inside: str
    ) -> None:
        """Refuse a name that means nothing, and say which was perhaps meant."""
        for name in table:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, n=1)
                hint = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(known)}."
                first, *rest = (*inside, str(name))
                raise self._wrong(key, path, first, f"there is no such field. {hint}", *rest)

    def _class(self, key: str, path: tuple[str, ...], name: str) -> type:
        """The class that ``module:Class`` names."""
        module, _, attribute = name.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError, ValueError):
            found = None
        if not isinstance(found, type):
            raise self._wrong(key, path, "output", f"there is no class {name!r}. Example: my_package.forms:Report.")
        return found

    def _wrong(self, key: Any, path: tuple[str, ...], field: str | None, reason: str, *inside: str) -> WrongSettings:
        place = self._place((*path, *(step for step in (field, *inside) if step)))
        where = f", {'.'.join(filter(None, (field, *inside)))}" if field else ""
        return WrongSettings(f"{place}: the agent {key!r}{where}: {reason}")

    def _place(self, path: tuple[str, ...]) -> Place:
        return Place(str(self._file), line_in_text(self._text, path))


def _tables() -> dict[str, tuple[str, ...]]:
    """The fields that are tables of their own, and what these may say."""
    tables = {}
    for name, hint in get_type_hints(AgentSpec).items():
        kind = next((kind for kind in (hint, *get_args(hint)) if is_dataclass(kind)), None)
        if kind is not None:
            tables[name] = tuple(field.name for field in fields(kind))
    return tables


_TABLES = _tables()
_SPEC: TypeAdapter[AgentSpec] = TypeAdapter(AgentSpec)

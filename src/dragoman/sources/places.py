"""Where something was written."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Place:
    file: str
    line: int | None = None

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


def line_in_text(text: str, path: Sequence[str]) -> int | None:
    """The line of a TOML or YAML file where ``path`` leads to, as far as its steps can be seen."""
    lines, found, start = text.splitlines(), None, 0
    for step in path:
        name = rf"[\"']?{re.escape(step)}[\"']?"
        header = re.compile(rf"\s*(\[+(.*\.)?{name}\s*\]+|{name}\s*[=:])")
        line = next((number for number in range(start, len(lines)) if header.match(lines[number])), None)
        if line is not None:
            found, start = line + 1, line
    return found


def line_in_python(file: Path, name: str) -> int | None:
    """The line of a Python file that gives something this name."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return node.lineno
    return None

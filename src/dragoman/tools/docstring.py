"""What a docstring says: what a function is for, and what its arguments are.

Arguments are found in a section ``Args:`` (or ``Arguments:``, ``Parameters:``), or as ``:param name: text``.
"""

import re
from dataclasses import dataclass, field

_SECTION = re.compile(r"(Args|Arguments|Parameters|Returns?|Yields?|Raises|Examples?|Notes?):\s*$")
_ARGUMENTS = frozenset({"Args", "Arguments", "Parameters"})
_ARGUMENT = re.compile(r"\s+\*{0,2}(\w+)(?:\s*\([^)]*\))?:\s*(.*)")
_PARAM = re.compile(r":param (?:[^:]* )?(\w+):\s*(.*)")


@dataclass(frozen=True, slots=True)
class Docstring:
    about: str
    arguments: dict[str, str] = field(default_factory=dict)


def read_docstring(text: str) -> Docstring:
    """``text`` without its indentation, as ``inspect.getdoc`` gives it."""
    about: list[str] = []
    arguments: dict[str, str] = {}
    section, name = "", ""
    for line in text.splitlines():
        if begun := _SECTION.match(line):
            section, name = begun[1], ""
        elif param := _PARAM.match(line):
            section, name = "Args", param[1]
            arguments[name] = param[2]
        elif line.startswith(":"):
            section = line
        elif section in _ARGUMENTS:
            if argument := _ARGUMENT.match(line):
                name = argument[1]
                arguments[name] = argument[2]
            elif name and line.strip():
                arguments[name] = f"{arguments[name]} {line.strip()}".strip()
        elif not section:
            about.append(line)
    return Docstring("\n".join(about).strip(), arguments)

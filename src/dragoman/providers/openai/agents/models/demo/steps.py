"""What an answer consists of, in order."""

import json
from dataclasses import dataclass
from typing import Any

from dragoman.domain.errors import ModelError


@dataclass(frozen=True, slots=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    tool: str
    arguments: str = "{}"  # as a model writes them: not always JSON

    @classmethod
    def of(cls, tool: str, **arguments: Any) -> "Call":
        return cls(tool, json.dumps(arguments, ensure_ascii=False))


@dataclass(frozen=True, slots=True)
class Stall:
    seconds: float


@dataclass(frozen=True, slots=True)
class Fail:
    error: type[ModelError]


Step = Say | Call | Stall | Fail

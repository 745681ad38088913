"""Agents as the catalogue knows them: declared by a specification, described by a card."""

import re
from dataclasses import dataclass, field
from typing import Any

from dragoman.domain.errors import Invalid
from dragoman.domain.runs import Habits
from dragoman.domain.tools import ApprovalNeed

_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """An agent declared without any SDK. Every provider can play it."""

    key: str
    name: str
    instructions: str
    description: str = ""
    model: str | None = None
    tools: tuple[str, ...] = ()
    handoffs: tuple[str, ...] = ()  # keys of other agents
    max_turns: int = 10
    habits: Habits = field(default_factory=Habits)

    def __post_init__(self) -> None:
        check_key(self.key)


@dataclass(frozen=True, slots=True)
class ToolCard:
    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None  # JSON schema of the arguments; None: its provider knows none
    needs_approval: ApprovalNeed = "never"


@dataclass(frozen=True, slots=True)
class AgentCard:
    """What callers may know about an agent."""

    key: str
    name: str
    provider: str
    description: str = ""
    model: str = ""
    instructions: str | None = None  # None: computed, or not to be told
    tools: tuple[ToolCard, ...] = ()
    handoffs: tuple[str, ...] = ()
    capabilities: dict[str, Any] = field(default_factory=dict)
    habits: Habits = field(default_factory=Habits)


def check_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise Invalid(f"An agent's key is 1 to 64 of a-z, 0-9, '-' and '_'; {key!r} is not.", field="key")
    return key


def key_from(name: str) -> str:
    """The key an agent gets from its name: ``"Math Tutor"`` → ``math_tutor``."""
    return check_key(re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:64])

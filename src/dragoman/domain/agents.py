"""Agents as the catalogue knows them: declared by a specification, described by a card."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dragoman.domain.errors import Invalid
from dragoman.domain.memory import Memory
from dragoman.domain.runs import Habits, ModelChoices, Run
from dragoman.domain.templates import check_template, filled
from dragoman.domain.tools import ApprovalNeed, Tool

_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


Output = type | Mapping[str, Any]
"""The form of an answer: a class, a Pydantic model for example, or a JSON schema."""


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """An agent declared without any SDK. Every provider can play it."""

    key: str
    name: str
    instructions: str = ""
    description: str = ""
    model: str | None = None
    tools: tuple[str, ...] = ()
    handoffs: tuple[str, ...] = ()  # keys of other agents
    max_turns: int = 10
    habits: Habits = field(default_factory=Habits)
    template: str | None = None  # in place of instructions: with places such as {user} that are filled in for each run
    context: Mapping[str, Any] = field(default_factory=dict)  # what {context.NAME} is where the caller sends nothing
    settings: ModelChoices = field(default_factory=ModelChoices)
    output: Output | None = None
    strict_output: bool = True  # whether the endpoint is to hold its model to the form of the answer
    max_seconds: float | None = None  # that a run may be played; time spent waiting does not count
    mcp: tuple[str, ...] = ()  # names of MCP servers, all of whose tools it may use
    memory: Memory = field(default_factory=Memory)  # how much of a conversation it is told
    public: bool = True  # whether it can be addressed; else it is only reached by hand-offs
    continues: bool = False  # whether in a conversation that it has handed over its messages go to whoever has it now

    def __post_init__(self) -> None:
        check_key(self.key)
        if self.template is not None:
            if self.instructions:
                raise Invalid("An agent has instructions or a template, not both.", field="template")
            check_template(self.template, self.context)
        if self.max_turns < 1:
            raise Invalid("max_turns is at least 1.", field="max_turns")
        if self.max_seconds is not None and self.max_seconds <= 0:
            raise Invalid("max_seconds is more than 0.", field="max_seconds")

    def instructions_for(self, run: Run) -> str:
        return self.instructions if self.template is None else filled(self.template, run, self.context)


@dataclass(frozen=True, slots=True)
class ToolCard:
    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None  # JSON schema of the arguments; None: its provider knows none
    needs_approval: ApprovalNeed = "never"


def card_of(tool: Tool) -> ToolCard:
    return ToolCard(tool.name, tool.description, tool.parameters, tool.approval)


@dataclass(frozen=True, slots=True)
class AgentCard:
    """What callers may know about an agent."""

    key: str
    name: str
    provider: str
    description: str = ""
    model: str = ""
    instructions: str | None = None  # None: computed, or not to be told; a template as it was written
    tools: tuple[ToolCard, ...] = ()
    handoffs: tuple[str, ...] = ()
    capabilities: dict[str, Any] = field(default_factory=dict)
    habits: Habits = field(default_factory=Habits)
    max_seconds: float | None = None
    mcp: tuple[str, ...] = ()  # servers that it was declared with
    memory: Memory = field(default_factory=Memory)
    public: bool = True
    continues: bool = False


def check_key(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise Invalid(f"An agent's key is 1 to 64 of a-z, 0-9, '-' and '_'; {key!r} is not.", field="key")
    return key


def key_from(name: str) -> str:
    """The key an agent gets from its name: ``"Math Tutor"`` → ``math_tutor``."""
    return check_key(re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:64])

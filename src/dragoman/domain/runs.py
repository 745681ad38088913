"""A run answers one message. This is its record, and the table of what it may become."""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from itertools import takewhile
from typing import Any, Literal, Self, get_args

from dragoman.domain.errors import Invalid
from dragoman.domain.items import Content, kind_of
from dragoman.domain.memory import Memory
from dragoman.domain.tools import DeclaredTool
from dragoman.domain.usage import Usage

POSITIONS_PER_ATTEMPT = 2**20
"""A million events per attempt; a position is ``attempt * 2**20 + n`` and only ever grows."""
MAX_ATTEMPTS = 2**11

OnBusy = Literal["queue", "reject", "interrupt", "steer", "rollback"]
OnDisconnect = Literal["continue", "cancel"]
CancelMode = Literal["after_turn", "now"]
Asked = Literal["steer", "after_turn", "interrupt", "now"]
"""What the player of a run can be asked, the weakest first: what is weaker changes nothing any more. ``steer``: to look for
messages before it asks its model again; the others, to stop. ``interrupt`` lets tools that are at work finish, within the
deadline, and nothing else."""

ASKED: tuple[Asked, ...] = get_args(Asked)


class RunStatus(StrEnum):
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    REQUIRES_ACTION = "requires_action"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INCOMPLETE = "incomplete"

    @property
    def ended(self) -> bool:
        return self in ENDS


ENDS = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.INCOMPLETE})

NEXT: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.QUEUED: ENDS - {RunStatus.INCOMPLETE}
    | {RunStatus.IN_PROGRESS},  # completed: another run took its message
    RunStatus.IN_PROGRESS: ENDS | {RunStatus.REQUIRES_ACTION, RunStatus.QUEUED},  # queued: handed over
    RunStatus.REQUIRES_ACTION: ENDS | {RunStatus.QUEUED},  # queued: a person has decided
    **{end: frozenset() for end in ENDS},
}
"""The only legal changes of status."""


def before(status: RunStatus) -> tuple[RunStatus, ...]:
    """From where a run may come to ``status``: the condition of every status write."""
    return tuple(earlier for earlier in RunStatus if status in NEXT[earlier])


def first_position(attempt: int) -> int:
    return attempt * POSITIONS_PER_ATTEMPT


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """JSON of a certain form, in place of free text."""

    schema: dict[str, Any]
    name: str = "answer"
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ModelChoices:
    """How the caller wants the models to be asked. What is ``None`` is left to the agent."""

    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    max_output_tokens: int | None = None  # of each answer
    reasoning_effort: str | None = None
    reasoning_summary: str | None = None
    verbosity: str | None = None
    truncation: Literal["auto", "disabled"] | None = None
    stop: tuple[str, ...] | None = None  # where an answer ends; only some endpoints know it
    seed: int | None = None  # the same
    parallel_tool_calls: bool | None = None
    tool_choice: str | None = None  # auto, none, required, or the name of a tool; but for none, of the first answer


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a caller may choose about a run. ``None``: it was not said, and the agent or the server decides."""

    model: str | None = None
    max_turns: int | None = None
    on_busy: OnBusy | None = None
    on_disconnect: OnDisconnect | None = None
    background: bool = False
    history: Memory = field(default_factory=Memory)  # how much of it the model is told
    from_item: str | None = None  # where in the conversation to go on, if not at the head of its current branch
    metadata: dict[str, Any] = field(default_factory=dict)
    instructions: str | None = None  # beside the agent's own
    tools: tuple[DeclaredTool, ...] = ()
    output: OutputFormat | None = None
    choices: ModelChoices | None = None
    own_answer: bool = False  # its caller cannot be told that another run has taken its message
    hidden: bool = False  # a conversation that it begins is never listed
    echo: dict[str, Any] = field(default_factory=dict)  # what a surface has to say again about the request
    workflow: dict[str, Any] = field(default_factory=dict)  # what is chosen about a workflow; its agents do not see it

    @property
    def handed_back(self) -> frozenset[str]:
        """The tools whose calls are not ours to answer."""
        return frozenset(tool.name for tool in self.tools)

    def or_else(self, *habits: "Habits") -> Self:
        """With what the first of these says where the caller said nothing."""
        said = {name: getattr(self, name) for name in _HABITS}
        for habit in habits:
            said = {name: getattr(habit, name) if value is None else value for name, value in said.items()}
        return replace(self, **said)


def options_from(content: dict[str, Any]) -> RunOptions:
    """Read what was written as JSON."""
    content = dict(content)
    limit = content.pop("history_limit", None)  # as it was written before there was more to say
    output, choices = content.get("output"), content.get("choices")
    return RunOptions(
        **{
            **content,
            "history": Memory(**content.get("history", {"limit": limit})),
            "tools": tuple(DeclaredTool(**tool) for tool in content.get("tools", ())),
            "output": None if output is None else OutputFormat(**output),
            "choices": None if choices is None else _choices_from(choices),
        }
    )


def _choices_from(content: dict[str, Any]) -> ModelChoices:
    stop = content.get("stop")
    return ModelChoices(**{**content, "stop": None if stop is None else tuple(stop)})


@dataclass(frozen=True, slots=True)
class Habits:
    """What an agent or a server does about busy conversations and closed streams when nobody says otherwise."""

    on_busy: OnBusy | None = None
    on_disconnect: OnDisconnect | None = None


_HABITS = tuple(field.name for field in fields(Habits))


@dataclass(frozen=True, slots=True)
class RunError:
    """How a run failed, as its caller may know it."""

    code: str
    message: str
    retryable: bool = False
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    id: str
    tenant: str
    owner: str
    agent: str
    provider: str
    conversation_id: str | None  # None: a stateless run
    session_id: str | None
    input: tuple[Content, ...]  # empty: it answers again what is there already
    created_at: datetime
    status: RunStatus = RunStatus.QUEUED
    options: RunOptions = field(default_factory=RunOptions)
    context: dict[str, Any] = field(default_factory=dict)
    attempt: int = 0
    branch: str | None = None  # where it adds its items
    base_item: str | None = None  # the history item this run started from
    key: str | None = None  # the id of the API key it was begun with
    trace: str | None = None  # the caller's traceparent
    usage: Usage = field(default_factory=Usage)
    error: RunError | None = None
    final_output: Any = None
    response_id: str | None = None
    ended_at: datetime | None = None
    supersedes: str | None = None  # the run that was undone for it
    superseded_by: str | None = None  # for which run it was undone
    steered_into: str | None = None  # the run that took its message while it was played

    @property
    def begun(self) -> bool:
        """Whether it was played, or is: it is in progress, waits for a person, or was given back."""
        return self.status is not RunStatus.QUEUED or self.attempt > 0

    def steers(self, playing: "Run") -> bool:
        """Whether its message may be told to a run that is being played: it waits only to be told to that agent, where that
        is speaking."""
        return (
            self.options.on_busy == "steer"
            and not self.options.own_answer
            and not self.begun
            and self.options.from_item is None
            and (self.conversation_id, self.branch, self.agent)
            == (playing.conversation_id, playing.branch, playing.agent)
            and all(kind_of(item) == "message" for item in self.input)
        )


def place(run: Run) -> tuple[datetime, str]:
    """Where a run stands in a queue."""
    return run.created_at, run.id


def steering(playing: Run, line: Iterable[Run]) -> list[Run]:
    """Those that steer a run, of all that stand in line behind it: as far as nothing else stands before them."""
    behind = sorted((run for run in line if run.id != playing.id), key=place)
    return list(takewhile(lambda run: run.steers(playing), behind))


def shares(active: Mapping[str, int], places: int) -> dict[str, int]:
    """How many of so many free places each tenant gets, by how many it occupies: whoever has the fewest is next."""
    queue = [(count, tenant) for tenant, count in active.items()]
    heapq.heapify(queue)
    given: dict[str, int] = {}
    for _ in range(places if queue else 0):
        count, tenant = queue[0]
        given[tenant] = given.get(tenant, 0) + 1
        heapq.heapreplace(queue, (count + 1, tenant))
    return given


def check_place(run: Run, role: str | None) -> None:
    """Whether a run can begin behind an item of this role: without a message of its own it answers a user's again."""
    if not run.input and role != "user":
        raise Invalid("Without an input, from_item must be a message of the user.", field="from_item")

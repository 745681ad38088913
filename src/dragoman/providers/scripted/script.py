"""What the scripted provider plays: steps, written in Python or as commands in a message."""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dragoman.domain.errors import (
    DragomanError,
    Invalid,
    ModelBroken,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
)
from dragoman.ports.runtime import Turn


@dataclass(frozen=True, slots=True)
class Say:
    """A message, streamed in ``pieces`` (by default word by word). Without a later step it is the final answer."""

    text: str
    pieces: tuple[str, ...] = ()
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. Without ``returns`` or ``raises`` the tool of that name is really called."""

    tool: str
    arguments: dict[str, Any] = field(default_factory=dict)
    returns: Any = None
    raises: str | None = None
    needs_approval: bool = False  # whatever the tool says


@dataclass(frozen=True, slots=True)
class Calls:
    """One model answer with several tool calls, which run side by side."""

    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class HandOff:
    """The next steps are another agent's."""

    agent: str


@dataclass(frozen=True, slots=True)
class Fail:
    """The model fails."""

    error: DragomanError


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing happens for so many seconds."""

    seconds: float


Step = Say | Calls | HandOff | Fail | Stall
Script = Sequence[Step] | Callable[[Turn], Sequence[Step]]

FAILURES: dict[str, type[DragomanError]] = {
    "rate_limited": ModelRateLimited,
    "unavailable": ModelUnavailable,
    "refused": ModelRefused,
    "broken": ModelBroken,
}


def say(text: str, *pieces: str, reasoning: str = "") -> Say:
    """``say("Hello there")``, or ``say("Hello", " there")`` to choose the pieces it is streamed in."""
    return Say("".join((text, *pieces)), (text, *pieces) if pieces else (), reasoning)


def call(
    tool: str,
    arguments: dict[str, Any] | None = None,
    *,
    returns: Any = None,
    raises: str | None = None,
    needs_approval: bool = False,
) -> Calls:
    return Calls((Call(tool, arguments or {}, returns, raises, needs_approval),))


def together(*calls: Calls) -> Calls:
    """Several calls in one model answer."""
    return Calls(tuple(one for group in calls for one in group.calls))


def hand_off(agent: str) -> HandOff:
    return HandOff(agent)


def fail(error: DragomanError) -> Fail:
    return Fail(error)


def stall(seconds: float) -> Stall:
    return Stall(seconds)


def commands(text: str) -> list[Step]:
    """The steps a message asks for, line by line; neighbouring ``/call`` lines run side by side.

    ``/say TEXT``, ``/tokens N``, ``/call TOOL {json}``, ``/handoff AGENT``, ``/fail KIND``, ``/stall SECONDS``.
    A message without commands is repeated back.
    """
    steps: list[Step] = []
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if not word.startswith("/"):
            continue
        step = _command(word[1:], rest.strip())
        if isinstance(step, Calls) and steps and isinstance(steps[-1], Calls):
            steps[-1] = together(steps[-1], step)
        else:
            steps.append(step)
    if not steps:
        return [Say(f"You said: {text}")]
    if isinstance(steps[-1], Calls | HandOff | Stall):
        steps.append(Say("Done."))
    return steps


def _command(name: str, rest: str) -> Step:
    try:
        match name:
            case "say":
                return Say(rest)
            case "tokens":
                pieces = tuple(f" {n}" if n > 1 else "1" for n in range(1, int(rest) + 1))
                return Say("".join(pieces), pieces)
            case "call":
                tool, _, arguments = rest.partition(" ")
                return Calls((Call(tool, json.loads(arguments or "{}")),))
            case "handoff":
                return HandOff(*shlex.split(rest))
            case "fail":
                return Fail(FAILURES[rest]())
            case "stall":
                return Stall(float(rest))
    except (ValueError, KeyError, TypeError):
        raise Invalid(f"The command /{name} does not understand {rest!r}.", field="input") from None
    raise Invalid(f"There is no command /{name}.", field="input")

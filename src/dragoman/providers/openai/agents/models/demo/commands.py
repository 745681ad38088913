"""Commands inside a message, one per line: how people and tests make the demo model do something in particular.

/say TEXT             answer exactly this
/tokens N             answer N numbered tokens
/call TOOL {json}     call a tool; several lines are calls at once; lines behind them are for afterwards
/stall SECONDS        be silent for a while
/fail KIND            fail: rate_limited, unavailable, refused or broken
"""

import re
from collections.abc import Callable, Sequence

from dragoman.domain.errors import ModelBroken, ModelError, ModelRateLimited, ModelRefused, ModelUnavailable
from dragoman.providers.openai.agents.models.demo.steps import Call, Fail, Say, Stall, Step

FAILURES: dict[str, type[ModelError]] = {
    "rate_limited": ModelRateLimited,
    "unavailable": ModelUnavailable,
    "refused": ModelRefused,
    "broken": ModelBroken,
}
MAX_TOKENS = 100_000
MAX_STALL = 3600.0

_LINE = re.compile(r"/(say|tokens|call|stall|fail)(?:[ \t]+(.*))?")


def commands(text: str, calls_made: int) -> list[Step] | None:
    """The steps a message orders from here on, or ``None`` if it orders nothing."""
    matches = [match for line in text.splitlines() if (match := _LINE.fullmatch(line.strip()))]
    if not matches:
        return None
    steps = [_COMMANDS[match[1]](match[2] or "") for match in matches]
    return _from(steps, calls_made)


def _from(steps: Sequence[Step], calls_made: int) -> list[Step]:
    """One model answer's part of the steps: those behind the calls already made, up to the end of the next calls."""
    start = 0
    for i, step in enumerate(steps):
        if isinstance(step, Call) and calls_made:
            calls_made -= 1
            start = i + 1
    part: list[Step] = []
    for step in steps[start:]:
        if part and isinstance(part[-1], Call) and not isinstance(step, Call):
            break
        part.append(step)
    return part


def _tokens(argument: str) -> Step:
    count = _number(argument, 10)
    return Say(" ".join(str(i + 1) for i in range(int(min(max(count, 0), MAX_TOKENS)))))


def _call(argument: str) -> Step:
    tool, _, arguments = argument.strip().partition(" ")
    return Call(tool, arguments.strip() or "{}")


def _stall(argument: str) -> Step:
    return Stall(min(max(_number(argument, 1.0), 0.0), MAX_STALL))


def _fail(argument: str) -> Step:
    if argument.strip() in FAILURES:
        return Fail(FAILURES[argument.strip()])
    return Say(f"I can fail in these ways: {', '.join(FAILURES)}.")


def _number(argument: str, otherwise: float) -> float:
    try:
        return float(argument)
    except ValueError:
        return otherwise


_COMMANDS: dict[str, Callable[[str], Step]] = {
    "say": Say,
    "tokens": _tokens,
    "call": _call,
    "stall": _stall,
    "fail": _fail,
}

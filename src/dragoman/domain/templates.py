"""Instructions with places that are filled in for each run: who asks, what day it is, what came with the run.

All of it is kept with the run, so a run that is taken up again is told the same.
"""

import string
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from dragoman.domain.errors import Invalid
from dragoman.domain.runs import Run

KNOWN: Mapping[str, Callable[[Run], str]] = {
    "user": lambda run: run.owner,
    "tenant": lambda run: run.tenant,
    "agent": lambda run: run.agent,  # the one that was addressed
    "date": lambda run: run.created_at.strftime("%Y-%m-%d"),  # in UTC, of the message
    "weekday": lambda run: run.created_at.strftime("%A"),
    "time": lambda run: run.created_at.strftime("%H:%M"),
}
CONTEXT = "context."
LONGEST = 2000
"""Characters of a value of the caller's that are let into instructions."""


def check_template(template: str, context: Collection[str]) -> None:
    """Refuse a place that nothing fills: neither known, nor declared among the ``context`` of a run."""
    known = [*KNOWN, *(CONTEXT + name for name in context)]
    for place in _places(template):
        if place not in known:
            raise Invalid(
                f"The template has a place {{{place}}} that nothing fills. Known: {', '.join(known)}."
                " Write {{ and }} for braces.",
                field="template",
            )


def filled(template: str, run: Run, context: Mapping[str, Any]) -> str:
    """The template for one run. ``context`` is what holds where the caller sent nothing of that name."""
    text = []
    for literal, place, _, _ in string.Formatter().parse(template):
        text.append(literal)
        if place is not None:
            text.append(_value(place, run, context))
    return "".join(text)


def _value(place: str, run: Run, context: Mapping[str, Any]) -> str:
    if place in KNOWN:
        return KNOWN[place](run)
    name = place.removeprefix(CONTEXT)
    return str(run.context.get(name, context[name]))[:LONGEST]


def _places(template: str) -> Iterator[str]:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError:
        raise Invalid(
            "The template has a brace that is not closed. Write {{ and }} for braces.", field="template"
        ) from None
    for _, place, form, conversion in parts:
        if place is not None:
            yield place + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")

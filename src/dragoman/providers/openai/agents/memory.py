"""Summaries of what an agent can no longer be told, asked of a model as the SDK asks."""

from typing import Any

from agents import ModelSettings, ModelTracing

from dragoman.domain.items import message
from dragoman.domain.memory import INSTRUCTIONS


def to_summarize(text: str) -> tuple[Any, ...]:
    """The arguments of the model call: no tools, no hand-offs, no form of the answer."""
    return INSTRUCTIONS, [message("user", text)], ModelSettings(), [], None, [], ModelTracing.DISABLED, None, None, None

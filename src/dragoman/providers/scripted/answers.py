"""Answers of a certain form, read from what a script says."""

import json
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dragoman.domain.agents import Output
from dragoman.domain.errors import ModelBroken
from dragoman.domain.schemas import misfit


def read_answer(form: Output, text: str) -> Any:
    """As JSON of that form; a model that said anything else would have failed, too."""
    if isinstance(form, type):
        adapter: TypeAdapter[Any] = TypeAdapter(form)
        try:
            return adapter.dump_python(adapter.validate_json(text), mode="json")
        except ValidationError:
            raise ModelBroken from None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelBroken from None
    if misfit(form, value) is not None:
        raise ModelBroken
    return value

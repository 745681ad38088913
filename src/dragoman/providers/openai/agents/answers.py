"""The form of an agent's answer, as the SDK wants to be told."""

import json
from typing import Any

from agents import AgentOutputSchema, AgentOutputSchemaBase, ModelBehaviorError, UserError

from dragoman.domain.agents import AgentSpec
from dragoman.domain.errors import Invalid
from dragoman.domain.schemas import misfit


def answer_schema(spec: AgentSpec) -> AgentOutputSchemaBase:
    """Raises ``Invalid`` for a class that is to be strict and cannot be."""
    if not isinstance(spec.output, type):
        return _DeclaredSchema(dict(spec.output or {}), strict=spec.strict_output)
    try:
        return AgentOutputSchema(spec.output, strict_json_schema=spec.strict_output)
    except UserError as error:
        raise Invalid(
            f"The agent {spec.key!r}: {spec.output.__name__} cannot be a strict schema. Say strict_output=False.",
            field="output",
        ) from error


class _DeclaredSchema(AgentOutputSchemaBase):
    """A JSON schema that was written as one."""

    def __init__(self, schema: dict[str, Any], *, strict: bool) -> None:
        self._schema = schema
        self._strict = strict

    def is_plain_text(self) -> bool:
        return False

    def name(self) -> str:
        return str(self._schema.get("title", "answer"))

    def json_schema(self) -> dict[str, Any]:
        return self._schema

    def is_strict_json_schema(self) -> bool:
        return self._strict

    def validate_json(self, json_str: str) -> Any:
        try:
            value = json.loads(json_str)
        except (ValueError, RecursionError):
            raise ModelBehaviorError("The answer is not JSON.") from None
        if found := misfit(self._schema, value):
            raise ModelBehaviorError(f"The answer {found}.")
        return value

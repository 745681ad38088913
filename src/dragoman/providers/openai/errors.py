"""From the exceptions of the SDK and its client to ours. No text of theirs is passed on.

There are two places where things go wrong: inside a model call (``model_failure``) and anywhere else in the SDK's loop
(``run_failure``). Each is one table, the first match wins.
"""

import json
import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import TypeVar

import agents
import openai
from pydantic import ValidationError

from dragoman.domain.errors import (
    DragomanError,
    GuardrailBlocked,
    MaxTurnsExceeded,
    ModelBroken,
    ModelError,
    ModelRateLimited,
    ModelRefused,
    ModelUnavailable,
    ToolFailed,
)

Failure = TypeVar("Failure", bound=DragomanError)


class OutOfQuota(ModelRefused):
    """The account at this endpoint has no money left; another endpoint may still answer."""


_IN_A_MODEL_CALL: tuple[tuple[type[Exception], type[ModelError]], ...] = (
    (openai.APIConnectionError, ModelUnavailable),  # time-outs included
    (openai.APIResponseValidationError, ModelBroken),
    (openai.OpenAIError, ModelBroken),
    (TimeoutError, ModelUnavailable),
    (ConnectionError, ModelUnavailable),
    (agents.UserError, ModelRefused),
    (agents.ModelBehaviorError, ModelBroken),
    (json.JSONDecodeError, ModelBroken),
    (UnicodeDecodeError, ModelBroken),
    (ValidationError, ModelBroken),
)

_IN_THE_LOOP: tuple[tuple[type[Exception], type[DragomanError]], ...] = (
    (agents.MaxTurnsExceeded, MaxTurnsExceeded),
    (agents.ModelBehaviorError, ModelBroken),
    (agents.ModelRefusalError, ModelRefused),
    (agents.InputGuardrailTripwireTriggered, GuardrailBlocked),
    (agents.OutputGuardrailTripwireTriggered, GuardrailBlocked),
    (agents.ToolInputGuardrailTripwireTriggered, GuardrailBlocked),
    (agents.ToolOutputGuardrailTripwireTriggered, GuardrailBlocked),
    (agents.ToolTimeoutError, ToolFailed),
    (agents.UserError, ToolFailed),
)

_CODES: dict[str, type[ModelError]] = {
    "rate_limit_exceeded": ModelRateLimited,
    "rate_limit_error": ModelRateLimited,
    "insufficient_quota": OutOfQuota,
    "server_error": ModelUnavailable,
    "overloaded_error": ModelUnavailable,
    "invalid_prompt": ModelRefused,
    "context_length_exceeded": ModelRefused,
}
"""What endpoints call their failures, in error bodies and in the middle of a stream."""


def model_failure(error: Exception, *, begun: bool) -> DragomanError | None:
    """What a failed model call means, or ``None`` for something nobody foresaw.

    A connection that breaks after the answer has ``begun`` left us with half an answer.
    """
    if isinstance(error, DragomanError):
        return error
    if isinstance(error, openai.APIStatusError):
        return status_failure(error.status_code, error.code, error.response.headers)
    if begun and isinstance(error, openai.APIConnectionError) and not isinstance(error, openai.APITimeoutError):
        return ModelBroken()
    if isinstance(error, openai.APIError) and error.code in _CODES:
        return _CODES[error.code]()
    found = _first(error, _IN_A_MODEL_CALL)
    return found() if found else None


def failure_called(code: str | None) -> DragomanError:
    """A failure that the endpoint reports inside its stream."""
    return _CODES.get(code or "", ModelBroken)()


def run_failure(error: Exception) -> DragomanError | None:
    """What an exception out of the SDK's loop means, or ``None`` if it is our own fault."""
    if isinstance(error, agents.UserError):
        for cause in _causes(error):
            if isinstance(cause, DragomanError):  # a nested agent's model, inside a tool that may not fail
                return cause
    if isinstance(error, DragomanError):
        return error
    found = _first(error, _IN_THE_LOOP)
    return found() if found else None


def status_failure(status: int, code: str | None, headers: Mapping[str, str]) -> DragomanError:
    """What an HTTP status other than success means."""
    if status == 402 or code == "insufficient_quota":
        return OutOfQuota()
    if status == 429:
        return ModelRateLimited(retry_after=_retry_after(headers))
    if status in (408, 409) or status >= 500:
        return ModelUnavailable(retry_after=_retry_after(headers))
    return ModelRefused()


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """In seconds, however the endpoint says it: milliseconds, seconds or a date."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return _within_a_day(milliseconds / 1000)
    given = headers.get("retry-after")
    if (seconds := _number(given)) is not None:
        return _within_a_day(seconds)
    try:
        return _within_a_day(max(0.0, parsedate_to_datetime(given or "").timestamp() - time.time()))
    except ValueError:  # absent, or nonsense
        return None


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _within_a_day(seconds: float) -> float | None:
    return seconds if 0 <= seconds < 86_400 else None


def _first(error: Exception, table: Iterable[tuple[type[Exception], type[Failure]]]) -> type[Failure] | None:
    return next((ours for theirs, ours in table if isinstance(error, theirs)), None)


def _causes(error: BaseException) -> Iterable[BaseException]:
    cause = error.__cause__
    while cause is not None:
        yield cause
        cause = cause.__cause__

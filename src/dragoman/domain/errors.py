"""Everything that can go wrong, as one tree. A code is stable and documented; no class knows HTTP.

DragomanError
├── NotAuthenticated           nobody we know
│   ├── TokenExpired
│   └── InvalidToken
├── Forbidden                  somebody we know, who may not do this
│   └── UnknownTenant          of a tenant that the operator does not know
├── NotFound                   not there, or somebody else's: the caller cannot tell which
├── Invalid                    the request makes no sense; says which field
│   ├── IdempotencyMismatch    the key was used with another body
│   └── UrlRefused             an address that does not lead into the public web
├── Conflict                   it makes sense, but not now
│   ├── ConversationBusy
│   ├── NameTaken
│   ├── OnHold                 a conversation must be kept
│   ├── RunEnded
│   ├── RunCancelled           for who can be told of an answer only, and there will be none
│   ├── ApprovalRequired       the same, and a person has to decide first
│   ├── AlreadyDecided         somebody else was faster, or its time is over
│   └── SessionsDisabled
├── Unavailable                we cannot take work at the moment; try again
│   ├── StorageUnavailable
│   ├── IdentityUnavailable    the keys that tokens are checked with cannot be had
│   └── ShuttingDown
├── ModelError                 the model's endpoint let us down
│   ├── ModelRateLimited
│   ├── ModelUnavailable       unreachable, timed out, out of order
│   ├── ModelRefused           it would not take our request
│   └── ModelBroken            its answer made no sense or stopped half-way
├── FetchFailed                nothing could be had from an address on the web
├── BudgetExhausted
├── LimitExceeded              too much at once; later is fine
│   ├── TooManyRequests
│   ├── TooManyRuns
│   └── TokensUsedUp
└── RunFailure                 the run itself could not end well
    ├── MaxTurnsExceeded
    ├── RunTimedOut
    ├── ToolFailed
    ├── GuardrailBlocked
    ├── SearchFailed           research that found nothing because nothing could be searched
    ├── Interrupted            the processes that played it died, too often
    ├── ReplayDiverged         its agents changed, and its log no longer fits them
    ├── ConversationDeleted
    └── LogFull
"""

from typing import ClassVar


class DragomanError(Exception):
    """Base of all. ``message`` is a sentence for a person and never holds another exception's text."""

    code: ClassVar[str] = "internal_error"
    message: ClassVar[str] = "Something went wrong on our side."
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        self.detail = message or self.message
        self.retry_after = retry_after
        super().__init__(self.detail)


class NotAuthenticated(DragomanError):
    code = "not_authenticated"
    message = "Not authenticated"


class TokenExpired(NotAuthenticated):
    code = "token_expired"
    message = "Token expired"


class InvalidToken(NotAuthenticated):
    code = "invalid_token"
    message = "Invalid token"


class Forbidden(DragomanError):
    code = "forbidden"
    message = "You may not do this."

    def __init__(self, scope: str | None = None) -> None:
        self.scope = scope
        super().__init__(None if scope is None else f"This needs the scope {scope}.")


class UnknownTenant(Forbidden):
    code = "unknown_tenant"
    message = "Your tenant is not known here."


class NotFound(DragomanError):
    code = "not_found"
    message = "There is no such thing here."

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"There is no {what} {name!r}.")


class Invalid(DragomanError):
    code = "invalid_request"
    message = "The request is not valid."

    def __init__(self, message: str, *, field: str | None = None) -> None:
        self.field = field
        super().__init__(message)


class IdempotencyMismatch(Invalid):
    code = "idempotency_mismatch"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was already used with a different request.")


class UrlRefused(Invalid):
    code = "url_refused"
    message = "This address does not lead into the public web."

    def __init__(self, message: str | None = None, *, field: str | None = None) -> None:
        super().__init__(message or self.message, field=field)


class Conflict(DragomanError):
    code = "conflict"
    message = "The request does not fit what is going on at the moment."


class ConversationBusy(Conflict):
    code = "conversation_busy"
    message = "A run is in progress in this conversation, and the request asked not to wait for it."
    retryable = True


class RunEnded(Conflict):
    code = "run_ended"
    message = "The run has already ended."


class RunCancelled(Conflict):
    code = "run_cancelled"
    message = "The run was cancelled before its answer was complete."


class ApprovalRequired(Conflict):
    code = "approval_required"
    message = "A tool call waits for a person's approval, which this protocol cannot ask for."


class AlreadyDecided(Conflict):
    code = "already_decided"
    message = "This approval is no longer open: somebody has decided it, or its time is over."


class NameTaken(Conflict):
    code = "name_taken"
    message = "You already have a conversation of that name."


class OnHold(Conflict):
    code = "on_hold"
    message = "A conversation is on hold: it must be kept until an administrator releases it."

    def __init__(self, count: int = 1) -> None:
        super().__init__(
            None if count == 1 else f"{count} conversations are on hold: they must be kept until they are released."
        )


class SessionsDisabled(Conflict):
    code = "sessions_disabled"
    message = "This server keeps no conversations (ENABLE_SESSIONS=false)."


class Unavailable(DragomanError):
    code = "unavailable"
    message = "The server cannot take this request at the moment."
    retryable = True


class StorageUnavailable(Unavailable):
    code = "storage_unavailable"
    message = "The database does not answer. Nothing was accepted; try again."


class IdentityUnavailable(Unavailable):
    code = "identity_unavailable"
    message = "The keys to check tokens with cannot be fetched at the moment. Try again."


class ShuttingDown(Unavailable):
    code = "shutting_down"
    message = "The server is going away. Nothing was accepted; try again."


class ModelError(DragomanError):
    code = "model_error"
    message = "The model could not answer."


class ModelRateLimited(ModelError):
    code = "model_rate_limited"
    message = "The model's endpoint limits our rate. Try again later."
    retryable = True


class ModelUnavailable(ModelError):
    code = "model_unavailable"
    message = "The model's endpoint does not answer. Try again later."
    retryable = True


class ModelRefused(ModelError):
    code = "model_refused"
    message = "The model's endpoint refused the request. The operator should check model and key."


class ModelBroken(ModelError):
    code = "model_broken_answer"
    message = "The model's answer stopped half-way or made no sense."
    retryable = True


class FetchFailed(DragomanError):
    code = "fetch_failed"
    message = "Nothing could be fetched from that address."
    retryable = True


class BudgetExhausted(DragomanError):
    code = "budget_exhausted"
    message = "The budget for this work is used up."


class LimitExceeded(DragomanError):
    code = "limit_exceeded"
    message = "A limit is reached. Try again later."
    retryable = True


class TooManyRequests(LimitExceeded):
    code = "too_many_requests"
    message = "The requests of this minute are used up. Try again in the next one."


class TooManyRuns(LimitExceeded):
    code = "too_many_runs"
    message = "As many runs as may be at once are under way. Try again when one of them has ended."


class TokensUsedUp(LimitExceeded):
    code = "tokens_used_up"
    message = "The tokens of this day are used up."


class RunFailure(DragomanError):
    code = "run_failed"
    message = "The run failed."


class MaxTurnsExceeded(RunFailure):
    code = "max_turns_exceeded"
    message = "The agent did not finish within its limit of turns."


class RunTimedOut(RunFailure):
    code = "run_timed_out"
    message = "The agent did not finish within its time."


class ToolFailed(RunFailure):
    code = "tool_failed"
    message = "A tool failed, and its agent does not allow going on without it."


class GuardrailBlocked(RunFailure):
    code = "guardrail_blocked"
    message = "A guardrail blocked this message."


class Interrupted(RunFailure):
    code = "interrupted"
    message = "The server stopped while this run was in progress. What it had finished is kept."
    retryable = True


class SearchFailed(RunFailure):
    code = "search_failed"
    message = "None of the searches could be made."
    retryable = True


class ReplayDiverged(RunFailure):
    code = "replay_diverged"
    message = "The agents changed while this run was under way, and it cannot go on with the new ones. What it had finished is kept."


class ConversationDeleted(RunFailure):
    code = "conversation_deleted"
    message = "The conversation was deleted while this run was in progress."


class LogFull(RunFailure):
    code = "log_full"
    message = "The run wrote more events than a run may have."

"""What requests may say. Unknown fields are refused; limits stand here, at the edge."""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from annotated_types import Interval, Len, MaxLen
from pydantic import ConfigDict

from dragoman.application.runs import StartRun
from dragoman.domain.items import Content
from dragoman.domain.runs import CancelMode, OnBusy, OnDisconnect, RunOptions
from dragoman.domain.text import storable_json
from dragoman.ports.runs import IdempotencyKey

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class HistoryBody:
    """How much of the conversation the model sees."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    limit: Annotated[int | None, Interval(ge=0, le=1000)] = None


@dataclass(frozen=True, slots=True)
class OptionsBody:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    model: Annotated[str | None, MaxLen(200)] = None
    max_turns: Annotated[int | None, Interval(ge=1, le=1000)] = None
    on_busy: OnBusy = "queue"
    on_disconnect: OnDisconnect = "continue"
    background: bool = False
    history: HistoryBody = field(default_factory=HistoryBody)
    metadata: Annotated[dict[str, Any], MaxLen(50)] = field(default_factory=dict)

    def to_domain(self) -> RunOptions:
        return RunOptions(
            model=self.model,
            max_turns=self.max_turns,
            on_busy=self.on_busy,
            on_disconnect=self.on_disconnect,
            background=self.background,
            history_limit=self.history.limit,
            metadata=storable_json(self.metadata),
        )


@dataclass(frozen=True, slots=True)
class StartBody:
    """A message for an agent: text, or a list of messages."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    input: Annotated[str, Len(1)] | Annotated[list[Content], Len(1, 1000)]
    session_id: str | None = None
    context: dict[str, Any] = field(default_factory=dict)
    options: OptionsBody = field(default_factory=OptionsBody)

    def to_domain(self, agent: str, idempotency: IdempotencyKey | None, trace: str | None) -> StartRun:
        return StartRun(
            agent=agent,
            input=self.input,
            session_id=self.session_id,
            context=self.context,
            options=self.options.to_domain(),
            idempotency=idempotency,
            trace=trace,
        )


@dataclass(frozen=True, slots=True)
class CancelBody:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    mode: CancelMode = "after_turn"


START_EXAMPLES = {
    "message": {"summary": "A message", "value": {"input": "Hello"}},
    "conversation": {
        "summary": "A message in a conversation",
        "value": {"input": "What is my name?", "session_id": "user_sarah_123", "options": {"history": {"limit": 50}}},
    },
    "items": {
        "summary": "Several messages",
        "value": {
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}],
            "context": {"plan": "pro"},
        },
    },
}
CANCEL_EXAMPLES = {
    "after_turn": {"summary": "When its turn is over", "value": {"mode": "after_turn"}},
    "now": {"summary": "At once", "value": {"mode": "now"}},
}

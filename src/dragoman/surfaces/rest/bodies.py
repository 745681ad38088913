"""What requests may say. Unknown fields are refused; limits stand here, at the edge."""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval, Len, MaxLen
from pydantic import ConfigDict

from dragoman.application.coaches import Domain
from dragoman.application.runs import StartRun
from dragoman.domain.conversations import Change, ConversationStatus
from dragoman.domain.errors import Invalid
from dragoman.domain.items import Content
from dragoman.domain.memory import Memory
from dragoman.domain.runs import CancelMode, OnBusy, OnDisconnect, RunOptions
from dragoman.domain.text import storable_json
from dragoman.ports.runs import IdempotencyKey

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class HistoryBody:
    """How much of the conversation the model sees: its newest items, or about as many tokens of its newest turns; how many
    of the newest outputs of tools stay whole; and whether a summary stands for what is older. What is left out is as the
    agent or the server has it."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    limit: Annotated[int | None, Interval(ge=0, le=1000)] = None
    tokens: Annotated[int | None, Interval(ge=1, le=10_000_000)] = None
    outputs: Annotated[int | None, Interval(ge=0, le=1000)] = None
    summarize: bool | None = None


@dataclass(frozen=True, slots=True)
class OptionsBody:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    model: Annotated[str | None, MaxLen(200)] = None
    max_turns: Annotated[int | None, Interval(ge=1, le=1000)] = None
    on_busy: OnBusy | None = None
    on_disconnect: OnDisconnect | None = None
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
            history=Memory(self.history.limit, self.history.tokens, self.history.outputs, self.history.summarize),
            metadata=storable_json(self.metadata),
        )


@dataclass(frozen=True, slots=True)
class StartBody:
    """A message for an agent: text, or a list of messages.

    `session_id` names the conversation: a name of your choice, or its id. `from_item` says where in it to begin, if not at
    the end of its current branch: after the item of that id, or at the `start`. Without `input` the message there is
    answered again.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    input: Annotated[str, Len(1)] | Annotated[list[Content], Len(1, 1000)] | None = None
    session_id: str | None = None
    from_item: Annotated[str | None, MaxLen(100)] = None
    context: dict[str, Any] = field(default_factory=dict)
    options: OptionsBody = field(default_factory=OptionsBody)

    def to_domain(self, agent: str, idempotency: IdempotencyKey | None, trace: str | None) -> StartRun:
        return StartRun(
            agent=agent,
            input=self.input,
            session_id=self.session_id,
            context=self.context,
            options=replace(self.options.to_domain(), from_item=self.from_item),
            idempotency=idempotency,
            trace=trace,
        )


@dataclass(frozen=True, slots=True)
class ResearchOptionsBody(OptionsBody):
    """`max_searches`, `depth` (rounds of searching), `budget` (in USD) and `max_seconds` limit a research. When one is reached
    there are fewer results instead of an error."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    max_searches: Annotated[int | None, Interval(ge=1, le=20)] = None
    depth: Annotated[int | None, Interval(ge=1, le=3)] = None
    budget: Annotated[Decimal | None, Interval(ge=0)] = None
    max_seconds: Annotated[float | None, Interval(gt=0, le=86_400)] = None

    def to_domain(self) -> RunOptions:
        wishes = {
            "max_searches": self.max_searches,
            "depth": self.depth,
            "budget": None if self.budget is None else str(self.budget),
            "max_seconds": self.max_seconds,
        }
        said = {name: wish for name, wish in wishes.items() if wish is not None}
        return replace(OptionsBody.to_domain(self), workflow=said)


@dataclass(frozen=True, slots=True)
class ResearchBody:
    """A question, as `query` or as `input`. In a conversation, named by `session_id`, earlier reports are known and not
    searched for again."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    query: Annotated[str, Len(1)] | None = None
    input: Annotated[str, Len(1)] | Annotated[list[Content], Len(1, 1000)] | None = None
    session_id: str | None = None
    context: dict[str, Any] = field(default_factory=dict)
    options: ResearchOptionsBody = field(default_factory=ResearchOptionsBody)

    def asking(self, query: str | None) -> "ResearchBody":
        """With the question of the address, which must be the only one."""
        if query is None:
            return self
        if self.query is not None or self.input is not None:
            raise Invalid("The question stands in the address and in the body; say it once.", field="query")
        return replace(self, query=query)

    def to_domain(self, agent: str, idempotency: IdempotencyKey | None, trace: str | None) -> StartRun:
        if (self.query is None) == (self.input is None):
            raise Invalid("Give the question, as query or as input.", field="query")
        return StartRun(
            agent=agent,
            input=self.input if self.query is None else self.query,
            session_id=self.session_id,
            context=self.context,
            options=self.options.to_domain(),
            idempotency=idempotency,
            trace=trace,
        )


@dataclass(frozen=True, slots=True)
class ChatBody:
    """A message to a coach. `thread_id` is the id of a conversation of yours; without one, a new one begins."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    message: Annotated[str, Len(1)]
    domain: Domain | None = None
    thread_id: str | None = None


Metadata = Annotated[dict[str, Any], MaxLen(50)]


@dataclass(frozen=True, slots=True)
class ConversationBody:
    """A conversation to begin. What is left out it gets from its first message."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    session_id: str | None = None
    agent: str | None = None
    title: str | None = None
    tags: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChangeBody:
    """What to change. Tags and metadata replace those there are; what is left out stays."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    title: str | None = None
    status: ConversationStatus | None = None
    tags: tuple[str, ...] | None = None
    metadata: Metadata | None = None
    branch: str | None = None

    def to_domain(self) -> Change:
        return Change(self.title, self.status, self.tags, self.metadata, self.branch)


@dataclass(frozen=True, slots=True)
class ForkBody:
    """`at` is an item's id, or `start`."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    at: Annotated[str, Len(1, 100)]


@dataclass(frozen=True, slots=True)
class CancelBody:
    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    mode: CancelMode = "after_turn"


@dataclass(frozen=True, slots=True)
class KeyBody:
    """A key for a user of your tenant. Without `scopes` it may do what ordinary users may, without `expires` it is good until
    it is revoked."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    user: str
    scopes: Annotated[tuple[str, ...], MaxLen(50)] | None = None
    name: str = ""
    expires: str | None = None


@dataclass(frozen=True, slots=True)
class DecisionBody:
    """`arguments` take the place of those that the model gave. `message` is for the model when the call is rejected."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    decision: Literal["approve", "reject"]
    arguments: dict[str, Any] | None = None
    message: Annotated[str | None, MaxLen(4000)] = None


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
    "edit": {
        "summary": "A message said differently: it takes the place of the one whose parent this is",
        "value": {
            "input": "I meant the river Jordan.",
            "session_id": "user_sarah_123",
            "from_item": "item_01jd4w4fcs7kse2mzz7hn3g8p5",
        },
    },
    "again": {
        "summary": "Another answer to the same message",
        "value": {"session_id": "user_sarah_123", "from_item": "item_01jd4w4fcs7kse2mzz7hn3g8p5"},
    },
}
RESEARCH_EXAMPLES = {
    "question": {"summary": "A question", "value": {"query": "How does Dragoman survive a crash?"}},
    "limited": {
        "summary": "In a conversation, with limits",
        "value": {
            "query": "And what does it cost?",
            "session_id": "user_sarah_123",
            "options": {"max_searches": 5, "depth": 2, "budget": "0.50", "max_seconds": 120},
        },
    },
}
CHAT_EXAMPLES = {
    "begin": {"summary": "To the general coach", "value": {"message": "I want to change something."}},
    "domain": {"summary": "To the coach of a domain", "value": {"message": "I dislike my job.", "domain": "career"}},
    "go on": {
        "summary": "In a thread, to whoever spoke last",
        "value": {"message": "What did we agree on?", "thread_id": "conv_01jd4w4fct0d9v1w6x2y8z3a4b"},
    },
}
CONVERSATION_EXAMPLES = {
    "empty": {"summary": "Just a place to talk", "value": {}},
    "named": {
        "summary": "With a name and more",
        "value": {"session_id": "user_sarah_123", "title": "Rivers", "tags": ["school"], "metadata": {"plan": "pro"}},
    },
}
CHANGE_EXAMPLES = {
    "rename": {"summary": "Rename it", "value": {"title": "Rivers of the world"}},
    "tag": {"summary": "Tag it", "value": {"tags": ["school", "rivers"]}},
    "archive": {"summary": "Put it away", "value": {"status": "inactive"}},
    "switch": {"summary": "Go on with another branch", "value": {"branch": "branch_01jd4w4fcs7kse2mzz7hn3g8p5"}},
}
FORK_EXAMPLES = {
    "fork": {"summary": "Go on from an earlier item", "value": {"at": "item_01jd4w4fcs7kse2mzz7hn3g8p5"}},
    "start": {"summary": "Begin again", "value": {"at": "start"}},
}
KEY_EXAMPLES = {
    "key": {
        "summary": "A key that starts runs, for ninety days",
        "value": {"user": "alice", "scopes": ["runs:write"], "name": "nightly job", "expires": "90d"},
    },
}
DECISION_EXAMPLES = {
    "approve": {"summary": "Yes", "value": {"decision": "approve"}},
    "change": {"summary": "Yes, but so", "value": {"decision": "approve", "arguments": {"amount": 20}}},
    "reject": {"summary": "No", "value": {"decision": "reject", "message": "Offer a voucher instead."}},
}
CANCEL_EXAMPLES = {
    "after_turn": {"summary": "When its turn is over", "value": {"mode": "after_turn"}},
    "now": {"summary": "At once", "value": {"mode": "now"}},
}

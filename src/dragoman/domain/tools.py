"""Tools: a plain function of ours that a model may call, with what holds for its use; or a function of the caller's own, only
declared to us."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dragoman.domain.identity import Principal, Scope

Report = Callable[[str, int | None, int | None], None]
Rule = Callable[[Mapping[str, Any]], bool | Scope]
"""Of a call's arguments: whether a person must agree to it. A scope is that which this person must have."""
ApprovalNeed = Literal["never", "sometimes", "always"]


class ToolError(Exception):
    """Raised by a tool; its text is a sentence for the model, which may try something else."""


def _unheard(*_: object) -> None:
    """What is reported when nobody watches."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know of the call it is working on, and how it says where it is."""

    run_id: str
    call_id: str
    agent: str
    principal: Principal
    conversation_id: str | None = None
    session_id: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)  # what the caller sent with the run
    _report: Report = field(default=_unheard, repr=False)
    _over: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def idempotency_key(self) -> str:
        """The same whenever this call is made again, after a crash too."""
        return f"{self.run_id}/{self.call_id}"

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the result any more: the run was stopped, or the time is over. For functions in threads,
        which nobody can stop but themselves."""
        return self._over.is_set()

    def report(self, message: str, done: int | None = None, total: int | None = None) -> None:
        """Tell those who watch the run where the work is. From any thread."""
        if not self.cancelled:
            self._report(message, done, total)


def everybody(_: Principal) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str
    parameters: dict[str, Any]  # JSON schema of an object
    call: Callable[..., Any]  # with the arguments by name
    read: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    """The arguments of a call as the function takes them, or ``ToolError``. Without it they are checked by name only."""
    takes_context: bool = False  # as its first argument
    blocking: bool = False  # a plain function: it works in a thread
    strict: bool = False  # whether the schema is one that an endpoint can hold its model to
    timeout: float | None = None  # seconds; unset: the server's limit
    concurrency: int | None = None  # calls at once in one process; more wait
    needs_approval: bool | Rule = False
    approvers: Scope | None = None  # the scope of those who decide; unset: whoever the run belongs to
    approval_timeout: float | None = None  # seconds after which an approval expires; unset: the server's
    visible_to: Callable[[Principal], bool] = everybody

    def __call__(self, *args: Any, **arguments: Any) -> Any:
        """The function itself, for whoever calls it as one."""
        return self.call(*args, **arguments)

    @property
    def approval(self) -> ApprovalNeed:
        if callable(self.needs_approval):
            return "sometimes"
        return "always" if self.needs_approval else "never"

    def arguments(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments of a call as the function takes them, or ``ToolError``."""
        return by_name(self, given) if self.read is None else self.read(given)


@dataclass(frozen=True, slots=True)
class DeclaredTool:
    """A function of the caller's. The agent may call it; the call is handed back, and its output comes with a later message."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)  # JSON schema of an object
    strict: bool = False


def by_name(tool: Tool, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a call, checked as far as a call can go wrong by name."""
    known = tool.parameters.get("properties", {})
    if set(tool.parameters.get("required", ())) - set(given) or set(given) - set(known):
        raise ToolError(f"{tool.name} takes these arguments: {', '.join(known) or 'none'}. Call it again with them.")
    for name, value in given.items():
        if known[name].get("type") == "string" and not isinstance(value, str):
            raise ToolError(f"The argument {name!r} of {tool.name} is text. Call it again.")
    return given


def cut(text: str, limit: int) -> str:
    """A result as it may be kept: at most ``limit`` characters, and if it was longer, a note that says so."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[Cut: these are the first {limit:,} of {len(text):,} characters.]"

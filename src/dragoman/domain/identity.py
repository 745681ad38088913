"""Who asks, and what they may do. A principal is the first argument of every verb and named by every query."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Scope = Literal[
    "runs:read",
    "runs:write",
    "conversations:read",
    "conversations:write",
    "usage:read",
    "me",
    "approvals:write",
    "metrics:read",
    "admin",
]
SCOPES: dict[Scope, str] = {
    "runs:read": "agents, runs and their logs",
    "runs:write": "start runs, cancel them, decide what they wait for; includes `runs:read`",
    "conversations:read": "conversations, what was said in them, and their branches",
    "conversations:write": "arrange, branch and delete conversations; includes `conversations:read`",
    "usage:read": "what model calls used and cost",
    "me": "export everything of one's own, and erase it",
    "approvals:write": "see and decide what other people's runs in the tenant wait for, where a tool asks for this scope",
    "metrics:read": "`/metrics` and `/health`, for those who keep the server running",
    "admin": "everything, keys and the audit log of the tenant included",
}
"""All there are, with what each allows. All but the last three concern one's own things only."""

ORDINARY: frozenset[Scope] = frozenset(get_args(Scope)) - {"approvals:write", "metrics:read", "admin"}
"""What a user may do whose token says nothing about it."""


@dataclass(frozen=True, slots=True)
class Principal:
    user: str
    tenant: str = "default"
    scopes: frozenset[Scope] = ORDINARY
    key: str | None = None  # the id of the API key that was shown, if it was one

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes or _including(scope) in self.scopes


def _including(scope: str) -> str:
    """Who may change things may read them."""
    return scope.replace(":read", ":write")


def known_scopes(names: Iterable[object]) -> frozenset[Scope]:
    """Those that mean something here."""
    given = set(map(str, names))
    return frozenset(scope for scope in SCOPES if scope in given)


LOCAL = Principal(user="local", scopes=frozenset(SCOPES))
"""The one principal of a server without authentication."""

OPERATOR = Principal(user="@operator", scopes=frozenset(SCOPES))
"""Whoever works at the command line of the server's own machine."""

MAX_NAME = 255
"""Characters of a user's or a tenant's name."""


def is_name(value: str) -> bool:
    """Whether a user or a tenant may be called so: something that any database stores as it is."""
    return 1 <= len(value) <= MAX_NAME and value.isprintable()

"""Who asks. A principal is the first argument of every verb and named by every query."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Principal:
    user: str
    tenant: str = "default"
    scopes: frozenset[str] = field(default_factory=frozenset)


LOCAL = Principal(user="local")
"""The one principal of a server without authentication."""

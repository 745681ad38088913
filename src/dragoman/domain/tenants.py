"""Tenants that the operator knows by name, and which agents each may ask."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Tenant:
    agents: tuple[str, ...] | None = None  # patterns of keys; None: all


@dataclass(frozen=True, slots=True)
class Tenants:
    """None by name: then every tenant exists, and may ask every agent."""

    by_name: Mapping[str, Tenant] = field(default_factory=dict)

    def know(self, name: str) -> bool:
        return not self.by_name or name in self.by_name

    def may_ask(self, name: str, agent: str) -> bool:
        tenant = self.by_name.get(name)
        if tenant is None or tenant.agents is None:
            return True
        return any(fnmatchcase(agent, pattern) for pattern in tenant.agents)


EVERYBODY = Tenants()

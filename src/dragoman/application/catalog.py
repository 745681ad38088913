"""Which agents there are, and which provider plays them for whom."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dragoman.domain.agents import AgentCard, card_of
from dragoman.domain.errors import NotFound
from dragoman.domain.identity import Principal
from dragoman.domain.tenants import EVERYBODY, Tenants
from dragoman.ports.runtime import Provider
from dragoman.ports.tools import NoServers, ToolServers

ChooseProvider = Callable[[Principal], str]


@dataclass(frozen=True, slots=True)
class Catalog:
    providers: Mapping[str, Provider]  # the enabled ones, in order
    choose: ChooseProvider  # the name of the provider a principal's runs prefer
    show_instructions: bool = False
    plain_models: tuple[str, ...] = ()  # models of endpoints that may be addressed as they are, where a protocol can
    servers: ToolServers = field(default_factory=NoServers)
    plain_agent: str = ""  # the key of the agent that plays them: it adds nothing of its own
    tenants: Tenants = EVERYBODY  # and which agents each may ask

    def find(self, principal: Principal, key: str, *, hidden: bool = False) -> AgentCard:
        """The agent of that key, as the principal's provider plays it, else any other that can. One that is only reached by
        hand-offs, or that the tenant may not ask, is found by whoever may find what is ``hidden``."""
        for provider in self._preferred(principal):
            if (card := provider.agents.get(key)) and (hidden or self._shown(principal, card)):
                return self._with_servers(card, principal)
        raise NotFound("agent", key)

    def list(self, principal: Principal) -> Sequence[AgentCard]:
        cards: dict[str, AgentCard] = {}
        for provider in self._preferred(principal):
            for key, card in provider.agents.items():
                cards.setdefault(key, card)
        return [self._with_servers(card, principal) for card in cards.values() if self._shown(principal, card)]

    def _shown(self, principal: Principal, card: AgentCard) -> bool:
        return card.public and self.tenants.may_ask(principal.tenant, card.key)

    def _with_servers(self, card: AgentCard, principal: Principal) -> AgentCard:
        """With the tools that servers are known to bring."""
        known = self.servers.known(card.key, card.mcp, principal)
        return replace(card, tools=(*card.tools, *map(card_of, known))) if known else card

    def _preferred(self, principal: Principal) -> Sequence[Provider]:
        first = self.providers[self.choose(principal)]
        return [first, *(provider for provider in self.providers.values() if provider is not first)]

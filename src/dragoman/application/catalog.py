"""Which agents there are, and which provider plays them for whom."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dragoman.domain.agents import AgentCard
from dragoman.domain.errors import NotFound
from dragoman.domain.identity import Principal
from dragoman.domain.tenants import EVERYBODY, Tenants
from dragoman.ports.runtime import Provider

ChooseProvider = Callable[[Principal], str]


@dataclass(frozen=True, slots=True)
class Catalog:
    providers: Mapping[str, Provider]  # the enabled ones, in order
    choose: ChooseProvider  # the name of the provider a principal's runs prefer
    show_instructions: bool = False
    plain_models: tuple[str, ...] = ()  # models of endpoints that may be addressed as they are, where a protocol can
    plain_agent: str = ""  # the key of the agent that plays them: it adds nothing of its own
    tenants: Tenants = EVERYBODY  # and which agents each may ask

    def find(self, principal: Principal, key: str, *, hidden: bool = False) -> AgentCard:
        """The agent of that key, as the principal's provider plays it, else any other that can. One that is only reached by
        hand-offs, or that the tenant may not ask, is found by whoever may find what is ``hidden``."""
        for provider in self._preferred(principal):
            if (card := provider.agents.get(key)) and (hidden or self._shown(principal, card)):
                return card
        raise NotFound("agent", key)

    def list(self, principal: Principal) -> Sequence[AgentCard]:
        cards: dict[str, AgentCard] = {}
        for provider in self._preferred(principal):
            for key, card in provider.agents.items():
                cards.setdefault(key, card)
        return [card for card in cards.values() if self._shown(principal, card)]

    def _shown(self, principal: Principal, card: AgentCard) -> bool:
        return card.public and self.tenants.may_ask(principal.tenant, card.key)

    def _preferred(self, principal: Principal) -> Sequence[Provider]:
        first = self.providers[self.choose(principal)]
        return [first, *(provider for provider in self.providers.values() if provider is not first)]

"""Which providers there are, which of them is the default, and whose choice counts. Knows no SDK and no framework."""

from collections.abc import Iterable, Mapping

from dragoman.application.catalog import ChooseProvider
from dragoman.domain.errors import Invalid
from dragoman.domain.identity import Principal
from dragoman.ports.runtime import Provider


class ProviderRegistry:
    """The single entry point to the enabled providers, by name and in order.

    ``default`` is the first unless said. ``choose`` is asked for every principal, for example with a table of tenants;
    without it, all get the default.
    """

    def __init__(
        self, providers: Mapping[str, Provider], *, default: str | None = None, choose: ChooseProvider | None = None
    ) -> None:
        if not providers:
            raise Invalid("At least one provider must be enabled.", field="providers")
        for name, provider in providers.items():
            if provider.name != name:
                raise Invalid(f"The provider {provider.name!r} is registered as {name!r}.", field="providers")
        self.providers = dict(providers)
        self.default = self._enabled(next(iter(providers)) if default is None else default, "The default provider")
        self._choose = choose

    def choose(self, principal: Principal) -> str:
        """The name of the provider this principal's runs prefer."""
        if self._choose is None:
            return self.default
        return self._enabled(self._choose(principal), f"The provider chosen for tenant {principal.tenant!r},")

    def _enabled(self, name: str, what: str) -> str:
        if name not in self.providers:
            raise Invalid(
                f"{what} {name!r} is not enabled; enabled are: {', '.join(self.providers)}.", field="provider"
            )
        return name


def enabled(available: Iterable[Provider], names: Iterable[str] | None = None) -> dict[str, Provider]:
    """Those of the available providers that ``names`` lists, in its order; all of them without it."""
    known: dict[str, Provider] = {}
    for provider in available:
        if known.setdefault(provider.name, provider) is not provider:
            raise Invalid(f"Two providers are called {provider.name!r}.", field="providers")
    chosen: dict[str, Provider] = {}
    for name in known if names is None else names:
        if name not in known:
            raise Invalid(f"There is no provider {name!r}; there are: {', '.join(known) or 'none'}.", field="providers")
        if name in chosen:
            raise Invalid(f"The provider {name!r} is enabled twice.", field="providers")
        chosen[name] = known[name]
    return chosen

"""Finds the route for a model's name: its own endpoint first, then the fallbacks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agents import Model, ModelProvider

from dragoman.domain.endpoints import EndpointStats
from dragoman.domain.errors import ModelRefused
from dragoman.domain.prices import Prices
from dragoman.providers.openai.agents.models.direct import DirectModel
from dragoman.providers.openai.agents.models.endpoint import EndpointModels, SdkEndpointModels
from dragoman.providers.openai.agents.models.routing import Endpoint, RoutedModel, Target, Time
from dragoman.providers.openai.agents.models.sdk import SdkModel
from dragoman.providers.openai.config import ModelEndpoint, TimeLimits, place_of


@dataclass(frozen=True, slots=True)
class _Station:
    """An endpoint, how it is doing, and its models."""

    endpoint: Endpoint
    models: EndpointModels | SdkEndpointModels
    silence: float

    def target(self, model: str) -> Target:
        found = self.models.get_model(model)
        asked = found if isinstance(found, DirectModel) else SdkModel(found, silence=self.silence)
        return Target(self.endpoint, model, asked)


class Router(ModelProvider):
    """``limits`` and ``retries`` are for endpoints that say nothing about them."""

    def __init__(
        self,
        endpoints: Sequence[ModelEndpoint],
        fallbacks: Sequence[str] = (),
        prices: Prices | None = None,
        *,
        limits: TimeLimits,
        retries: int,
        time: Time | None = None,
    ) -> None:
        self._endpoints = tuple(endpoints)
        self._fallbacks = tuple(fallbacks)
        self._prices = prices
        self._stations = {config.name: _station(config, limits, retries, time) for config in endpoints}

    def get_model(self, model_name: str | None) -> Model:
        if model_name is None:
            raise ModelRefused("No model is configured for this agent.")
        targets: dict[tuple[str, str], Target] = {}
        for name in (model_name, *self._fallbacks):
            target = self._target(name)
            targets.setdefault((target.endpoint.name, target.model), target)
        return RoutedModel(list(targets.values()), self._prices)

    def stats(self) -> Mapping[str, EndpointStats]:
        return {name: station.endpoint.stats for name, station in self._stations.items()}

    async def aclose(self) -> None:
        for station in self._stations.values():
            await station.models.aclose()

    def _target(self, name: str) -> Target:
        place = place_of(name, self._endpoints)
        if place is None:
            raise ModelRefused(f"No model endpoint has the model {name!r}.")
        endpoint, model = place
        return self._stations[endpoint.name].target(model)


def _station(config: ModelEndpoint, limits: TimeLimits, retries: int, time: Time | None) -> _Station:
    limits = config.limits or limits
    endpoint = Endpoint(
        config.name,
        retries=retries if config.retries is None else config.retries,
        max_concurrency=config.max_concurrency,
        time=time,
    )
    made = EndpointModels if config.client == "fast" else SdkEndpointModels
    return _Station(endpoint, made(config, limits=limits), limits.silence)

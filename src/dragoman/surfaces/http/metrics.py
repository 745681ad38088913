"""``GET /metrics`` for Prometheus. Each application has a registry of its own; nothing is global."""

from collections.abc import Iterator, Mapping
from typing import get_args

from fastapi import APIRouter, Depends
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from starlette.responses import PlainTextResponse, Response
from starlette.types import Scope

from dragoman.application.services import Services
from dragoman.domain.endpoints import Circuit, EndpointStats
from dragoman.domain.errors import NotAuthenticated, StorageUnavailable
from dragoman.ports.tools import ServerState
from dragoman.surfaces.http.deps import Given, NativeRoute, give, needs
from dragoman.surfaces.http.openapi import failures

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
EXAMPLE = """# HELP dragoman_runs_active Runs being played here.
# TYPE dragoman_runs_active gauge
dragoman_runs_active 2.0
"""
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class HttpMetrics:
    """How many requests there were, and how long each waited for its answer to begin: a stream may last for hours."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Counter(
            "dragoman_http_requests", "Requests answered.", ["method", "route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "dragoman_http_response_start_seconds",
            "From a request to the beginning of its answer.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=registry,
        )

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "other"
        route = getattr(scope.get("route"), "path", "unmatched")
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)


class ServiceMetrics(Collector):
    """Read from the services at the moment of a scrape."""

    def __init__(self, services: Services) -> None:
        self.queued = 0
        self._services = services

    def collect(self) -> Iterator[Metric]:
        log, dispatcher = self._services.log, self._services.dispatcher
        yield GaugeMetricFamily("dragoman_runs_active", "Runs being played here.", dispatcher.active)
        yield GaugeMetricFamily("dragoman_runs_queued", "Runs waiting to be played.", self.queued)
        ended = CounterMetricFamily("dragoman_runs_ended", "Runs that ended here, by status.", labels=["status"])
        for status, count in self._services.player.endings.items():
            ended.add_metric([status], count)
        yield ended
        yield self._jobs()
        yield GaugeMetricFamily("dragoman_streams_open", "Readers following a run being played here.", log.readers)
        yield CounterMetricFamily("dragoman_log_commits", "Transactions of the log.", log.health.commits)
        yield CounterMetricFamily("dragoman_log_failures", "Transactions of the log that failed.", log.health.failures)
        yield CounterMetricFamily("dragoman_log_events", "Events stored.", log.health.events)
        cleared = CounterMetricFamily(
            "dragoman_cleared", "Conversations that jobs here put away or removed.", labels=["job"]
        )
        for job, count in self._services.cleared.items():
            cleared.add_metric([job], count)
        yield cleared
        connections = GaugeMetricFamily(
            "dragoman_database_connections",
            "Connections of the pool in use, and work waiting for one.",
            labels=["state"],
        )
        for state, number in self._services.connections().items():
            connections.add_metric([state], number)
        yield connections
        yield from _endpoint_metrics(self._services.endpoints())
        yield from _server_metrics(self._services.servers.states())
        failing = log.health.failing_since is not None
        yield GaugeMetricFamily("dragoman_log_failing", "1 while events cannot be stored.", float(failing))

    def _jobs(self) -> Metric:
        jobs = CounterMetricFamily("dragoman_jobs", "Jobs done here, by how they ended.", labels=["job", "outcome"])
        for (name, failed), count in self._services.scheduler.outcomes.items():
            jobs.add_metric([name, "failed" if failed else "done"], count)
        return jobs


def _endpoint_metrics(endpoints: Mapping[str, EndpointStats]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "dragoman_model_requests", "Requests to model endpoints, by how they ended.", labels=["endpoint", "outcome"]
    )
    seconds = CounterMetricFamily("dragoman_model_seconds", "Seconds spent on them.", labels=["endpoint"])
    tokens = CounterMetricFamily("dragoman_model_tokens", "Tokens, estimates included.", labels=["endpoint", "kind"])
    active = GaugeMetricFamily("dragoman_model_active", "Requests in progress.", labels=["endpoint"])
    waiting = GaugeMetricFamily("dragoman_model_waiting", "Calls waiting for their turn.", labels=["endpoint"])
    circuit = GaugeMetricFamily(
        "dragoman_model_circuit", "1 for the state an endpoint's circuit is in.", labels=["endpoint", "state"]
    )
    for name, stats in endpoints.items():
        for outcome, count in stats.requests.items():
            requests.add_metric([name, outcome], count)
        seconds.add_metric([name], stats.seconds)
        tokens.add_metric([name, "input"], stats.input_tokens)
        tokens.add_metric([name, "output"], stats.output_tokens)
        active.add_metric([name], stats.active)
        waiting.add_metric([name], stats.waiting)
        for state in get_args(Circuit):
            circuit.add_metric([name, state], float(state == stats.circuit))
    yield from (requests, seconds, tokens, active, waiting, circuit)


def _server_metrics(servers: Mapping[str, ServerState]) -> Iterator[Metric]:
    connections = GaugeMetricFamily(
        "dragoman_mcp_connections", "Connections to MCP servers.", labels=["server", "state"]
    )
    tools = GaugeMetricFamily("dragoman_mcp_tools", "Tools that they bring.", labels=["server"])
    for name, state in servers.items():
        connections.add_metric([name, "connected"], state.connected)
        connections.add_metric([name, "waiting"], state.waiting)
        tools.add_metric([name], state.tools)
    yield from (connections, tools)


def metrics_routes(services: Services, http: HttpMetrics) -> APIRouter:
    readings = ServiceMetrics(services)
    http.registry.register(readings)
    ProcessCollector(registry=http.registry)
    router = APIRouter(route_class=NativeRoute, tags=["operations"])

    async def scrape() -> Response:
        """Counters and gauges in the text format of Prometheus."""
        readings.queued = await services.queue.waiting()
        return Response(generate_latest(http.registry), media_type=CONTENT_TYPE_LATEST)

    router.add_api_route(
        "/metrics",
        scrape,
        summary="Measures",
        operation_id="metrics",
        dependencies=[Depends(give(Given(services))), needs("metrics:read")],
        response_class=PlainTextResponse,
        responses={
            200: {"content": {"text/plain": {"example": EXAMPLE}}},
            **failures(NotAuthenticated, StorageUnavailable, statuses=(403,)),
        },
    )
    return router

"""The one place that knows every concrete class: builds the application from settings, parts replaceable by argument."""

import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from dragoman.adapters.identity.local import LocalAuthenticator
from dragoman.adapters.memory import MemoryStore
from dragoman.adapters.system import SystemClock
from dragoman.agents import BUILTIN, plain
from dragoman.allowances import Allowances, read_allowances
from dragoman.application import cleanup
from dragoman.application.approvals import Approvals
from dragoman.application.audience import Audience
from dragoman.application.audit import Audit
from dragoman.application.budgets import Budgets
from dragoman.application.catalog import Catalog, ChooseProvider
from dragoman.application.coaches import Coaches
from dragoman.application.conversations import Conversations
from dragoman.application.dispatch import Dispatcher
from dragoman.application.hearing import Hearing
from dragoman.application.keys import Keys
from dragoman.application.limits import Limiter
from dragoman.application.log import LiveLog
from dragoman.application.people import People
from dragoman.application.runs import Runs
from dragoman.application.scheduler import Job, Scheduler
from dragoman.application.services import Check, Services
from dragoman.application.tools import ToolLimits, Tools, Workbench
from dragoman.application.turn import Player
from dragoman.application.usage import UsageReports
from dragoman.application.workflows import NAME as WORKFLOWS
from dragoman.application.workflows import Workflow, build_workflow_provider
from dragoman.domain.agents import AgentSpec, check_key
from dragoman.domain.endpoints import EndpointStats
from dragoman.domain.keys import PREFIX
from dragoman.domain.memory import Memory
from dragoman.domain.runs import Habits
from dragoman.domain.tenants import Tenants
from dragoman.domain.tools import Tool
from dragoman.endpoints import read_models, read_tenants
from dragoman.ports.approvals import ApprovalStore
from dragoman.ports.audit import AuditLog
from dragoman.ports.budgets import AccountStore
from dragoman.ports.clock import Clock
from dragoman.ports.events import EventLog
from dragoman.ports.identity import Authenticator
from dragoman.ports.keys import KeyStore
from dragoman.ports.limits import RequestCounts
from dragoman.ports.notes import NoteStore
from dragoman.ports.people import PeopleStore
from dragoman.ports.provider_conversations import ProviderConversations
from dragoman.ports.runs import RunQueue, RunStore
from dragoman.ports.runtime import Provider, UsesEndpoints
from dragoman.ports.schedules import ScheduleStore
from dragoman.ports.search import SearchEngine
from dragoman.ports.sessions import SessionStore
from dragoman.ports.signals import Alone, Signals
from dragoman.ports.tools import NoServers, ToolRegistry, ToolServers
from dragoman.ports.usage import UsageLedger
from dragoman.ports.web import UrlGuard, Web
from dragoman.providers.registry import ProviderRegistry
from dragoman.settings import Settings, WrongSettings
from dragoman.sources import Found, keyed
from dragoman.sources.check import Checker
from dragoman.tools import BuiltinTools
from dragoman.tools.coaching import coaching_tools
from dragoman.tools.conversations import conversation_search
from dragoman.tools.web import url_fetch
from dragoman.toolservers import read_servers
from dragoman.workflows.research import Habit, page_tool, research_workflow, search_tool
from dragoman.workflows.research import agents as research_agents
from dragoman.workflows.research.tools import READ, SEARCH

if TYPE_CHECKING:
    from dragoman.adapters.identity.tokens import Claims, KeySource
    from dragoman.adapters.sql.engine import Engine

logger = logging.getLogger(__name__)


EXPIRY_INTERVAL = timedelta(seconds=10)
"""How often approvals are looked through for those whose time is over."""


class Store(Protocol):
    """All that is kept, in one database."""

    @property
    def runs(self) -> RunStore: ...

    @property
    def queue(self) -> RunQueue: ...

    @property
    def events(self) -> EventLog: ...

    @property
    def sessions(self) -> SessionStore: ...

    @property
    def approvals(self) -> ApprovalStore: ...

    @property
    def usage(self) -> UsageLedger: ...

    @property
    def keys(self) -> KeyStore: ...

    @property
    def audit(self) -> AuditLog: ...

    @property
    def provider_conversations(self) -> ProviderConversations: ...

    @property
    def accounts(self) -> AccountStore: ...

    @property
    def request_counts(self) -> RequestCounts: ...

    @property
    def notes(self) -> NoteStore: ...

    @property
    def people(self) -> PeopleStore: ...

    @property
    def schedules(self) -> ScheduleStore: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def check(self) -> str | None: ...

    async def give_back_space(self) -> int: ...

    def connections(self) -> Mapping[str, int]: ...


@dataclass
class Application:
    """Everything, built and wired. Starts and stops as a whole."""

    settings: Settings
    services: Services
    store: Store
    providers: Mapping[str, Provider]
    signals: Signals
    agents: Mapping[str, Any]  # by key
    tools: BuiltinTools  # those of the server, unless it was given a registry of somebody else's
    builtin: BuiltinTools  # those among them that are always there
    _running: AsyncExitStack | None = field(default=None, init=False)

    async def start(self) -> None:
        async with AsyncExitStack() as stack:
            for start, stop in self._parts():
                await start()
                stack.push_async_callback(stop)
            self._running = stack.pop_all()

    async def drain(self) -> None:
        """Let readers go and runs finish; accept no more. The rest keeps working for those who still wait for an answer."""
        self.services.log.dismiss_readers()
        await self.services.dispatcher.stop(self.settings.shutdown_grace)

    async def stop(self) -> None:
        if self._running is not None:
            running, self._running = self._running, None
            self.services.log.dismiss_readers()
            await running.aclose()

    def add_agent(self, key: str, agent: Any) -> None:
        """Serve one more agent; the provider that plays its kind takes it."""
        workflow = isinstance(agent, Workflow)
        name = WORKFLOWS if workflow else self.settings.default_provider or self.settings.providers[0]
        self.providers[name].add({check_key(key): agent})

    def replace_agents(self, found: Found) -> None:
        """Serve what was found instead of what was given, from the next run on. If that cannot be, all stays as it was."""
        known = keyed(builtin_agents(self.settings), found.agents, found)
        before = self.tools.replace(self.builtin.plus(found.tools).tools)
        replaced: list[Provider] = []
        try:
            for provider in self.providers.values():
                provider.replace(known)
                replaced.append(provider)
        except Exception:
            self.tools.replace(before)
            for provider in replaced:
                provider.replace(self.agents)
            raise
        self.agents = known

    @property
    def started(self) -> bool:
        return self._running is not None

    def _parts(self) -> list[tuple[Callable[[], Awaitable[None]], Callable[[], Awaitable[None]]]]:
        services, grace = self.services, self.settings.shutdown_grace
        return [
            (self.store.start, self.store.stop),
            (services.servers.start, services.servers.stop),
            *((provider.start, provider.stop) for provider in self.providers.values()),
            (lambda: self.signals.start(Hearing(services.dispatcher, services.log)), self.signals.stop),
            (services.log.start, services.log.stop),
            (services.scheduler.start, services.scheduler.stop),
            (services.dispatcher.start, lambda: services.dispatcher.stop(grace)),
        ]


def build(
    settings: Settings,
    *,
    agents: Iterable[Any] | Mapping[str, Any] = (),
    store: Store | None = None,
    providers: Mapping[str, Provider] | None = None,
    choose_provider: ChooseProvider | None = None,
    tools: ToolRegistry | Iterable[Tool] = (),
    web: Web | None = None,
    servers: ToolServers | None = None,
    authenticator: Authenticator | None = None,
    clock: Clock | None = None,
    signals: Signals | None = None,
    allowances: Allowances | None = None,
) -> Application:
    """``agents`` are SDK agents, ``AgentSpec``s or ``Workflow``s, ``tools`` more tools than those that are built in, or a registry in their
    place; every other argument replaces the part that settings would choose."""
    clock = clock or SystemClock()
    bench = Workbench(tool_limits(settings))
    web = web or build_web(settings)
    name = secrets.token_hex(8)  # of this process
    signals = signals or (Alone() if store is not None else sql_signals(settings, name))
    store = store or sql_store(settings)
    servers = servers or build_servers(settings, web)
    builtin = builtin_tools(settings, store, web, clock)
    registered = builtin.plus(tools) if isinstance(tools, Iterable) else tools
    known = keyed(builtin_agents(settings), agents)
    if providers is None:
        kept_there = store.provider_conversations if settings.conversation_state == "provider" else None
        providers = build_providers(settings, known, registered, bench, kept_there, servers=servers)
    registry = with_workflows(
        ProviderRegistry(providers, default=settings.default_provider, choose=choose_provider), settings, known, clock
    )
    log = LiveLog(store.events, tick=settings.flush_interval, audience=Audience(signals))
    allowed = allowances or read_allowances(settings)
    budgets = Budgets(store.accounts, clock, allowed.budgets, allowed.limits)
    player = Player(
        *(log, store.events, store.sessions, registry.providers, clock, store.approvals),
        spending=budgets.of,
        memory=server_memory(settings),
    )
    capacity = 0 if settings.role == "api" else settings.max_runs
    dispatcher = Dispatcher(store.queue, player, clock, name=name, capacity=capacity, signals=signals)
    approvals = Approvals(store.approvals, registered, dispatcher, log, clock)
    cleared = cleanup.Cleared()
    jobs = (
        ()
        if settings.role == "api"
        else (*cleanup_jobs(settings, store, clock, cleared), approvals.expiry(EXPIRY_INTERVAL))
    )
    tenants = read_tenants(settings)
    catalog = Catalog(
        registry.providers,
        registry.choose,
        show_instructions=settings.show_instructions,
        plain_models=settings.plain_models,
        plain_agent=plain.key,
        tenants=tenants,
        servers=servers,
    )
    enabled = settings.sessions_enabled
    checks: dict[str, Check] = {"database": store.check}
    if not isinstance(signals, Alone):
        checks["signals"] = signals.check
    models = frozenset((*settings.allowed_models, *settings.plain_models))
    habits = Habits(settings.on_busy, settings.on_disconnect)
    runs = Runs(
        *(store.runs, store.events, log, dispatcher, catalog, clock, enabled, models, web, habits),
        budgets=budgets,
        limits=allowed.limits,
        sessions=store.sessions,
    )
    conversations = Conversations(store.sessions, log, signals, clock, enabled)
    services = Services(
        runs=runs,
        conversations=conversations,
        coaches=Coaches(runs, conversations),
        catalog=catalog,
        tools=Tools(registered, catalog, bench.limits),
        approvals=approvals,
        authenticator=authenticator or build_authenticator(settings, store.keys, clock, tenants),
        queue=store.queue,
        log=log,
        dispatcher=dispatcher,
        player=player,
        scheduler=Scheduler(store.schedules, clock, jobs, name=name),
        clock=clock,
        checks=checks,
        keys=Keys(store.keys, store.audit, clock),
        audit=Audit(store.audit, clock),
        people=People(store.people, store.audit, clock, conversations.dismiss),
        usage=UsageReports(store.usage, store.runs, clock),
        budgets=budgets,
        cleared=cleared,
        limiter=None if allowed.limits.empty else Limiter(store.request_counts, allowed.limits, clock),
        servers=servers,
        endpoints=lambda: endpoint_stats(registry.providers.values()),
        connections=store.connections,
    )
    held = registered if isinstance(registered, BuiltinTools) else BuiltinTools()
    return Application(settings, services, store, registry.providers, signals, known, held, builtin)


def cleanup_jobs(settings: Settings, store: Store, clock: Clock, cleared: cleanup.Cleared) -> tuple[Job, ...]:
    """What is cleared away, by a server from time to time and by ``dragoman cleanup`` at once."""
    every, kept = timedelta(seconds=settings.cleanup_interval), timedelta(seconds=settings.stateless_ttl)
    conversations = store.sessions
    idle, kept_for = timedelta(days=settings.thread_ttl_days), timedelta(days=settings.retention_days)
    put_away = [cleanup.idle_conversations(conversations, clock, idle, every, cleared)] if idle else []
    retention = [cleanup.old_conversations(conversations, clock, kept_for, every, cleared)] if kept_for else []
    stateless = [cleanup.stateless_runs(store.runs, clock, kept, every)] if kept else []
    return (
        *stateless,
        *put_away,
        *retention,
        cleanup.request_counts(store.request_counts, clock, every),
        cleanup.idempotency_keys(store.runs, clock, every),
        cleanup.deleted_space(store.give_back_space, every),
    )


def builtin_tools(settings: Settings, store: Store, web: Web, clock: Clock) -> BuiltinTools:
    """The tools that every server has, those that work with parts of it included."""
    ours = (
        *coaching_tools(store.notes, clock),
        conversation_search(store.sessions),
        url_fetch(web),
        *searching_tools(settings, web),
    )
    return BuiltinTools(BuiltinTools().plus(ours).tools)


def server_memory(settings: Settings) -> Memory:
    """How much of a conversation a run is told where neither its caller nor its agent says."""
    tokens = settings.history_tokens or None
    return Memory(
        limit=None if tokens else settings.history_limit,
        tokens=tokens,
        outputs=None if settings.history_outputs < 0 else settings.history_outputs,
        summarize=settings.history_summary,
    )


def build_web(settings: Settings) -> Web:
    """How addresses that somebody gave are looked at."""
    from dragoman.adapters.web import AiohttpWeb

    return AiohttpWeb(frozenset(host.lower() for host in settings.trusted_hosts))


def tool_limits(settings: Settings) -> ToolLimits:
    return ToolLimits(
        timeout=settings.tool_timeout,
        output=settings.tool_output_limit,
        approval=settings.approval_timeout or None,
        guarded=settings.approval_tools,
    )


def build_servers(settings: Settings, guard: UrlGuard) -> ToolServers:
    """The MCP servers that are configured. Without any, nothing of theirs is loaded."""
    if not (servers := read_servers(settings)):
        return NoServers()
    from dragoman.adapters.mcp import McpServers

    return McpServers(servers, guard)


def endpoint_stats(providers: Iterable[Provider]) -> dict[str, EndpointStats]:
    """How the model endpoints of all providers are doing."""
    return {
        name: stats for one in providers if isinstance(one, UsesEndpoints) for name, stats in one.endpoints().items()
    }


def sql_store(settings: Settings) -> Store:
    from dragoman.adapters.sql import SqliteEngine, SqlStore

    if settings.postgres_url is not None:
        from dragoman.adapters.sql.postgres import PostgresEngine

        pool = {"pool_size": settings.db_pool_size, "max_overflow": settings.db_pool_overflow}
        return SqlStore(PostgresEngine(settings.postgres_url, **pool))
    return SqlStore(SqliteEngine(settings.sqlite_path, synchronous=settings.sqlite_synchronous))


def sql_signals(settings: Settings, name: str) -> Signals:
    """How a process of this name hears of the others on its database, if there can be any."""
    if settings.postgres_url is None:
        return Alone()
    from dragoman.adapters.sql.signals import PostgresSignals

    return PostgresSignals(settings.postgres_url, name)


def shared_engine(settings: Settings) -> "Engine":
    """The same database for whoever works beside a server, with few connections, and plays no runs."""
    from dragoman.adapters.sql import SqliteEngine

    if settings.postgres_url is not None:
        from dragoman.adapters.sql.postgres import PostgresEngine

        return PostgresEngine(settings.postgres_url, pool_size=1, max_overflow=4)
    return SqliteEngine(settings.sqlite_path, synchronous=settings.sqlite_synchronous, shared=True)


# Identity ------------------------------------------------------------------------------------------------------------


def build_authenticator(settings: Settings, keys: KeyStore, clock: Clock, tenants: Tenants) -> Authenticator:
    """Who is asked for a token, and how it is checked."""
    if not settings.tokens:
        return LocalAuthenticator()
    from dragoman.adapters.identity.bearer import BearerAuthenticator, Verifier
    from dragoman.adapters.identity.keys import ApiKeys
    from dragoman.adapters.identity.tenants import KnownTenants
    from dragoman.adapters.identity.tokens import Tokens

    verifiers: list[tuple[str, Verifier]] = [(PREFIX, ApiKeys(keys, clock))]
    if (source := _token_keys(settings)) is not None:
        verifiers.append(("", Tokens(source, _claims(settings))))
    bearer = BearerAuthenticator(tuple(verifiers))
    return KnownTenants(bearer, tenants) if tenants.by_name else bearer


def _token_keys(settings: Settings) -> "KeySource | None":
    from dragoman.adapters.identity.jwks import Jwks
    from dragoman.adapters.identity.tokens import HS256_KEY, SharedSecrets

    secrets = settings.jwt_secrets
    if settings.jwt_jwks_url is not None:
        if secrets:
            logger.warning("JWT_JWKS_URL is set, so BETTER_AUTH_SECRET and JWT_SECRET are ignored")
        return Jwks(settings.jwt_jwks_url)
    if any(len(secret.encode()) < HS256_KEY for secret in secrets):
        logger.warning("the secret that tokens are signed with is short and may be guessed; use %d bytes", HS256_KEY)
    return SharedSecrets(*secrets) if secrets else None


def _claims(settings: Settings) -> "Claims":
    from dragoman.adapters.identity.tokens import Claims

    return Claims(settings.jwt_issuer, settings.jwt_audience, settings.tenant_claim, settings.scopes_claim)


# Providers -----------------------------------------------------------------------------------------------------------


def builtin_agents(settings: Settings) -> tuple[AgentSpec | Workflow, ...]:
    builtin = (*BUILTIN, *research(settings)) if settings.builtin_agents else ()
    return (*builtin, *((plain,) if settings.plain_models else ()))


def build_providers(
    settings: Settings,
    known: Mapping[str, Any],
    tools: ToolRegistry,
    bench: Workbench,
    conversations: ProviderConversations | None = None,
    *,
    servers: ToolServers | None = None,
) -> dict[str, Provider]:
    """The enabled providers, each with the agents it can play. With ``conversations``, a model's endpoint keeps some, too."""
    builders: dict[str, Callable[[], Provider]] = {
        "openai": lambda: _openai(settings, known, tools, bench, conversations, servers=servers or NoServers()),
        "scripted": lambda: _scripted(settings, known, tools, bench, servers or NoServers()),
    }
    providers: dict[str, Provider] = {}
    for name in settings.providers:
        if name not in builders:
            raise WrongSettings(f"DRAGOMAN_PROVIDERS: there is no provider {name!r}. Known: {', '.join(builders)}.")
        providers[name] = builders[name]()
    return providers


def checker(settings: Settings, found: Found) -> Checker:
    """What looks for mistakes in the agents that a server with these settings would have."""
    tools = builtin_tools(settings, MemoryStore(), build_web(settings), SystemClock()).plus(found.tools)
    agents = keyed(builtin_agents(settings), found.agents, found)
    servers = [server.name for server in read_servers(settings)]
    return Checker(agents, found, tools.tools, servers, read_models(settings))


def refuse_mistakes(settings: Settings, found: Found) -> None:
    """``WrongSettings`` that names all that cannot be right about agents."""
    if problems := checker(settings, found).problems():
        raise WrongSettings("\n".join(map(str, problems)))


def _openai(
    settings: Settings,
    agents: Mapping[str, Any],
    tools: ToolRegistry,
    bench: Workbench,
    conversations: ProviderConversations | None,
    *,
    servers: ToolServers,
) -> Provider:
    from dragoman.providers.openai import DemoSettings, build_openai_provider

    models = read_models(settings)
    return build_openai_provider(
        agents=agents,
        tools=tools,
        endpoint=next(iter(models.endpoints), None),
        others=models.endpoints[1:],
        model=models.model,
        fallbacks=models.fallbacks,
        prices=models.prices,
        demo=None if models.endpoints else DemoSettings(tokens_per_second=settings.demo_speed),
        idle_timeout=settings.model_timeout,
        max_retries=settings.model_retries,
        conversations=conversations,
        bench=bench,
        servers=servers,
    )


def _scripted(
    settings: Settings, agents: Mapping[str, Any], tools: ToolRegistry, bench: Workbench, servers: ToolServers
) -> Provider:
    from dragoman.providers.scripted import build_scripted_provider

    specs = [agent for agent in agents.values() if isinstance(agent, AgentSpec)]
    prices = read_models(settings).prices
    return build_scripted_provider(specs, tools=tools, bench=bench, prices=prices, servers=servers)


# Workflows and research ----------------------------------------------------------------------------------------------

DOCUMENTS = Path(__file__).parent / "workflows" / "research" / "documents"
"""What research finds where nothing else is configured: some documents about this server."""
TOOL = "tool:"
NEEDED = {"searxng": "SEARXNG_URL", "tavily": "TAVILY_API_KEY", "brave": "BRAVE_API_KEY"}


def with_workflows(
    registry: ProviderRegistry, settings: Settings, known: Mapping[str, Any], clock: Clock
) -> ProviderRegistry:
    """The registry with one more provider, whose agents ask those of the others."""
    asked = Catalog(registry.providers, registry.choose)
    workflows = [agent for agent in known.values() if isinstance(agent, Workflow)]
    provider = build_workflow_provider(workflows, asked, clock, at_once=settings.workflow_calls)
    return ProviderRegistry(
        {**registry.providers, WORKFLOWS: provider}, default=registry.default, choose=registry.choose
    )


def research(settings: Settings) -> tuple[AgentSpec | Workflow, ...]:
    """The workflow and the agents that it asks."""
    habit = Habit(settings.research_searches, settings.workflow_calls, settings.research_seconds or None)
    searching = settings.search_with
    if searching.startswith(TOOL):
        names: tuple[str, ...] = (searching.removeprefix(TOOL),)
    else:
        names = (SEARCH,) if searching == "folder" else (SEARCH, READ)
    return (*research_agents(*names), research_workflow(habit))


def searching_tools(settings: Settings, web: Web) -> tuple[Tool, ...]:
    """What the searcher searches with, unless that is a tool of the operator's."""
    if settings.search_with.startswith(TOOL) or not settings.builtin_agents:
        return ()
    engine = build_search(settings)
    return (search_tool(engine), page_tool(web)) if engine.leads_outside else (search_tool(engine),)


def build_search(settings: Settings) -> SearchEngine:
    from dragoman.adapters.search.folder import FolderSearch
    from dragoman.adapters.search.services import BraveSearch, SearxngSearch, TavilySearch

    match settings.search_with:
        case "searxng" if settings.searxng_url:
            return SearxngSearch(settings.searxng_url)
        case "tavily" if settings.tavily_api_key:
            return TavilySearch(settings.tavily_api_key.get_secret_value())
        case "brave" if settings.brave_api_key:
            return BraveSearch(settings.brave_api_key.get_secret_value())
        case "folder":
            return FolderSearch(settings.search_folder or DOCUMENTS)
    raise WrongSettings(f"DRAGOMAN_SEARCH: {settings.search_with} needs {NEEDED[settings.search_with]}.")

"""All verbs in one hand: what a surface is given."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from dragoman.application.approvals import Approvals
from dragoman.application.audit import Audit
from dragoman.application.budgets import Budgets
from dragoman.application.catalog import Catalog
from dragoman.application.coaches import Coaches
from dragoman.application.conversations import Conversations
from dragoman.application.dispatch import Dispatcher
from dragoman.application.keys import Keys
from dragoman.application.limits import Limiter
from dragoman.application.log import LiveLog
from dragoman.application.people import People
from dragoman.application.runs import Runs
from dragoman.application.scheduler import Scheduler
from dragoman.application.tools import Tools
from dragoman.application.turn import Player
from dragoman.application.usage import UsageReports
from dragoman.domain.endpoints import EndpointStats
from dragoman.ports.clock import Clock
from dragoman.ports.identity import Authenticator
from dragoman.ports.runs import RunQueue
from dragoman.ports.tools import ToolServers

Check = Callable[[], Awaitable[str | None]]
"""``None`` when a part is ready, else what is wrong with it, in words for the operator."""


@dataclass(frozen=True, slots=True)
class Services:
    runs: Runs
    conversations: Conversations
    coaches: Coaches
    catalog: Catalog
    tools: Tools
    approvals: Approvals
    authenticator: Authenticator
    queue: RunQueue
    log: LiveLog
    dispatcher: Dispatcher
    player: Player
    scheduler: Scheduler
    clock: Clock
    checks: dict[str, Check]  # readiness, part by part
    usage: UsageReports
    keys: Keys
    audit: Audit
    people: People
    budgets: Budgets
    cleared: Mapping[str, int]  # by job, for metrics
    servers: ToolServers
    limiter: Limiter | None = None  # None: nobody is limited
    endpoints: Callable[[], Mapping[str, EndpointStats]] = dict  # of models, by name
    connections: Callable[[], Mapping[str, int]] = dict  # to the database, by what they are doing; empty without a pool

"""All stores on one engine."""

from dragoman.adapters.sql.approvals import SqlApprovals
from dragoman.adapters.sql.audit import SqlAudit
from dragoman.adapters.sql.budgets import SqlAccounts
from dragoman.adapters.sql.engine import Engine
from dragoman.adapters.sql.events import SqlEvents
from dragoman.adapters.sql.keys import SqlKeys
from dragoman.adapters.sql.limits import SqlRequestCounts
from dragoman.adapters.sql.notes import SqlNotes
from dragoman.adapters.sql.people import SqlPeople
from dragoman.adapters.sql.provider_conversations import SqlProviderConversations
from dragoman.adapters.sql.queue import SqlQueue
from dragoman.adapters.sql.runs import SqlRuns
from dragoman.adapters.sql.schedules import SqlSchedules
from dragoman.adapters.sql.sessions import SqlSessions
from dragoman.adapters.sql.usage import SqlUsage


class SqlStore:
    """Starts, stops and is as well as its engine."""

    def __init__(self, engine: Engine) -> None:
        self.runs = SqlRuns(engine)
        self.queue = SqlQueue(engine)
        self.events = SqlEvents(engine)
        self.approvals = SqlApprovals(engine)
        self.sessions = SqlSessions(engine)
        self.provider_conversations = SqlProviderConversations(engine)
        self.usage = SqlUsage(engine)
        self.notes = SqlNotes(engine)
        self.schedules = SqlSchedules(engine)
        self.keys = SqlKeys(engine)
        self.audit = SqlAudit(engine)
        self.accounts = SqlAccounts(engine)
        self.request_counts = SqlRequestCounts(engine)
        self.people = SqlPeople(engine)
        self.start = engine.start
        self.stop = engine.stop
        self.check = engine.check
        self.give_back_space = engine.give_back_space
        self.connections = engine.connections

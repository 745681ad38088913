"""The stores in memory: every promise but durability. For tests, trials and servers that shall keep nothing."""

from collections.abc import Mapping

from dragoman.adapters.memory.approvals import MemoryApprovals
from dragoman.adapters.memory.audit import MemoryAudit
from dragoman.adapters.memory.budgets import MemoryAccounts
from dragoman.adapters.memory.events import MemoryEvents
from dragoman.adapters.memory.keys import MemoryKeys
from dragoman.adapters.memory.limits import MemoryRequestCounts
from dragoman.adapters.memory.notes import MemoryNotes
from dragoman.adapters.memory.people import MemoryPeople
from dragoman.adapters.memory.provider_conversations import MemoryProviderConversations
from dragoman.adapters.memory.queue import MemoryQueue
from dragoman.adapters.memory.runs import MemoryRuns
from dragoman.adapters.memory.schedules import MemorySchedules
from dragoman.adapters.memory.sessions import MemorySessions
from dragoman.adapters.memory.state import State
from dragoman.adapters.memory.usage import MemoryUsage

__all__ = ["MemoryStore"]


class MemoryStore:
    def __init__(self) -> None:
        state = State()
        self.runs = MemoryRuns(state)
        self.queue = MemoryQueue(state)
        self.events = MemoryEvents(state)
        self.approvals = MemoryApprovals(state)
        self.sessions = MemorySessions(state)
        self.provider_conversations = MemoryProviderConversations(state)
        self.usage = MemoryUsage(state)
        self.notes = MemoryNotes(state)
        self.schedules = MemorySchedules()
        self.keys = MemoryKeys(state)
        self.audit = MemoryAudit(state)
        self.accounts = MemoryAccounts(state)
        self.request_counts = MemoryRequestCounts(state)
        self.people = MemoryPeople(state)

    async def start(self) -> None:
        """There is nothing to open."""

    async def stop(self) -> None:
        """There is nothing to close."""

    async def give_back_space(self) -> int:
        return 0

    async def check(self) -> str | None:
        return None

    def connections(self) -> Mapping[str, int]:
        return {}

"""Counted requests, in memory."""

from dataclasses import dataclass

from dragoman.adapters.memory.state import State
from dragoman.domain.limits import Subject


@dataclass(frozen=True, slots=True)
class MemoryRequestCounts:
    """``RequestCounts``."""

    state: State

    async def add(self, subject: Subject, minute: int, wanted: int, limit: int) -> int | None:
        known, requests = self.state.requests.get(subject, (minute, 0))
        if known < minute:
            known, requests = minute, 0
        if requests >= limit:
            return None
        self.state.requests[subject] = (known, requests + wanted)
        return requests + wanted

    async def forget(self, before: int, limit: int) -> int:
        old = [subject for subject, (minute, _) in self.state.requests.items() if minute < before][:limit]
        for subject in old:
            del self.state.requests[subject]
        return len(old)

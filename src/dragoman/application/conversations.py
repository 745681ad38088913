"""The verbs of a conversation: read it, clear it."""

from dataclasses import dataclass

from dragoman.application.log import LiveLog
from dragoman.application.runs import checked_session_id
from dragoman.domain.errors import ConversationDeleted, SessionsDisabled
from dragoman.domain.events import RunFailed
from dragoman.domain.identity import Principal
from dragoman.ports.sessions import ItemPage, SessionStore


@dataclass(frozen=True, slots=True)
class Conversations:
    sessions: SessionStore
    log: LiveLog
    enabled: bool = True

    async def page(self, principal: Principal, session_id: str, *, limit: int, before: str | None = None) -> ItemPage:
        self._check_enabled()
        return await self.sessions.page(principal, session_id, limit=limit, before=before)

    async def delete(self, principal: Principal, session_id: str) -> None:
        """Really gone, with its runs. Whoever watches one of them is told."""
        self._check_enabled()
        checked_session_id(session_id)
        for run_id in await self.sessions.delete(principal, session_id):
            if channel := self.log.get(run_id):
                gone = RunFailed(ConversationDeleted.code, ConversationDeleted.message, session_id=session_id)
                channel.dismiss(gone)

    def _check_enabled(self) -> None:
        if not self.enabled:
            raise SessionsDisabled

"""A conversation's items in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from dragoman.adapters.memory.state import State
from dragoman.domain.conversations import Conversation
from dragoman.domain.errors import Invalid, NotFound
from dragoman.domain.identity import Principal
from dragoman.domain.items import Item
from dragoman.ports.sessions import ItemPage


@dataclass(frozen=True, slots=True)
class MemorySessions:
    """``SessionStore``."""

    state: State

    async def history(self, principal: Principal, item_id: str | None, limit: int) -> Sequence[Item]:
        conversation_id = self.state.places.get(item_id or "")
        if conversation_id is None or self.state.names[conversation_id][:2] != (principal.tenant, principal.user):
            return ()
        return self._branch(conversation_id, item_id, limit)

    async def page(self, principal: Principal, session_id: str, *, limit: int, before: str | None = None) -> ItemPage:
        conversation = self._find(principal, session_id)
        newest = conversation.head
        if before is not None:
            item = self.state.items[conversation.id].get(before)
            if item is None:
                raise Invalid("There is no such item in this conversation.", field="before")
            newest = item.parent
        items = self._branch(conversation.id, newest, limit)
        return ItemPage(conversation, items, has_more=bool(items) and items[0].parent is not None)

    async def delete(self, principal: Principal, session_id: str) -> Sequence[str]:
        state, conversation = self.state, self._find(principal, session_id)
        del state.conversations[state.names.pop(conversation.id)]
        for item_id in state.items.pop(conversation.id):
            del state.places[item_id]
        gone = {run.id for run in state.runs.values() if run.conversation_id == conversation.id}
        unfinished = sorted(gone & state.unfinished)
        for run_id in gone:
            del state.runs[run_id]
            del state.logs[run_id]
            state.claims.pop(run_id, None)
            state.marks.pop(run_id, None)
        state.unfinished -= gone
        for key in [key for key, bound in state.keys.items() if bound.run_id in gone]:
            del state.keys[key]
        return unfinished

    def _find(self, principal: Principal, session_id: str) -> Conversation:
        conversation = self.state.conversations.get((principal.tenant, principal.user, session_id))
        if conversation is None:
            raise NotFound("session", session_id)
        return conversation

    def _branch(self, conversation_id: str, item_id: str | None, limit: int) -> tuple[Item, ...]:
        """At most ``limit`` items from the root's side down to ``item_id``."""
        items = self.state.items[conversation_id]
        branch: list[Item] = []
        while item_id is not None and len(branch) < limit:
            item = items[item_id]
            branch.append(item)
            item_id = item.parent
        return tuple(reversed(branch))

"""Which conversation at a model's provider holds what precedes a run, in memory."""

from dataclasses import dataclass

from dragoman.adapters.memory.state import State
from dragoman.domain.runs import Run, RunStatus


@dataclass(frozen=True, slots=True)
class MemoryProviderConversations:
    """``ProviderConversations``."""

    state: State

    async def resume(self, run: Run) -> str | None:
        if run.conversation_id is None or run.base_item is None:
            return None
        provider_conversation_id, last = self.state.elsewhere.get(run.conversation_id, ("", ""))
        if not self._ended_with(run.conversation_id, last, run.base_item):
            return None
        await self.begin(run, provider_conversation_id)
        return provider_conversation_id

    async def begin(self, run: Run, provider_conversation_id: str) -> None:
        if run.conversation_id is not None:
            self.state.elsewhere[run.conversation_id] = provider_conversation_id, run.id

    def _ended_with(self, conversation_id: str, run_id: str, item_id: str) -> bool:
        """Whether this run ended well, at its first attempt, with this item, and that is what its model said."""
        run = self.state.runs.get(run_id)
        written = [item for item in self.state.items[conversation_id].values() if item.run_id == run_id]
        if run is None or run.status is not RunStatus.COMPLETED or run.attempt or not written:
            return False
        last = written[-1]
        said = last.kind == "message" and last.role == "assistant" and last.status == "completed"
        return said and last.id == item_id

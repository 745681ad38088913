"""Which conversation at a model's provider holds what precedes a run."""

from dataclasses import dataclass

from dragoman.adapters.sql.engine import SERVER, Engine, Script
from dragoman.domain.runs import Run

# The run that wrote last must have ended well, at its first attempt, with what its model said; and here nothing may follow.
TRUSTED = """
SELECT conversations.provider_conversation_id
FROM conversations
JOIN runs ON runs.id = conversations.provider_run_id
JOIN items ON items.run_id = runs.id
WHERE conversations.id = :conversation_id AND runs.status = 'completed' AND runs.attempt = 0
  AND items.id = :base_item AND items.kind = 'message' AND items.role = 'assistant' AND items.status = 'completed'
  AND NOT EXISTS (
    SELECT 1 FROM items AS later
    WHERE later.conversation_id = items.conversation_id AND later.run_id = items.run_id AND later.seq > items.seq)
"""

SET = """
UPDATE conversations SET provider_conversation_id = :provider_conversation_id, provider_run_id = :run_id
WHERE id = :conversation_id
"""


@dataclass(frozen=True, slots=True)
class SqlProviderConversations:
    """``ProviderConversations``."""

    engine: Engine

    async def resume(self, run: Run) -> str | None:
        return await self.engine.write(SERVER, _resume, run)

    async def begin(self, run: Run, provider_conversation_id: str) -> None:
        await self.engine.write(SERVER, _set, run, provider_conversation_id)


def _resume(run: Run) -> Script[str | None]:
    rows = yield TRUSTED, {"conversation_id": run.conversation_id, "base_item": run.base_item}
    if not rows:
        return None
    found: str = rows[0][0]
    yield from _set(run, found)
    return found


def _set(run: Run, provider_conversation_id: str) -> Script[None]:
    given = {"provider_conversation_id": provider_conversation_id, "run_id": run.id}
    yield SET, {**given, "conversation_id": run.conversation_id}

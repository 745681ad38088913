"""Conversations that a model's provider keeps, beside ours: which one holds what precedes a run."""

from typing import Protocol

from dragoman.domain.runs import Run


class ProviderConversations(Protocol):
    """Every method is one short transaction.

    What a run adds to a provider's conversation is only known to be what it added to ours when the run has completed. So a
    provider's conversation belongs to the run that wrote to it last, and is trusted by a run that starts where that one
    ended well; by any other, after a failure, a crash, a fork or an edit, it never is.
    """

    async def resume(self, run: Run) -> str | None:
        """The provider's conversation that holds exactly the history ``run`` starts from. From now on it is this run's.
        ``None`` if there is none that can be trusted."""
        ...

    async def begin(self, run: Run, provider_conversation_id: str) -> None:
        """From now on the run's conversation has this one at the provider, and it is this run's."""
        ...

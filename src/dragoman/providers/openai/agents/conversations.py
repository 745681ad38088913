"""Conversations that the endpoint keeps: with them a run sends its new input only, and the endpoint knows the rest.

Ours stays the truth. Theirs is used when it holds exactly what ours does; otherwise a new one is opened, and the first
request of the run carries our history into it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from agents import Agent, Handoff, Model

from dragoman.domain.errors import ModelBroken, ModelRefused
from dragoman.domain.items import is_output
from dragoman.domain.memory import Memory
from dragoman.ports.provider_conversations import ProviderConversations
from dragoman.ports.runtime import Turn
from dragoman.providers.openai.agents.models.payload import parsed
from dragoman.providers.openai.agents.models.transport import Wire


@dataclass(frozen=True, slots=True)
class Thread:
    """The endpoint's conversation for one run."""

    id: str
    fresh: bool  # it holds nothing yet; otherwise, all that precedes the run


@dataclass(frozen=True, slots=True)
class EndpointConversations:
    """``has`` says of a model's name whether it is at this endpoint; ``None`` is the one for agents that name none."""

    known: ProviderConversations
    wire: Wire
    has: Callable[[str | None], bool]

    def suit(self, turn: Turn, agent: Agent[Any]) -> bool:
        """Whether a run may rely on what the endpoint keeps.

        A later attempt has answers in its log that the endpoint may not have. A run with a limit of its own wants less than
        everything. An agent may lead to models elsewhere, or to guardrails that take back what was said.
        """
        run = turn.run
        return (
            run.conversation_id is not None
            and not turn.path  # a part of a run is not the conversation
            and run.attempt == 0
            and run.options.history == Memory()
            and turn.older is None
            and not run.options.tools  # their calls may stay without an output
            and not any(is_output(item) for item in run.input)
            and all(self._suits(reached, run.options.model) for reached in _reachable(agent))
        )

    async def resume(self, turn: Turn) -> Thread:
        """The one that holds what precedes the run, else a new one."""
        if id := await self.known.resume(turn.run):
            return Thread(id, fresh=False)
        return await self.open(turn)

    async def open(self, turn: Turn) -> Thread:
        created = _Created()
        body = orjson.dumps({"metadata": {"dragoman_conversation": turn.run.conversation_id}})
        try:
            await self.wire.ask("/conversations", body, created, headers={"accept": "application/json"})
        except ModelRefused as refused:
            raise ModelRefused(
                "The model's endpoint keeps no conversations for us. The operator should check its key, or set"
                " DRAGOMAN_CONVERSATION_STATE=local."
            ) from refused
        await self.known.begin(turn.run, created.id)
        return Thread(created.id, fresh=True)

    async def aclose(self) -> None:
        await self.wire.aclose()

    def _suits(self, reached: "Agent[Any] | Handoff[Any, Any]", chosen: str | None) -> bool:
        """A hand-off that is more than an agent may do anything with the history, and does not say where it leads."""
        if not isinstance(reached, Agent) or reached.output_guardrails:
            return False
        model = chosen or reached.model
        return not isinstance(model, Model) and self.has(model)


def _reachable(agent: Agent[Any]) -> "Iterable[Agent[Any] | Handoff[Any, Any]]":
    """The agents that a run may come to by hand-offs."""
    waiting: list[Agent[Any] | Handoff[Any, Any]] = [agent]
    seen: set[int] = set()
    while waiting:
        reached = waiting.pop()
        if id(reached) not in seen:
            seen.add(id(reached))
            yield reached
            if isinstance(reached, Agent):
                waiting.extend(reached.handoffs)


class _Created:
    """Reads the answer to a request for a new conversation."""

    begun = False

    def __init__(self) -> None:
        self.id = ""

    @property
    def finished(self) -> bool:
        return bool(self.id)

    def read(self, event: bytes) -> None:  # noqa: ARG002
        raise ModelBroken

    def read_whole(self, body: bytes) -> None:
        answer = parsed(body)
        if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
            raise ModelBroken
        self.id = answer["id"]

"""Talking to the coaches: whoever spoke last in a conversation goes on, unless a message names another domain."""

from dataclasses import dataclass
from typing import Literal, get_args

from dragoman.application.conversations import Conversations
from dragoman.application.runs import Runs, StartRun
from dragoman.domain.errors import NotFound
from dragoman.domain.identity import Principal
from dragoman.domain.ids import is_conversation_id
from dragoman.domain.runs import Run, RunOptions
from dragoman.ports.runs import IdempotencyKey

Domain = Literal["general", "career", "health", "relationship"]
"""Each has a coach: the agent of this key."""
DOMAINS: tuple[Domain, ...] = get_args(Domain)


@dataclass(frozen=True, slots=True)
class Coaches:
    runs: Runs
    conversations: Conversations

    async def start(
        self,
        principal: Principal,
        message: str,
        *,
        domain: Domain | None = None,
        conversation_id: str | None = None,
        idempotency: IdempotencyKey | None = None,
        trace: str | None = None,
    ) -> Run:
        """A message to a coach, in a conversation of the principal or in a new one."""
        if conversation_id is not None and not is_conversation_id(conversation_id):
            raise NotFound("conversation", conversation_id)
        if domain is None:
            domain = await self._speaking(principal, conversation_id)
        start = StartRun(
            agent=domain,
            input=message,
            session_id=conversation_id,
            new_conversation=conversation_id is None,
            options=RunOptions(own_answer=True),
            idempotency=idempotency,
            trace=trace,
        )
        return await self.runs.start(principal, start)

    async def _speaking(self, principal: Principal, conversation_id: str | None) -> Domain:
        if conversation_id is None or not self.conversations.enabled:
            return DOMAINS[0]
        agents = await self.conversations.speakers(principal, [conversation_id])
        return domain_of(agents.get(conversation_id)) or DOMAINS[0]


def domain_of(agent: str | None) -> Domain | None:
    """What this agent is a coach for, if it is one."""
    return next((domain for domain in DOMAINS if domain == agent), None)

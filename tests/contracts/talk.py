"""How tests talk to a store: in few words, what runs and players say to it."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dragoman.adapters.memory import MemoryStore
from dragoman.adapters.sql import SqlStore
from dragoman.domain.events import Event, Recorded, RunCompleted
from dragoman.domain.identity import Principal
from dragoman.domain.ids import conversation_id, run_id
from dragoman.domain.items import Content, NewItem, assistant_message, message, text_of
from dragoman.domain.runs import Run, RunStatus, first_position
from dragoman.domain.usage import Usage
from dragoman.ports.events import Append, End
from dragoman.ports.runs import Begun, Claim, IdempotencyKey

Store = MemoryStore | SqlStore

SARAH = Principal("sarah")
TOM = Principal("tom")
ELSEWHERE = Principal("sarah", tenant="elsewhere")


@dataclass
class Talk:
    store: Store
    moments: Iterator[int] = field(default_factory=itertools.count)

    def run(
        self,
        text: str = "Hello",
        *,
        session: str | None = "s",
        principal: Principal = SARAH,
        input: tuple[Content, ...] | None = None,
        at: datetime | None = None,
        agent: str = "chat",
        **fields: object,
    ) -> Run:
        """A run as the verbs make it, each a little later than the one before."""
        return Run(
            id=run_id(),
            tenant=principal.tenant,
            owner=principal.user,
            agent=agent,
            provider="scripted",
            conversation_id=conversation_id() if session is not None else fields.pop("conversation_id", None),
            session_id=session,
            input=(message("user", text),) if input is None else input,
            created_at=at or datetime.now(UTC) + timedelta(milliseconds=next(self.moments)),
            **fields,
        )

    def claim(self, player: str = "player", seconds: float = 15) -> Claim:
        return Claim(player, datetime.now(UTC) + timedelta(seconds=seconds))

    async def begin(
        self, run: Run | str = "Hello", *, claimed: bool = True, key: IdempotencyKey | None = None, **fields: object
    ) -> Begun:
        run = self.run(run, **fields) if isinstance(run, str) else run
        return await self.store.runs.begin(run, claim=self.claim() if claimed else None, idempotency=key)

    async def playing(self, text: str = "Hello", **fields: object) -> Run:
        run = (await self.begin(text, **fields)).run
        assert run.status is RunStatus.IN_PROGRESS
        return run

    async def queued(self, text: str = "Hello", **fields: object) -> Run:
        run = (await self.begin(text, claimed=False, **fields)).run
        assert run.status is RunStatus.QUEUED
        return run

    async def write(self, run: Run, *events: Event, end: End | None = None) -> bool:
        """Append events behind what is there. Whether they were taken."""
        recorded = await self.log(run)
        position = recorded[-1].position + 1 if recorded else first_position(run.attempt)
        entries = tuple(Recorded(position + i, event) for i, event in enumerate(events))
        return run.id not in await self.store.events.append([Append(run.id, run.attempt, entries, end)])

    async def finish(self, run: Run, answer: str = "Hi!", status: RunStatus = RunStatus.COMPLETED) -> None:
        items = (NewItem(assistant_message(answer)),)
        completed = RunCompleted(status, answer, Usage())
        assert await self.write(run, completed, end=End(status, Usage(), items, final_output=answer))

    async def answered(self, text: str = "Hello", answer: str = "Hi!", **fields: object) -> Run:
        run = await self.playing(text, **fields)
        await self.finish(run, answer)
        return run

    async def log(self, run: Run, principal: Principal | None = None) -> list[Recorded]:
        principal = principal or Principal(run.owner, run.tenant)
        return list(await self.store.events.read(principal, run.id, -1, 1_000_000))

    async def texts(self, session: str = "s", principal: Principal = SARAH) -> list[str]:
        """What a conversation says, oldest first."""
        page = await self.store.sessions.page(principal, session, limit=1000)
        return [text_of(item.content) for item in page.items]

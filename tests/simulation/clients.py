"""Clients as the protocol asks them to be: they repeat what was not answered, come back with their last position, and
forget what they are told to forget. They also leave, cancel and delete."""

import asyncio
import contextlib
from collections.abc import Callable
from random import Random
from typing import get_args

from dragoman.application.runs import StartRun
from dragoman.domain.errors import Conflict, ConversationBusy, NotFound, Unavailable
from dragoman.domain.events import RunFailed
from dragoman.domain.runs import OnBusy, Run, RunOptions
from dragoman.ports.runs import IdempotencyKey
from tests.simulation.agents import SCRIPTS
from tests.simulation.replica import Batch, Replica, Unreachable
from tests.simulation.store import USER
from tests.simulation.witness import Reader, Request, Witness

AGENTS = tuple(SCRIPTS)
POLICIES: tuple[OnBusy, ...] = ("queue", "queue", *get_args(OnBusy))
UNANSWERED = (Unreachable, Unavailable)


class Client:
    def __init__(self, name: str, dice: Random, witness: Witness, replicas: Callable[[], list[Replica]]) -> None:
        self.name = name
        self._dice = dice
        self._witness = witness
        self._replicas = replicas  # those that a balancer would choose from
        self._sent = 0

    async def live(self, messages: int, sessions: int) -> None:
        for _ in range(messages):
            await self._pause(6.0)
            session = f"s{self._dice.randrange(sessions)}" if self._chance(0.9) else None
            run = await self._say(session)
            if run is not None:
                await self._attend(run, session)

    # sending -----------------------------------------------------------------------------------------------------

    async def _say(self, session: str | None) -> Run | None:
        start, request = self._message(session)
        repeats = self._dice.choice((0, 0, 0, 1)) if request.keyed else 0
        unanswered = False
        while True:
            try:
                run = await self._start(start)
            except ConversationBusy:
                request.rejected = not unanswered and not request.run_ids
                return None
            except UNANSWERED:
                if not request.keyed and self._chance(0.5):
                    return None  # perhaps it was accepted, perhaps not
                await self._pause(1.0)
                if request.keyed:
                    unanswered = True
                else:
                    start, request = self._message(session)
                continue
            request.run_ids[run.id] = None
            if not repeats:
                return run
            repeats -= 1

    async def _start(self, start: StartRun) -> Run:
        return await self._some().ask(lambda replica: replica.runs.start(USER, start))

    def _message(self, session: str | None) -> tuple[StartRun, Request]:
        self._sent += 1
        text = f"{self.name}.{self._sent}"
        keyed = self._chance(0.75)
        request = Request(text, session, keyed)
        self._witness.requests.append(request)
        options = RunOptions(
            on_busy=self._dice.choice(POLICIES),
            on_disconnect="cancel" if self._chance(0.1) else "continue",
        )
        key = IdempotencyKey(text, "POST /", text) if keyed else None
        return StartRun(self._dice.choice(AGENTS), text, session, options=options, idempotency=key), request

    # listening ---------------------------------------------------------------------------------------------------

    async def _attend(self, run: Run, session: str | None) -> None:
        """Follow the run, perhaps with a second pair of ears, perhaps doing something about it meanwhile."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._dice.choice((0, 1, 1, 1, 2))):
                group.create_task(self._follow(run.id), name=f"{self.name} follows")
            if self._chance(0.12):
                group.create_task(self._cancel(run.id), name=f"{self.name} cancels")
            if session is not None and self._chance(0.06):
                group.create_task(self._delete(session), name=f"{self.name} deletes")

    async def _follow(self, run_id: str) -> None:
        reader = Reader(run_id)
        self._witness.readers.append(reader)
        while not reader.ended:
            with contextlib.suppress(TimeoutError, *UNANSWERED):
                try:
                    await self._listen(reader)
                except NotFound:
                    reader.deleted = True
                    return
            await self._pause(0.6)

    async def _listen(self, reader: Reader) -> None:
        """Read until the stream ends, or until something else is more interesting."""
        slowness = self._dice.choice((0.0, 0.0, 0.0, 0.7))
        seconds = self._dice.choice((0.3, 3.0, 60.0))
        async with asyncio.timeout(seconds):
            async with self._some().stream(reader.run_id, reader.last, slowness) as batches:
                async for batch in batches:
                    if _tells_of_deletion(batch):
                        reader.deleted = True
                        return
                    reader.read.extend(batch)

    # interfering -------------------------------------------------------------------------------------------------

    async def _cancel(self, run_id: str) -> None:
        await self._pause(4.0)
        mode = self._dice.choice(("after_turn", "now"))
        with contextlib.suppress(NotFound, Conflict):
            await self._until_answered(lambda replica: replica.runs.cancel(USER, run_id, mode))

    async def _delete(self, session: str) -> None:
        await self._pause(8.0)
        self._witness.deleted.add(session)
        with contextlib.suppress(NotFound):
            await self._until_answered(lambda replica: replica.conversations.delete(USER, session))

    async def _until_answered(self, verb: Callable[[Replica], object]) -> None:
        while True:
            try:
                await self._some().ask(verb)  # type: ignore[arg-type]
            except UNANSWERED:
                await self._pause(1.0)
            else:
                return

    # small things ------------------------------------------------------------------------------------------------

    def _some(self) -> Replica:
        replicas = self._replicas()
        if not replicas:
            raise Unreachable
        return self._dice.choice(replicas)

    def _chance(self, probability: float) -> bool:
        return self._dice.random() < probability

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(self._dice.uniform(0.001, seconds))


def _tells_of_deletion(batch: Batch) -> bool:
    last = batch[-1].event
    return isinstance(last, RunFailed) and last.code == "conversation_deleted"

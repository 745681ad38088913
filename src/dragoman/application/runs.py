"""The verbs of a run: start, follow, wait, cancel, read."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dragoman.application.budgets import Budgets
from dragoman.application.catalog import Catalog
from dragoman.application.dispatch import Dispatcher
from dragoman.application.log import Channel, LiveLog
from dragoman.domain.agents import AgentCard
from dragoman.domain.errors import ConversationDeleted, Invalid, NotFound, ShuttingDown, StorageUnavailable, UrlRefused
from dragoman.domain.events import TERMINAL, Recorded, RunFailed
from dragoman.domain.identity import Principal
from dragoman.domain.ids import conversation_id, run_id
from dragoman.domain.items import Content, message, urls_in
from dragoman.domain.limits import LimitBook
from dragoman.domain.runs import CancelMode, Habits, Run, RunOptions, RunStatus
from dragoman.domain.text import storable, storable_json
from dragoman.domain.tools import DeclaredTool
from dragoman.ports.clock import Clock
from dragoman.ports.events import EventLog
from dragoman.ports.runs import IdempotencyKey, RunPage, RunStore
from dragoman.ports.sessions import SessionStore
from dragoman.ports.web import Unguarded, UrlGuard

PAGE = 500
POLL = 1.0
"""How often a reader asks the store about a run that nobody plays here, if nobody tells it that there is news."""

ROLES = ("user", "assistant", "system", "developer")
MAX_SESSION_ID = 255
MAX_TOOLS = 128
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


UNSAID = Habits(on_busy="queue", on_disconnect="continue")
"""What holds when neither caller nor agent nor server says anything."""


@dataclass(frozen=True, slots=True)
class StartRun:
    agent: str
    input: str | Sequence[Content] | None  # None: answer again what ``options.from_item`` says
    session_id: str | None = None
    context: dict[str, Any] = field(default_factory=dict)
    options: RunOptions = field(default_factory=RunOptions)
    idempotency: IdempotencyKey | None = None
    trace: str | None = None
    new_conversation: bool = False  # without a session_id: begin one that has no name, instead of a stateless run


@dataclass(frozen=True, slots=True)
class Runs:
    store: RunStore
    events: EventLog
    log: LiveLog
    dispatcher: Dispatcher
    catalog: Catalog
    clock: Clock
    sessions_enabled: bool = True
    allowed_models: frozenset[str] = frozenset()
    guard: UrlGuard = field(default_factory=Unguarded)
    habits: Habits = field(default_factory=Habits)  # the server's
    budgets: Budgets | None = None
    limits: LimitBook = field(default_factory=LimitBook)
    sessions: SessionStore | None = None  # who spoke last, for agents that go on with whom they handed over to

    async def start(self, principal: Principal, start: StartRun) -> Run:
        """Accept a run. When this returns the message is stored, and the run is playing or queued."""
        card = await self._going_on(principal, start, self.catalog.find(principal, start.agent))
        if start.options.model is not None and start.options.model not in self.allowed_models:
            raise Invalid(f"The model {start.options.model!r} may not be chosen here.", field="options.model")
        if not self.dispatcher.accepting:
            raise ShuttingDown
        if self.log.health.failing_since is not None:
            raise StorageUnavailable
        check_tools(card, start.options.tools)
        if start.options.output is not None and card.capabilities.get("structured_output"):
            raise Invalid("The answers of this agent have a form of their own.")
        if self.budgets is not None:
            await self.budgets.check(principal, card.key)
        session_id = checked_session_id(start.session_id) if self.sessions_enabled else None
        kept = session_id is not None or (start.new_conversation and self.sessions_enabled)
        again = start.input is None and start.options.from_item is not None
        if start.options.from_item is not None and session_id is None:
            raise Invalid("There is no conversation to begin from: give its session_id.", field="from_item")
        run = Run(
            id=run_id(),
            tenant=principal.tenant,
            owner=principal.user,
            agent=card.key,
            provider=card.provider,
            conversation_id=conversation_id() if kept else None,
            session_id=session_id,
            input=() if again else await self._checked_input(start.input),
            created_at=self.clock.now(),
            options=start.options.or_else(card.habits, self.habits, UNSAID),
            context=storable_json(start.context),
            key=principal.key,
            trace=start.trace,
        )
        at_most = {
            subject: limits.concurrent_runs
            for subject, limits in self.limits.of(principal)
            if limits.concurrent_runs is not None
        }
        with self.dispatcher.room() as claim:
            begun = await self.store.begin(run, claim=claim, idempotency=start.idempotency, at_most=at_most)
            if claim is not None and begun.fresh and begun.run.status is RunStatus.IN_PROGRESS:
                self.dispatcher.play(begun.run, claim)
        if begun.disturbed is not None:
            self._tell(begun.disturbed)
        if begun.fresh and begun.run.status is RunStatus.QUEUED:
            self.dispatcher.notify()
        return begun.run

    async def _going_on(self, principal: Principal, start: StartRun, card: AgentCard) -> AgentCard:
        """The agent that was asked; or, where it wants that, the one it has handed this conversation over to."""
        asked_here = card.continues and self.sessions_enabled and start.options.from_item is None
        if self.sessions is None or start.session_id is None or not asked_here:
            return card
        try:
            conversation = await self.sessions.find(principal, start.session_id)
        except NotFound:
            return card
        speakers = await self.sessions.speakers(principal, [conversation.id])
        speaker = speakers.get(conversation.id)
        return self.catalog.find(principal, speaker, hidden=True) if speaker in card.handoffs else card

    async def _checked_input(self, given: str | Sequence[Content] | None) -> tuple[Content, ...]:
        """The input as items. It names no address that a model's endpoint must not be sent to."""
        checked = checked_input(given)
        for index, item in enumerate(checked):
            for where, url in urls_in(item, f"input.{index}"):
                try:
                    await self.guard.check(url)
                except UrlRefused as refusal:
                    raise UrlRefused(refusal.detail, field=where) from None
        return checked

    async def get(self, principal: Principal, run_id: str) -> Run:
        return await self.store.get(principal, run_id)

    async def delete(self, principal: Principal, run_id: str) -> None:
        """Really gone, with its log. Whoever watches it is told; what it said stays in its conversation."""
        await self.store.delete(principal, run_id)
        if channel := self.log.get(run_id):
            channel.dismiss(RunFailed(ConversationDeleted.code, ConversationDeleted.message))

    async def ahead(self, run: Run) -> int | None:
        """How many runs come before this one; ``None`` if it does not wait."""
        return await self.store.ahead(run) if run.status is RunStatus.QUEUED else None

    async def list(
        self,
        principal: Principal,
        *,
        status: RunStatus | None = None,
        agent: str | None = None,
        conversation_id: str | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> RunPage:
        return await self.store.list(
            principal, status=status, agent=agent, conversation_id=conversation_id, after=after, limit=limit
        )

    async def wait(self, principal: Principal, run: Run, timeout: float | None = None) -> Run:
        """The run as it ended, or as it stands after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                with self.log.audience.watch(run.id) as watch:
                    while not run.status.ended and not self.log.going_away:
                        watch.look()
                        if channel := self.log.get(run.id):
                            await channel.done.wait()
                            if channel.result is not None and channel.result.status.ended:
                                return channel.result
                        run = await self.store.get(principal, run.id)
                        if run.status.ended or run.status is RunStatus.REQUIRES_ACTION:
                            return run
                        if self.log.live(run.id) is None:
                            await watch.news("awaited", POLL)
        except TimeoutError:
            return await self.store.get(principal, run.id)
        return run

    async def follow(self, principal: Principal, run: Run, after: int = -1) -> AsyncGenerator[Sequence[Recorded], None]:
        """The events of a run above ``after``, live when it is being played, until its terminal event.

        Ends without one when the server is going away. Each batch is what there was at the moment it was asked for.
        """
        with self.log.audience.watch(run.id) as watch:
            while True:
                watch.look()
                channel = self.log.get(run.id)
                if channel is not None and channel.since(after) is not None:
                    with channel.reader():
                        async for batch in self._follow_live(channel, after):
                            yield batch
                            after = batch[-1].position
                            if _ends(batch):
                                return
                    if self.log.going_away or channel.last_word is not None:
                        return
                page = await self.events.read(principal, run.id, after, PAGE)
                if page:
                    yield page
                    after = page[-1].position
                    if _ends(page):
                        return
                if self.log.going_away:
                    return
                if len(page) >= PAGE or self.log.live(run.id) is not None:
                    continue
                if not page:
                    run = await self.store.get(principal, run.id)
                    if run.status.ended:  # one that waits for a person goes on some day
                        if page := await self.events.read(principal, run.id, after, PAGE):
                            yield page
                        return
                await watch.news("followed", POLL)

    async def _follow_live(self, channel: Channel, after: int) -> AsyncGenerator[Sequence[Recorded], None]:
        while not self.log.going_away:
            batch = channel.since(after)
            if batch is None:  # it went on without us; the store has what we missed
                return
            if batch:
                yield batch
                after = batch[-1].position
            elif channel.closed:
                if channel.last_word is not None:
                    yield [Recorded(after + 1, channel.last_word)]
                return
            else:
                await channel.changed(after)

    async def cancel(self, principal: Principal, run_id: str, mode: CancelMode) -> Run:
        """Ask a run to stop: after its turn, or now. What it said stays in the history."""
        run = await self.store.cancel(principal, run_id, mode)
        self._tell(run)
        return run

    def _tell(self, run: Run) -> None:
        """Something was asked of this run, or it was ended from outside: its player should look, and its readers."""
        self.dispatcher.tell(run.id)
        if run.status.ended:
            self.log.audience.wake([run.id])
            self.log.audience.tell([run.id], resting=[run.id])


def _ends(batch: Sequence[Recorded]) -> bool:
    return isinstance(batch[-1].event, TERMINAL)


def checked_session_id(session_id: str | None) -> str | None:
    if session_id is None:
        return None
    session_id = storable(session_id)
    if not 1 <= len(session_id) <= MAX_SESSION_ID or "/" in session_id:
        raise Invalid(f"A session_id has 1 to {MAX_SESSION_ID} characters and no '/'.", field="session_id")
    return session_id


def check_tools(card: AgentCard, tools: Sequence[DeclaredTool]) -> None:
    """Tools that a caller declares for an agent. Theirs are not among the agent's own."""
    if len(tools) > MAX_TOOLS:
        raise Invalid(f"A request declares at most {MAX_TOOLS} tools.", field="tools")
    taken = {tool.name for tool in card.tools}
    for i, tool in enumerate(tools):
        if not _TOOL_NAME.fullmatch(tool.name):
            raise Invalid("A tool's name is 1 to 64 of a-z, A-Z, 0-9, '-' and '_'.", field=f"tools.{i}.name")
        if tool.name in taken:
            raise Invalid(f"There is a tool {tool.name!r} already.", field=f"tools.{i}.name")
        taken.add(tool.name)


def checked_input(given: str | Sequence[Content] | None, *, field: str = "input") -> tuple[Content, ...]:
    """The input as items, ready to be stored. ``field`` is what it is called where it came from."""
    if isinstance(given, str):
        return (message("user", storable(given)),)
    if not given:
        raise Invalid("The input is empty.", field=field)
    return tuple(_checked_item(f"{field}.{i}", storable_json(item)) for i, item in enumerate(given))


def _checked_item(where: str, item: Content) -> Content:
    match item.get("type") or "message":
        case "message":
            return _checked_message(where, item)
        case "function_call":
            return _with_texts(where, item, "call_id", "name", "arguments")
        case "function_call_output":
            if not isinstance(item.get("output"), str | list):
                raise Invalid("An output is text or a list of parts.", field=f"{where}.output")
            return {**_with_texts(where, item, "call_id"), "output": item["output"]}
        case "reasoning":
            return item
    raise Invalid(
        "An input item is a message, a function_call, a function_call_output or a reasoning.", field=f"{where}.type"
    )


def _with_texts(where: str, item: Content, *names: str) -> Content:
    for name in names:
        if not isinstance(item.get(name), str) or not item[name]:
            raise Invalid(f"A {item['type']} has a {name}, which is text.", field=f"{where}.{name}")
    return {"type": item["type"], **{name: item[name] for name in names}}


def _checked_message(where: str, item: Content) -> Content:
    if item.get("role") not in ROLES:
        raise Invalid(f"A message's role is one of {', '.join(ROLES)}.", field=f"{where}.role")
    content = item.get("content")
    if not isinstance(content, str | list) or not content:
        raise Invalid("A message's content is text or a list of parts.", field=f"{where}.content")
    return {"type": "message", "role": item["role"], "content": content}

"""The Player: plays one run with its provider's runtime. The one place where events enter a log."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from dragoman.application.log import Channel, LiveLog, promptly
from dragoman.application.logging import log_fields
from dragoman.application.remembering import remembered
from dragoman.domain.approvals import Approval, ApprovalStatus
from dragoman.domain.errors import BudgetExhausted, DragomanError, Invalid, RunTimedOut, StorageUnavailable
from dragoman.domain.events import (
    ApprovalDecided,
    ApprovalRequested,
    Event,
    Recorded,
    RunCompleted,
    RunFailed,
    RunResumed,
    started,
)
from dragoman.domain.identity import Principal
from dragoman.domain.items import Content, answering, is_output
from dragoman.domain.journal import journal_of
from dragoman.domain.memory import Memory, Remembered, as_told
from dragoman.domain.runs import Asked, Run, RunError, RunStatus, first_position
from dragoman.domain.story import Story, story_of
from dragoman.domain.text import storable_json
from dragoman.ports.approvals import ApprovalStore
from dragoman.ports.clock import Clock
from dragoman.ports.events import Append, End, EventLog
from dragoman.ports.runs import LEASE, SILENCE, Claim
from dragoman.ports.runtime import Outcome, Provider, Spending, StopSignal, Turn
from dragoman.ports.sessions import SessionStore

logger = logging.getLogger(__name__)

PAGE = 1000
LAST_ANSWER = 20
"""How many items of the history are read at least where the input holds outputs: their calls are in the last answer."""
RETRY = 0.5
"""How long to wait before a store that did not answer is asked again."""

T = TypeVar("T")

INTERNAL = RunError("internal_error", DragomanError.message)
"""What a caller learns of a fault of our own."""


class _Recorder:
    """A channel, listened to by the story."""

    def __init__(self, channel: Channel, story: Story) -> None:
        self._channel = channel
        self._story = story

    def show(self, event: Event) -> None:
        self._story.add(event)
        self._channel.show(event)

    def record(self, *events: Event) -> Awaitable[None]:
        for event in events:
            self._story.add(event)
        return self._channel.record(*events)


class Performance:
    """One run being played here, as seen from outside: it can be asked to stop, or made to."""

    def __init__(self, run: Run, channel: Channel, clock: Clock, *, deadline: float) -> None:
        self.run = run
        self.channel = channel
        self.stop = StopSignal()
        self.story = Story(run.options.handed_back)
        self.last_words: list[Event] = []
        self.failure: RunError | None = None
        self.stopped = False
        self.unstorable = False
        self.handed_over = False
        self.addressed = False  # somebody has said something that it has not taken
        self._absorbing: asyncio.Task[Sequence[Content]] | None = None
        self._deadline = deadline
        self._clock = clock
        self._held: Claim | None = None
        self._holding = asyncio.Event()
        self._playing: asyncio.Task[Outcome] | None = None
        channel.on_fenced = self.stop_now
        channel.on_unstorable = self._broken
        if run.options.on_disconnect == "cancel" and not run.options.background:
            channel.on_abandoned = self.stop_now

    async def watch(self, playing: "asyncio.Task[Outcome]") -> Outcome:
        self._playing = playing
        if self.stopped:
            playing.cancel()
        try:
            return await playing
        finally:
            if self._absorbing is not None:  # what it has taken belongs to it, also if nothing comes of it any more
                await self._absorbing

    def hold(self, claim: Claim) -> None:
        """The run was claimed, or its claim renewed."""
        self._held = claim
        self._holding.set()

    async def held(self) -> None:
        """Wait until nobody can have taken the run away: its claim was renewed a moment ago. Whoever has lost it without
        knowing, after sleeping for a while, is cancelled while it waits here."""
        while self._held is None or self._held.until - LEASE + SILENCE < self._clock.now():
            self._holding.clear()
            await self._holding.wait()

    def ask(self, asked: Asked) -> None:
        """To stop ``now``, or ``after_turn`` with a deadline. ``interrupt`` waits for tools only. What was said stays in the
        history. ``steer`` is no reason to stop."""
        if asked == "steer":
            self.addressed = True
            return
        patient = asked == "after_turn" or (asked == "interrupt" and self.story.calling)
        if patient and not self.stopped:
            self.stop.request()
            asyncio.get_running_loop().call_later(self._deadline, self.stop_now)
        else:
            self.stop_now()

    async def steered(self) -> Sequence[Content]:
        """What was said to the run since this was last asked. It is in its log when this returns."""
        if not self.addressed:
            return ()
        self.addressed = False
        self._absorbing = asyncio.get_running_loop().create_task(self._absorb())
        return await asyncio.shield(self._absorbing)

    async def _absorb(self) -> Sequence[Content]:
        steered = await self.channel.absorb()
        self.story.add(steered)
        return steered.items

    @property
    def ending(self) -> bool:
        """Whether its last word is written or on its way: too late for anything."""
        return self.channel.end is not None or self.channel.closed

    def abort(self, failure: RunError) -> None:
        """End the run as failed, at once."""
        self.failure = failure
        self.stop_now()

    def hand_over(self) -> None:
        """Stop at once and say nothing more: somebody else will take the run up from here."""
        self.handed_over = True
        self.stop_now()

    def stop_now(self) -> None:
        self.stopped = True
        if self._playing is not None:
            self._playing.cancel()

    def hear(self, outcome: Outcome) -> None:
        """What the run says itself, at its end."""
        if outcome.last_word is not None:
            self.last_words.append(outcome.last_word)
            self.story.add(outcome.last_word)

    def _broken(self) -> None:
        self.unstorable = True
        self.abort(INTERNAL)


@dataclass(frozen=True, slots=True)
class Player:
    log: LiveLog
    events: EventLog
    sessions: SessionStore
    providers: Mapping[str, Provider]
    clock: Clock
    approvals: ApprovalStore
    spending: Callable[[Run], Spending | None] = lambda _: None
    memory: Memory = field(default_factory=lambda: Memory(limit=50))  # where neither caller nor agent says
    cancel_deadline: float = 10.0
    performances: dict[str, Performance] = field(default_factory=dict)
    endings: dict[RunStatus, int] = field(default_factory=dict)  # how many runs ended how, for metrics

    def open(self, run: Run) -> Performance:
        """From here on a claimed run can be followed and cancelled."""
        if (earlier := self.performances.get(run.id)) is not None:
            earlier.channel.fence()  # its attempt is over, only it has not heard of it yet
        channel = self.log.open(run.id, run.attempt)
        if run.attempt == 0:
            channel.begin_with(started(run))
        else:
            channel.begin_behind_first()
        performance = self.performances[run.id] = Performance(run, channel, self.clock, deadline=self.cancel_deadline)
        return performance

    async def play(self, performance: Performance) -> None:
        """Play a run to its end. Whatever happens, it ends and says how, unless it is handed over."""
        run, channel = performance.run, performance.channel
        try:
            with log_fields(run=run.id, conversation=run.conversation_id, agent=run.agent, trace=run.trace):
                event, end = await self._perform(run, performance)
                if performance.handed_over:
                    await channel.record()  # what was shown is stored
                    return
                await channel.record(*performance.last_words, event, end=end)
                if performance.unstorable:
                    event, end = _failed(run, INTERNAL, Story())
                    await channel.record(event, end=end)
                if not channel.fenced:
                    channel.result = self._ended(run, end)
        finally:
            if self.performances.get(run.id) is performance:
                del self.performances[run.id]
            channel.close()
            self.log.forget(channel)

    async def _perform(self, run: Run, performance: Performance) -> tuple[Event, End]:
        story = performance.story
        try:
            earlier = await self._earlier(performance) if run.attempt else []
            for event in earlier:
                story.add(event)
            turn = await _patiently(performance, lambda: self.turn(run, earlier, held=performance.held))
            turn = replace(turn, stop=performance.stop, steered=performance.steered, spending=self.spending(run))
            play = self.providers[run.provider].runtime.play(turn, _Recorder(performance.channel, story))
            with self._in_time(run, performance):
                outcome = await performance.watch(asyncio.get_running_loop().create_task(play, name=f"play {run.id}"))
            if performance.failure is not None:  # a runtime may have brought something home all the same
                return _failed(run, performance.failure, story)
            outcome = replace(outcome, final_output=storable_json(outcome.final_output))
            performance.hear(outcome)
        except asyncio.CancelledError:
            if not performance.stopped:
                raise
            if performance.failure is not None:
                return _failed(run, performance.failure, story)
            return _completed(run, Outcome(None, RunStatus.CANCELLED), story)
        except BudgetExhausted as error:
            outcome = Outcome(None, RunStatus.INCOMPLETE, failure=RunError(error.code, error.detail))
        except DragomanError as error:
            return _failed(run, RunError(error.code, error.detail, error.retryable, error.retry_after), story)
        except Exception:
            logger.exception("run failed through a fault of ours")
            return _failed(run, INTERNAL, story)
        return _completed(run, outcome, story)

    @contextlib.contextmanager
    def _in_time(self, run: Run, performance: Performance) -> Iterator[None]:
        """End the run when it has been played for as long as its agent may be."""
        card = self.providers[run.provider].agents.get(run.agent)
        if card is None or card.max_seconds is None:
            yield
            return
        too_late = RunError(RunTimedOut.code, RunTimedOut.message)
        timer = asyncio.get_running_loop().call_later(card.max_seconds, performance.abort, too_late)
        try:
            yield
        finally:
            timer.cancel()

    async def turn(self, run: Run, earlier: Sequence[Event], *, held: Callable[[], Awaitable[None]]) -> Turn:
        """What a runtime needs to play a run whose log knows all this already."""
        remembered = await self._remembered(run)
        history, given = _told(run, list(remembered.history))
        if remembered.summary is not None:
            history.insert(0, as_told(remembered.summary))
        return Turn(
            run=run,
            principal=Principal(run.owner, run.tenant),
            history=history,
            input=given,
            older=remembered.older,
            max_turns=run.options.max_turns,
            journal=journal_of(earlier),
            held=held,
        )

    async def _earlier(self, performance: Performance) -> list[Event]:
        """What earlier attempts have done, and what people have decided since. That is in the log before it has consequences."""
        run = performance.run
        earlier = await _patiently(performance, lambda: self.logged(run))
        if any(isinstance(event, ApprovalRequested) for event in earlier):
            known = {event.approval_id for event in earlier if isinstance(event, ApprovalDecided)}
            approvals = await _patiently(performance, lambda: self.approvals.of_run(run.id))
            settled = [a for a in approvals if a.status is not ApprovalStatus.PENDING and a.id not in known]
            decided = [_decided(approval) for approval in settled]
            await performance.channel.record(*decided)
            earlier += decided
        return earlier

    async def crashes(self, run: Run) -> int:
        """In how many attempts of a run its process has died."""
        resumed = (event for event in await self.logged(run) if isinstance(event, RunResumed))
        return sum(event.reason == "taken_over" for event in resumed)

    async def logged(self, run: Run) -> list[Event]:
        """All that the log of a run holds."""
        events: list[Event] = []
        after = -1
        while page := await self.events.read(Principal(run.owner, run.tenant), run.id, after, PAGE):
            events.extend(entry.event for entry in page)
            after = page[-1].position
        return events

    async def give_up(self, run: Run, failure: RunError) -> None:
        """End a run that nobody can play any more. What it had finished is in its log, and goes into the history. Its last word
        stands above anything that a player who was only believed to be dead may write in the meantime."""
        story = story_of(await self.logged(run), run.options.handed_back)
        event, end = _failed(run, failure, story)
        last = Recorded(first_position(run.attempt + 1), event)
        await self.events.append([Append(run.id, run.attempt, (last,), end)])

    def _ended(self, run: Run, end: End) -> Run:
        self.endings[end.status] = self.endings.get(end.status, 0) + 1
        logger.info(
            "run ended" if end.status.ended else "run waits for a person",
            extra={"status": end.status, "code": end.error and end.error.code},
        )
        return replace(
            run,
            status=end.status,
            usage=end.usage,
            error=end.error,
            final_output=end.final_output,
            response_id=end.response_id,
            ended_at=self.clock.now() if end.status.ended else None,
        )

    async def _remembered(self, run: Run) -> Remembered:
        least = 0
        if not run.input:
            least = 1  # what it answers is there
        elif any(is_output(item) for item in run.input):
            least = LAST_ANSWER
        return await remembered(self.sessions, run, self.memory_of(run), least=least)

    def memory_of(self, run: Run) -> Memory:
        """How much of its conversation a run is told: what its caller says, else its agent, else the server."""
        card = self.providers[run.provider].agents.get(run.agent)
        said = run.options.history if card is None else run.options.history.or_else(card.memory)
        return said.or_else(self.memory)


def _told(run: Run, history: list[Content]) -> tuple[list[Content], list[Content]]:
    """What the agent is told: how it was, and what is new."""
    history, given = answering(history, run.input)
    known = {id(item) for item in (*history, *given)}
    for item in run.input:
        if id(item) not in known:
            raise Invalid(f"There is no call {item['call_id']!r} that waits for an output.", field="input")
    return history, given


async def _patiently(performance: Performance, read: Callable[[], Awaitable[T]]) -> T:
    """A store that does not answer fails no run: it is asked again for as long as the run is ours."""
    while True:
        try:
            return await promptly(read)
        except StorageUnavailable:
            if performance.handed_over or performance.channel.fenced:
                raise
            await asyncio.sleep(RETRY)


def _completed(run: Run, outcome: Outcome, story: Story) -> tuple[Event, End]:
    event = RunCompleted(
        outcome.status,
        outcome.final_output,
        story.usage,
        outcome.turns or story.turns,
        run.session_id,
        outcome.failure.code if outcome.failure else None,
    )
    end = End(
        outcome.status,
        story.usage,
        items=story.told() if outcome.status.ended else (),  # one that waits has not said all
        error=outcome.failure,
        final_output=outcome.final_output,
        response_id=outcome.response_id,
        asked=story.asked,
    )
    return event, end


def _decided(approval: Approval) -> ApprovalDecided:
    return ApprovalDecided(
        approval.id,
        approval.call_id,
        approval.status,
        None if approval.changed_arguments is None else dict(approval.changed_arguments),
        approval.message,
        approval.decided_by,
    )


def _failed(run: Run, failure: RunError, story: Story) -> tuple[Event, End]:
    event = RunFailed(failure.code, failure.message, failure.retryable, run.session_id)
    return event, End(RunStatus.FAILED, story.usage, items=story.told(), error=failure, asked=story.asked)

"""What a workflow works with: agents to ask, limits, and the journal behind both.

A workflow is played again from its log after a crash. Stages that the log knows as finished, failures included, are not asked
again; so between its questions a workflow must only compute with what it was told.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from dragoman.application.workflows.purse import Purse
from dragoman.application.workflows.recording import PartRecorder
from dragoman.domain.errors import DragomanError, ReplayDiverged, RunTimedOut
from dragoman.domain.events import ItemDone, Progress
from dragoman.domain.items import Content, message, text_of, tool_call, tool_output
from dragoman.domain.runs import OutputFormat, RunError, RunOptions, RunStatus
from dragoman.domain.text import storable, storable_json
from dragoman.ports.clock import Clock
from dragoman.ports.runtime import Provider, Recorder, Turn, nothing_said

logger = logging.getLogger(__name__)

Form = OutputFormat
BEGIN = "begin"
"""The step that keeps when a run with a limit of time began."""


class Stopped(Exception):
    """Somebody asked the run to stop, or a person is waited for: no further agent is asked."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may take."""

    seconds: float | None = None
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """One question to one agent. Its path is its name in the log: unique in its run, and the same when it is played again."""

    path: str
    agent: str
    input: str
    form: Form | None = None  # of the answer, where the agent has none of its own
    with_history: bool = False  # whether the agent sees the conversation
    share: float = 1.0  # of time and money that may be used up when it ends
    about: str = ""  # for those who watch


@dataclass(frozen=True, slots=True)
class Heard:
    """How a stage ended. ``output`` is what its agent said, read as JSON where it is; ``failure`` why it said nothing."""

    stage: Stage
    output: Any = None
    seconds: float = 0.0
    failure: RunError | None = None
    items: tuple[ItemDone, ...] = ()  # all that the agent said and its tools answered

    @property
    def failed(self) -> bool:
        return self.failure is not None

    @property
    def text(self) -> str:
        return self.output if isinstance(self.output, str) else json.dumps(self.output, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Ending:
    """What a workflow comes to: its result, and the words for the conversation."""

    output: Any
    text: str
    status: RunStatus = RunStatus.COMPLETED
    failure: RunError | None = None


@dataclass(slots=True)
class Flow:
    """One run of a workflow."""

    turn: Turn
    recorder: Recorder
    clock: Clock
    find: Callable[[str], Provider]  # who plays the agent of a key
    places: asyncio.Semaphore  # of all workflows in this process
    limits: Limits = field(default_factory=Limits)
    waiting: bool = False  # some call waits for a person
    _purse: Purse = field(init=False)
    _began: datetime | None = None

    def __post_init__(self) -> None:
        self._purse = Purse(self.limits.cost, self.turn.spending)
        self._purse.settle_all(answer.closed for answer in self.turn.journal.answers.values())

    @property
    def question(self) -> str:
        """What the person said."""
        return "\n\n".join(filter(None, (text_of(item) for item in self.turn.input if item.get("role") == "user")))

    @property
    def history(self) -> Sequence[Content]:
        return self.turn.history

    @property
    def options(self) -> dict[str, Any]:
        """What the caller chose about this workflow."""
        return self.turn.run.options.workflow

    def report(self, message: str, done: int | None = None, total: int | None = None, path: str = "") -> None:
        """Tell those who watch where the work is."""
        self.recorder.show(Progress(self.turn.run.agent, storable(message), done, total, path))

    def finished(self, path: str) -> bool:
        """Whether an earlier attempt has finished this stage."""
        return self.turn.journal.output(self._call_id(path)) is not None

    async def ask(self, stage: Stage) -> Heard:
        """Ask one agent. Failures are an answer, too: look at ``failed``."""
        if earlier := self.turn.journal.output(self._call_id(stage.path)):
            return self._remembered(stage, earlier)
        if self.turn.stop.requested or self.waiting:
            raise Stopped
        if stage.about:
            self.report(stage.about, path=stage.path)
        async with self.places:
            return await self._play(stage)

    async def ask_all(
        self, stages: Sequence[Stage], *, at_once: int, each: Callable[[Heard], None] | None = None
    ) -> list[Heard]:
        """Ask several side by side, no more than ``at_once``. ``each`` is told of every one that ends, as it does."""
        room = asyncio.Semaphore(at_once)

        async def ask(stage: Stage) -> Heard | None:
            async with room:
                try:
                    heard = await self.ask(stage)
                except Stopped:
                    return None
            if each is not None:
                each(heard)
            return heard

        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(ask(stage), name=f"{self.turn.run.id} {stage.path}") for stage in stages]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        heard = [answer for task in asked if (answer := task.result()) is not None]
        if len(heard) < len(stages):
            raise Stopped
        return heard

    # one stage ---------------------------------------------------------------------------------------------------

    async def _play(self, stage: Stage) -> Heard:
        part = PartRecorder(self.recorder, stage.path, self._purse, list(self._items(stage)))
        begun, output, failure = time.monotonic(), None, None
        try:
            async with asyncio.timeout(await self._left(stage.share)):
                output = await self._said(stage, part)
        except ReplayDiverged:
            raise
        except TimeoutError:
            failure = RunError(RunTimedOut.code, RunTimedOut.message)
        except DragomanError as error:
            failure = RunError(error.code, error.detail, error.retryable)
        except (Stopped, asyncio.CancelledError):
            raise
        except Exception:
            logger.exception("the stage %s failed through a fault of ours", stage.path)
            failure = RunError("internal_error", DragomanError.message)
        heard = Heard(stage, output, round(time.monotonic() - begun, 3), failure, tuple(part.items))
        await self._remember(heard)
        return heard

    async def _said(self, stage: Stage, part: PartRecorder) -> Any:
        provider = self.find(stage.agent)
        outcome = await provider.runtime.play(self._part_of_turn(stage, provider), part)
        if outcome.status is RunStatus.REQUIRES_ACTION:
            self.waiting = True
            raise Stopped
        if outcome.status is RunStatus.CANCELLED:
            raise Stopped
        return _read(outcome.final_output)

    def _part_of_turn(self, stage: Stage, provider: Provider) -> Turn:
        run, card = self.turn.run, provider.agents[stage.agent]
        form = None if card.capabilities.get("structured_output") else stage.form
        given = message("user", storable(stage.input))
        options = RunOptions(model=run.options.model, output=form)
        return replace(
            self.turn,
            run=replace(run, agent=stage.agent, provider=provider.name, input=(given,), options=options),
            history=self.turn.history if stage.with_history else (),
            input=(given,),
            max_turns=None,
            journal=self.turn.journal.under(stage.path),
            spending=self._purse.up_to(stage.share),
            path=stage.path,
            steered=nothing_said,
        )

    async def _left(self, share: float) -> float | None:
        """Seconds until so much of the time is over."""
        if self.limits.seconds is None:
            return None
        if self._began is None:
            self._began = datetime.fromisoformat(await self._kept(BEGIN, self.clock.now().isoformat()))
        end = self._began + timedelta(seconds=self.limits.seconds * share)
        if end <= self.clock.now():
            raise RunTimedOut
        return (end - self.clock.now()).total_seconds()

    # the journal -------------------------------------------------------------------------------------------------

    def _call_id(self, path: str) -> str:
        """A stage stands in the log as a call with an output."""
        return f"stage_{self.turn.run.id.removeprefix('run_')}_{path.replace('/', '_')}"

    async def _kept(self, path: str, value: str) -> str:
        """A value as it was when it was first asked for."""
        if earlier := self.turn.journal.output(self._call_id(path)):
            return str(earlier.item["output"])
        await self._write(path, "{}", value)
        return value

    async def _remember(self, heard: Heard) -> None:
        failure = heard.failure
        kept = {
            "output": heard.output,
            "seconds": heard.seconds,
            "failure": None if failure is None else {"code": failure.code, "message": failure.message},
        }
        asked = json.dumps({"agent": heard.stage.agent, "input": heard.stage.input}, ensure_ascii=False)
        await self._write(heard.stage.path, storable(asked), json.dumps(storable_json(kept), ensure_ascii=False))

    async def _write(self, path: str, arguments: str, output: str) -> None:
        call_id, agent = self._call_id(path), self.turn.run.agent
        await self.recorder.record(
            ItemDone("tool_called", tool_call(call_id, path.partition("/")[0], arguments), agent, path),
            ItemDone("tool_output", tool_output(call_id, output), agent, path),
        )

    def _remembered(self, stage: Stage, earlier: ItemDone) -> Heard:
        kept = json.loads(earlier.item["output"])
        failure = None if kept["failure"] is None else RunError(**kept["failure"])
        return Heard(stage, kept["output"], kept["seconds"], failure, self._items(stage))

    def _items(self, stage: Stage) -> tuple[ItemDone, ...]:
        """What earlier attempts have heard in a stage, without what stands for the stage itself."""
        own = self._call_id(stage.path)
        return tuple(done for done in self.turn.journal.items(stage.path) if done.item.get("call_id") != own)


def _read(output: Any) -> Any:
    """What an agent said, as data if it is."""
    if not isinstance(output, str):
        return output
    try:
        return json.loads(output)
    except ValueError:
        return output

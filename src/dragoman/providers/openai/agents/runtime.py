"""Plays a run with the SDK's Runner, and leaves nothing of it behind.

The Runner is not asked to stream: what there is to see is written by models, tools and hooks as it happens, and its own
stream would cost as much again as the rest of it.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from agents import (
    AgentsException,
    HandoffOutputItem,
    MaxTurnsExceeded,
    ModelRefusalError,
    RunConfig,
    RunItem,
    RunResult,
    ToolCallOutputItem,
)
from agents.run import DEFAULT_MAX_TURNS, AgentRunner

from dragoman.application.remembering import with_summary
from dragoman.domain.errors import ModelRefused, ReplayDiverged, ToolFailed
from dragoman.domain.items import text_of
from dragoman.domain.memory import SUMMARY_PATH
from dragoman.domain.runs import RunStatus
from dragoman.ports.runtime import Outcome, Recorder, Turn
from dragoman.providers.openai.agents import translate
from dragoman.providers.openai.agents.conversations import EndpointConversations, Thread
from dragoman.providers.openai.agents.current import Play, inside_call, known_call_ids, playing
from dragoman.providers.openai.agents.graph import Graph
from dragoman.providers.openai.agents.hooks import PlayHooks
from dragoman.providers.openai.agents.memory import to_summarize
from dragoman.providers.openai.agents.models.journal import AnswerTruncated, HandedBack, Stopped
from dragoman.providers.openai.agents.steering import Steering, steering
from dragoman.providers.openai.errors import run_failure

SETTLE = 5.0
"""How long a cancelled run's tasks may take to end, in seconds."""


class Context(dict[str, Any]):
    """What tools and instructions find as ``context``: what the caller sent with the run, and who that was."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(turn.run.context)
        self.user = turn.principal.user
        self.tenant = turn.principal.tenant
        self.run_id = turn.run.id
        self.session_id = turn.run.session_id

    def idempotency_key(self, call_id: str) -> str:
        """The same whenever a tool call is made again, after a crash too: ``ctx.context.idempotency_key(ctx.tool_call_id)``."""
        return f"{self.run_id}/{call_id}"


@dataclass(frozen=True, slots=True)
class OpenAIRuntime:
    graph: Graph
    config: RunConfig
    max_turns: dict[str, int] = field(default_factory=dict)  # by agent, where it has a limit of its own
    conversations: EndpointConversations | None = None  # if the endpoint keeps them, too
    _runner: AgentRunner = field(default_factory=AgentRunner)
    _hooks: PlayHooks = field(default_factory=PlayHooks)

    async def play(self, turn: Turn, recorder: Recorder) -> Outcome:
        if turn.older is not None:
            turn = await with_summary(turn, recorder, partial(self._summarize, turn, recorder))
        if self.conversations is None or not self.conversations.suit(turn, self.graph.original(turn.run.agent)):
            return await self._play(self._begin(turn, recorder))
        thread = await self.conversations.resume(turn)
        play = self._begin(turn, recorder)
        try:
            return await self._play(play, thread)
        except ModelRefused:
            if thread.fresh or play.answered:
                raise
        # It may be gone at the endpoint; ours is complete.
        again = replace(self._begin(turn, recorder), steering=Steering(play.steering.heard))
        return await self._play(again, await self.conversations.open(turn))

    async def _play(self, play: Play, thread: Thread | None = None) -> Outcome:
        turn = play.turn
        history = turn.history if thread is None or thread.fresh else ()
        with playing(play):  # the task inherits it
            running = asyncio.create_task(
                self._runner.run(
                    self.graph[turn.run.agent],
                    translate.model_input(history, turn.input),
                    context=Context(turn),
                    max_turns=turn.max_turns or self.max_turns.get(turn.run.agent, DEFAULT_MAX_TURNS),
                    hooks=play.hooks,
                    run_config=play.config,
                    conversation_id=thread.id if thread else None,
                )
            )
        try:
            result = await asyncio.shield(running)  # so that we know of a cancellation before the SDK does
            await _record_rest(result.new_items, play)
        except Stopped:
            return Outcome(None, RunStatus.CANCELLED)
        except AnswerTruncated as answer:
            return Outcome(answer.text, RunStatus.INCOMPLETE, answer.response_id)
        except HandedBack as answer:
            return Outcome(answer.text or None, RunStatus.COMPLETED, answer.response_id)
        except ModelRefusalError as refused:  # an answer, too
            return Outcome(refused.refusal)
        except Exception as error:
            if play.diverged:
                raise ReplayDiverged from error
            if isinstance(error, AgentsException) and error.run_data is not None:
                await _record_rest(error.run_data.new_items, play)
            if play.handed_back and isinstance(error, MaxTurnsExceeded):
                return Outcome(play.said or None)
            if failure := run_failure(error):
                raise failure from error
            raise
        finally:
            play.over = True
            await _settle({running, *play.working})
        if play.diverged or play.journalled(""):  # swallowed by a tool, or it ended before its log does
            raise ReplayDiverged
        return _outcome(play, result)

    async def _summarize(self, turn: Turn, recorder: Recorder, text: str) -> str:
        """Ask the model of the agent that is about to speak, in a call with a path of its own."""
        play = self._begin(turn, recorder)
        model = self.graph.models.find(turn.run.options.model or self.graph.original(turn.run.agent).model)
        with playing(play), inside_call(play, SUMMARY_PATH):
            answer = await model.of(turn.run.agent).get_response(*to_summarize(text))
        return "".join(text_of(translate.item(item)) for item in answer.output)

    def _begin(self, turn: Turn, recorder: Recorder) -> Play:
        model = turn.run.options.model
        return Play(
            turn=turn,
            recorder=recorder,
            hooks=self._hooks,
            config=replace(self.config, model=model) if model else self.config,
            stand_in=self.graph.clone,
            model_for=self.graph.models.find,
            key_of=self.graph.key_of,
            speaking=turn.run.agent,
            call_ids=known_call_ids((*turn.history, *turn.input)),
            output_limit=self.graph.bench.limits.output,
            steering=steering(turn.journal.steered),
        )


async def _record_rest(items: Iterable[RunItem], play: Play) -> None:
    """Outputs that neither a hook nor a further question to the model has shown."""
    if play.calls:
        for item in items:
            if isinstance(item, ToolCallOutputItem | HandoffOutputItem):
                await play.record_output(item.raw_item)


def _outcome(play: Play, result: RunResult) -> Outcome:
    turn = play.turn
    response_id = translate.response_id(result.last_response_id)
    final_output = translate.final_output(result.final_output)
    if turn.stop.requested:
        return Outcome(final_output, RunStatus.CANCELLED, response_id)
    if result.interruptions:
        if not all(asked.call_id in play.waiting for asked in result.interruptions):
            raise ToolFailed(
                "A tool that is not a function asks for a person's approval, and nobody can be asked for it here."
            )
        return Outcome(None, RunStatus.REQUIRES_ACTION, response_id)
    return Outcome(final_output, RunStatus.COMPLETED, response_id)


async def _settle(tasks: set[asyncio.Task[Any]]) -> None:
    """Nothing goes on once a run is over: what still works is cancelled and waited for."""
    if left := {task for task in tasks if not task.done()}:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=SETTLE)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # whoever had to know has been told

"""Whatever a provider brings, a run ends."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from dragoman.adapters.memory import MemoryStore
from dragoman.adapters.system import SystemClock
from dragoman.application.log import LiveLog
from dragoman.application.turn import Player
from dragoman.domain.agents import AgentCard
from dragoman.domain.runs import Run, RunStatus
from dragoman.ports.runtime import Outcome, Recorder, Turn
from tests.contracts.talk import SARAH, Talk


class Bringing:
    """A provider whose runs end with this output."""

    def __init__(self, output: object) -> None:
        self.runtime = self
        self.agents: Mapping[str, AgentCard] = {}
        self._output = output

    async def play(self, turn: Turn, recorder: Recorder) -> Outcome:
        return Outcome(self._output)


async def played(output: object) -> Run:
    store = MemoryStore()
    log = LiveLog(store.events)
    talk = Talk(store)
    begun, claim = (await talk.begin("Hello")).run, talk.claim()
    providers = {begun.provider: Bringing(output)}
    player = Player(log, store.events, store.sessions, providers, SystemClock(), store.approvals)
    performance = player.open(replace(begun))
    performance.hold(claim)
    await log.start()
    await player.play(performance)
    await log.stop()
    return await store.runs.get(SARAH, begun.id)


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else "deep"


@pytest.mark.parametrize("output", [nested(101), 10**400])
async def test_an_output_that_cannot_be_stored_fails_the_run(output: object):
    run = await played(output)
    assert (run.status, run.error and run.error.code) == (RunStatus.FAILED, "invalid_request")


async def test_an_output_that_can_be_made_storable_is():
    run = await played({"a\0": 2**64})
    assert (run.status, run.final_output) == (RunStatus.COMPLETED, {"a\N{REPLACEMENT CHARACTER}": float(2**64)})

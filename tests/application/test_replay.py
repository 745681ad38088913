"""A run that is over is played again from its log: without a model, without a tool, and every difference is told."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from dragoman.adapters.memory import MemoryStore
from dragoman.adapters.system import SystemClock
from dragoman.application.log import LiveLog
from dragoman.application.replay import Difference, Replayed, replay
from dragoman.application.turn import Player
from dragoman.domain.agents import AgentSpec
from dragoman.domain.errors import Conflict, ModelUnavailable
from dragoman.domain.identity import Principal
from dragoman.domain.runs import Run, RunStatus
from dragoman.domain.tools import Tool
from dragoman.providers.scripted import build_scripted_provider
from dragoman.providers.scripted.script import Fail, Script, Step, call, hand_off, say
from tests.contracts.talk import SARAH, Talk

WEATHER = (call("weather"), hand_off("other"), say("It is sunny."))


class Weather:
    """A tool that counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def get(self, name: str) -> Tool:
        return Tool(name, "Tells the weather.", {"type": "object"}, self._tell)

    def visible_to(self, _: Principal) -> list[Tool]:
        return []

    async def _tell(self) -> str:
        self.asked += 1
        return "sunny"


class House:
    def __init__(self, *script: Step) -> None:
        self.store = MemoryStore()
        self.weather = Weather()
        self.player = self.with_script(script)

    def with_script(self, script: Script | Sequence[Step]) -> Player:
        specs = [AgentSpec(key, key.title(), "Be kind.", "A test agent.") for key in ("chat", "other")]
        provider = build_scripted_provider(specs, scripts={"chat": script}, tools=self.weather)
        log = LiveLog(self.store.events)
        return Player(
            log, self.store.events, self.store.sessions, {provider.name: provider}, SystemClock(), self.store.approvals
        )

    async def played(self) -> Run:
        talk = Talk(self.store)
        run, claim = (await talk.begin("Hello")).run, talk.claim()
        performance = self.player.open(run)
        performance.hold(claim)
        await self.player.log.start()
        await self.player.play(performance)
        await self.player.log.stop()
        return await self.store.runs.get(SARAH, run.id)


async def test_a_run_goes_as_it_went_and_nothing_is_asked_or_written():
    house = House(*WEATHER)
    run = await house.played()
    before = await house.player.logged(run)

    assert await replay(house.player, run) == Replayed(answers=3, outputs=2, differences=())
    assert house.weather.asked == 1
    assert await house.player.logged(run) == before
    assert await house.store.runs.get(SARAH, run.id) == run


async def test_an_agent_that_goes_another_way_is_told():
    house = House(*WEATHER)
    run = await house.played()

    longer = await replay(house.with_script([*WEATHER, say("And warm.")]), run)
    shorter = await replay(house.with_script([say("It is sunny.")]), run)
    other = await replay(house.with_script([call("weather"), hand_off("other"), say("It rains.")]), run)

    assert longer.differences == (
        Difference("the end", "completed, after all that is logged", "asks the model or a tool for more"),
    )
    assert other.differences == (Difference("the final output", "It is sunny.", "It rains."),)
    assert shorter.differences
    assert house.weather.asked == 1


async def test_a_tool_whose_result_is_not_in_the_log_is_not_started():
    house = House(*WEATHER)
    run = await house.played()
    house.store.events.state.logs[run.id] = [
        row for row in house.store.events.state.logs[run.id] if b'"function_call_output"' not in row.content
    ]

    done = await replay(house.player, run)

    assert [difference.about for difference in done.differences] == ["the end"]
    assert house.weather.asked == 1


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED])
async def test_a_run_that_was_cut_short_is_compared_as_far_as_it_went(status: RunStatus):
    house = House(call("weather"), Fail(ModelUnavailable()))
    run = replace(await house.played(), status=status)

    assert await replay(house.player, run) == Replayed(answers=1, outputs=1, differences=())


async def test_one_that_has_not_ended_is_refused():
    house = House(*WEATHER)
    with pytest.raises(Conflict):
        await replay(house.player, await Talk(house.store).playing())

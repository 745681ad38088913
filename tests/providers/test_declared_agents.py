"""Declared agents do the same whoever plays them."""

import asyncio
import json

import pytest
from pydantic import BaseModel

from dragoman import AgentSpec, tool
from dragoman.domain.errors import NotFound
from dragoman.domain.identity import LOCAL
from dragoman.domain.runs import RunStatus
from dragoman.sources import Found
from tests.providers.played import PROVIDERS, played, spec

WAIT = 10.0


@pytest.fixture(params=PROVIDERS)
def provider(request):
    return request.param


class Report(BaseModel):
    title: str
    pages: int


SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "pages": {"type": "integer"}},
    "required": ["title", "pages"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("form", [Report, SCHEMA])
async def test_an_answer_has_the_form_that_was_declared(provider, form):
    said = json.dumps({"title": "Rain", "pages": 3})
    async with played(provider, [], spec(output=form)) as app:
        run = await app.run("ann", f"/say {said}")
    assert run.final_output == {"title": "Rain", "pages": 3}


@pytest.mark.parametrize("form", [Report, SCHEMA])
async def test_an_answer_of_another_form_fails_the_run(form):
    async with played("scripted", [], spec(output=form)) as app:
        run = await app.run("ann", "/say plainly")
    assert run.error.code == "model_broken_answer"


async def test_a_run_ends_when_its_agents_time_is_over(provider):
    @tool
    async def sleep() -> str:
        """Sleep."""
        await asyncio.sleep(WAIT)
        return "never"

    async with played(provider, [sleep], spec(sleep, max_seconds=0.05)) as app:
        run = await asyncio.wait_for(app.run("ann", "/call sleep", session_id="s"), WAIT)
        again = await app.run("ann", "/say ok", session_id="s")
    assert (run.status, run.error.code) == (RunStatus.FAILED, "run_timed_out")
    assert again.final_output == "ok"


async def test_an_agent_that_is_not_public_is_reached_by_a_hand_off_and_in_no_other_way(provider):
    agents = spec(key="desk", handoffs=("clerk",)), spec(key="clerk", public=False)
    async with played(provider, [], *agents) as app:
        assert [card.key for card in app.application.services.catalog.list(LOCAL)] == ["desk"]
        with pytest.raises(NotFound):
            await app.run("clerk", "Hello")
        over = "/handoff clerk" if provider == "scripted" else "/call transfer_to_clerk"
        run = await app.run("desk", f"{over}\n/say done", session_id="s")
        speakers = await app.application.services.conversations.speakers(LOCAL, [run.conversation_id])
    assert run.final_output == "done"
    assert speakers[run.conversation_id] == "clerk"


async def test_replaced_agents_play_new_runs_while_old_ones_go_on(provider):
    begun, go = asyncio.Event(), asyncio.Event()

    @tool
    async def work() -> str:
        """Work."""
        begun.set()
        await asyncio.wait_for(go.wait(), WAIT)
        return "worked"

    @tool
    async def other() -> str:
        """Do something else."""
        return "otherwise"

    async with played(provider, [work], spec(work)) as app:
        running = asyncio.create_task(app.run("ann", "/call work\n/say old"))
        await asyncio.wait_for(begun.wait(), WAIT)
        app.application.replace_agents(Found([spec(other), AgentSpec("ben", "Ben")], [other]))
        assert [card.key for card in app.application.services.catalog.list(LOCAL)] == ["ann", "ben"]
        new = await app.run("ann", "/call other\n/say new")
        go.set()
        old = await asyncio.wait_for(running, WAIT)
    assert (old.final_output, new.final_output) == ("old", "new")


async def test_agents_that_cannot_be_played_replace_nothing(provider):
    async with played(provider, [], spec()) as app:
        with pytest.raises(NotFound):
            app.application.replace_agents(Found([spec("no_such_tool", key="ben")]))
        assert [card.key for card in app.application.services.catalog.list(LOCAL)] == ["ann"]
        assert (await app.run("ann", "/say still here")).final_output == "still here"


async def test_a_queued_run_of_an_agent_that_is_gone_fails_with_a_reason():
    async with played("openai", [], spec()) as app:
        run = await app.run("ann", "/say hello", session_id="s")
        app.application.providers["openai"].replace({})
        performance = app.application.services.player
        with pytest.raises(NotFound):
            turn = await performance.turn(run, [], held=asyncio.sleep)
            await app.application.providers["openai"].runtime.play(turn, None)

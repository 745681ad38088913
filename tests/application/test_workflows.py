"""Workflows: a page of Python over agents, on either provider, whose finished stages are never asked again."""

import asyncio
import json

import pytest

from dragoman.adapters.memory import MemoryStore
from dragoman.application.replay import replay
from dragoman.application.runs import StartRun
from dragoman.application.workflows import Ending, Flow, Stage, Workflow
from dragoman.asgi import create_app
from dragoman.domain.agents import AgentSpec
from dragoman.domain.approvals import ApprovalStatus
from dragoman.domain.errors import NotFound
from dragoman.domain.events import ItemDone
from dragoman.domain.identity import LOCAL
from dragoman.domain.runs import RunStatus
from dragoman.settings import Settings
from dragoman.tools import tool
from tests.providers.played import PROVIDERS, logged

WAIT = 20.0
VIEWS = ("facts", "style", "length")
writer = AgentSpec("writer", "Writer", "Write.")
critic = AgentSpec("critic", "Critic", "Criticise.")


async def critique(flow: Flow) -> Ending:
    draft = await flow.ask(Stage("draft", "writer", f"/say A draft about {flow.question}."))
    views = [Stage(f"critic/{view}", "critic", f"/say More {view}.") for view in VIEWS]
    heard = await flow.ask_all(views, at_once=2)
    notes = " ".join(one.text for one in heard if not one.failed)
    final = await flow.ask(Stage("revise", "writer", f"/say {draft.text} {notes}"))
    return Ending(final.text, final.text)


careful = Workflow("careful", "Careful writer", critique, agents=("writer", "critic"))


def served(provider, *agents, tools=(), store=None, **settings):
    chosen = Settings.of(providers=(provider,), builtin_agents=False, demo_speed=0.0, **settings)
    return create_app(agents, tools=tools, store=store or MemoryStore(), settings=chosen)


@pytest.fixture(params=PROVIDERS)
def provider(request):
    return request.param


async def test_a_draft_three_critics_and_a_revision_are_one_run(provider):
    async with served(provider, careful, writer, critic) as app:
        run = await asyncio.wait_for(app.run("careful", "boats", session_id="s"), WAIT)
        events = await logged(app, run)
        page = await app.application.services.conversations.page(LOCAL, "s", limit=10)
    assert run.status is RunStatus.COMPLETED
    assert run.final_output == "A draft about boats. More facts. More style. More length."
    paths = {event.path for event in events if isinstance(event, ItemDone)}
    assert paths == {"", "draft", "critic/facts", "critic/style", "critic/length", "revise"}
    assert run.usage.requests == 5
    assert [item.role for item in page.items] == ["user", "assistant"]  # what its agents said is not the conversation


async def test_a_finished_workflow_replays_from_its_log(provider):
    async with served(provider, careful, writer, critic) as app:
        run = await asyncio.wait_for(app.run("careful", "boats"), WAIT)
        replayed = await asyncio.wait_for(replay(app.application.services.player, run), WAIT)
    assert replayed.differences == ()


async def test_a_workflow_whose_agents_are_not_there_is_not_in_the_catalogue(provider):
    with pytest.raises(NotFound, match="no agent 'careful'"):
        async with served(provider, careful, writer) as app:
            await app.run("careful", "boats")


async def test_a_call_that_waits_for_a_person_lets_the_workflow_wait(provider):
    done = []

    @tool(needs_approval=True)
    async def publish(text: str) -> str:
        """Publish it."""
        done.append(text)
        return "published"

    async def play(flow: Flow) -> Ending:
        first = await flow.ask(Stage("first", "writer", "/say one"))
        second = await flow.ask(Stage("second", "printer", '/call publish {"text": "it"}\n/say two'))
        return Ending([first.text, second.text], "done")

    printer = AgentSpec("printer", "Printer", "Print.", tools=("publish",))
    flow = Workflow("press", "Press", play, agents=("writer", "printer"))
    async with served(provider, flow, writer, printer, tools=[publish]) as app:
        services = app.application.services
        run = await asyncio.wait_for(app.run("press", "go"), WAIT)
        assert run.status is RunStatus.REQUIRES_ACTION
        assert done == []
        waiting = await services.approvals.list(LOCAL, status=ApprovalStatus.PENDING, run_id=run.id, limit=10)
        await services.approvals.decide(LOCAL, run.id, waiting.approvals[0].id, "approve")
        run = await asyncio.wait_for(services.runs.wait(LOCAL, await services.runs.get(LOCAL, run.id)), WAIT)
    assert run.final_output == ["one", "two"]
    assert done == ["it"]
    assert run.usage.requests == 3


async def test_only_so_many_agents_are_at_work_for_workflows(provider):
    at_work, most = 0, 0

    @tool
    async def work() -> str:
        """Work."""
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.01)
        at_work -= 1
        return "done"

    async def play(flow: Flow) -> Ending:
        stages = [Stage(f"part/{n}", "worker", "/call work {}\n/say done") for n in range(6)]
        return Ending([one.text for one in await flow.ask_all(stages, at_once=6)], "done")

    worker = AgentSpec("worker", "Worker", "Work.", tools=("work",))
    crowd = Workflow("crowd", "Crowd", play, agents=("worker",))
    async with served(provider, crowd, worker, tools=[work], workflow_calls=2) as app:
        runs = app.application.services.runs
        begun = [await runs.start(LOCAL, StartRun("crowd", "go")) for _ in range(3)]
        ended = [await runs.wait(LOCAL, run, WAIT) for run in begun]
    assert [json.dumps(run.final_output) for run in ended] == [json.dumps(["done"] * 6)] * 3
    assert most == 2

"""Triage finds the coach, who goes on from there and keeps things for the person, whoever plays."""

import pytest

from dragoman.adapters.memory import MemoryStore
from dragoman.asgi import create_app
from dragoman.domain.identity import LOCAL
from dragoman.settings import Settings
from tests.providers.played import PROVIDERS, outputs


@pytest.fixture(params=PROVIDERS)
def provider(request):
    return request.param


@pytest.fixture
async def app(provider):
    settings = Settings.of(providers=(provider,), demo_speed=0.0)
    async with create_app(settings=settings, store=MemoryStore()) as started:
        yield started


def over(provider, agent):
    name = {"health": "health_coach", "career": "career_coach"}[agent]
    return f"/handoff {agent}" if provider == "scripted" else f"/call transfer_to_{name}"


async def test_the_next_message_goes_to_the_coach_who_spoke_last(app, provider):
    await app.run("triage", f"{over(provider, 'health')}\n/say Sleep more.", session_id="s")
    second = await app.run("triage", "/say And drink less coffee.", session_id="s")
    assert second.agent == "health"
    elsewhere = await app.run("triage", "/say Hello.", session_id="t")
    assert elsewhere.agent == "triage"
    assert (await app.run("triage", "/say Hello.", session_id="s", user="tom")).agent == "triage"


async def test_on_another_branch_it_is_whoever_spoke_there(app, provider):
    await app.run("triage", "/say What is it about?", session_id="s")
    await app.run("triage", f"{over(provider, 'health')}\n/say Sleep more.", session_id="s")
    conversations = app.application.services.conversations
    page = await conversations.page(LOCAL, "s", limit=50)
    await conversations.fork(LOCAL, "s", page.items[1].id)
    assert (await app.run("triage", "/say Once more.", session_id="s")).agent == "triage"


@pytest.mark.parametrize(
    ("coach", "kind"), [("general", "goal"), ("career", "milestone"), ("health", "habit"), ("relationship", "check_in")]
)
async def test_each_coach_keeps_something_of_its_own_for_each_person(app, coach, kind):
    kept = await app.run(coach, f'/call save_{kind} {{"text": "Walk every day"}}')
    ((said, failed),) = await outputs(app, kept)
    assert not failed
    id = said.removeprefix("Kept as ").removesuffix(".")
    done = await app.run(coach, f'/call mark_done {{"id": "{id}"}}')
    assert "Walk every day (done on " in (await outputs(app, done))[0][0]
    listed = await app.run(coach, f"/call list_{kind}s")
    assert id in (await outputs(app, listed))[0][0]
    runs = app.application.services.runs
    theirs = await app.run(coach, f"/call list_{kind}s", user="tom")
    log = await runs.events.read(type(LOCAL)("tom"), theirs.id, -1, 1000)
    assert "There are no" in str(log)


async def test_nonsense_is_answered_in_a_sentence(app):
    for call, words in [
        ('save_goal {"text": "  "}', "1 to 2000 characters"),
        ('mark_done {"id": "note_none"}', "There is no 'note_none'"),
    ]:
        ((said, failed),) = await outputs(app, await app.run("general", f"/call {call}"))
        assert failed
        assert words in said

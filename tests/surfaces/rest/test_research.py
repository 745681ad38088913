"""The routes of research."""

import json

import pytest

from dragoman.providers.scripted import build_scripted_provider
from dragoman.workflows.research import agents
from tests.surfaces.house import house
from tests.workflows.desk import HIT, found, plan, written


@pytest.fixture
async def client():
    scripts = {
        "research_planner": plan("first", "second"),
        "research_searcher": found(HIT),
        "research_writer": written(),
    }
    provider = build_scripted_provider(agents(), scripts=scripts)
    async with house(providers={provider.name: provider}) as given:
        yield given.client


async def test_research_answers_with_the_report_itself(client):
    answer = await client.post("/research", json={"query": "What is a dragoman?", "session_id": "s"})
    assert answer.status_code == 200
    report = answer.json()
    assert report["short_summary"] == "A guide."
    assert report["sources"][0]["url"] == HIT["url"]
    assert (report["status"], report["session_id"], report["usage"]["requests"]) == ("completed", "s", 6)
    session = (await client.get("/research/session/s")).json()
    assert [message["role"] for message in session["messages"]] == ["user", "assistant"]


async def test_the_question_may_stand_in_the_address_or_be_called_input(client):
    in_address = await client.post("/research?query=What+is+it", headers={"content-type": "application/json"})
    as_input = await client.post("/research", json={"input": "What is it"})
    assert in_address.status_code == as_input.status_code == 200


async def test_run_answers_as_every_agent_does(client):
    for path in ("/research/run", "/agents/research/run"):
        answer = (await client.post(path, json={"query": "x", "options": {"max_searches": 1}})).json()
        assert len(answer["final_output"]["searches"]) == 1
        assert answer["success"]


async def test_a_stream_shows_where_the_work_is(client):
    answer = await client.post("/research/stream", json={"query": "x"})
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    told = [event["message"] for event in events if event["type"] == "progress" and event["source"] == "research"]
    assert told[0] == "planning the searches"
    assert {"searched: first", "searched: second", "writing the report"} <= set(told)
    assert {event["path"] for event in events if event["type"] == "run_item" and "path" in event} == {
        *("begin", "plan", "search/1", "search/2", "write/1"),
    }
    assert events[-1]["final_output"]["short_summary"] == "A guide."


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/research", {}),
        ("/research", {"query": "x", "input": "y"}),
        ("/research?query=x", {"query": "y"}),
        ("/research", {"query": "x", "options": {"max_searches": 0}}),
        ("/research", {"query": "x", "options": {"depth": 9}}),
        ("/research", {"query": "x", "options": {"budget": "-1"}}),
        ("/research", {"query": "x", "options": {"speed": 1}}),
        ("/research", {"query": "x", "more": 1}),
    ],
)
async def test_nonsense_is_refused(client, path, body):
    assert (await client.post(path, json=body)).status_code == 422


async def test_without_the_agents_there_is_no_research():
    async with house() as given:
        assert (await given.client.post("/research", json={"query": "x"})).status_code == 404

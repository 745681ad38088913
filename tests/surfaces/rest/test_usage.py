"""What was used and what it cost, over HTTP: the rows add up to the runs, and the runs to the report, whatever happens."""

import contextlib
from decimal import Decimal

import pytest
from agents import Agent, function_tool
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer

from dragoman.adapters.memory import MemoryStore
from dragoman.adapters.sql import SqliteEngine, SqlStore
from dragoman.domain.identity import Principal
from dragoman.domain.prices import Prices
from dragoman.endpoints import well_known_prices
from dragoman.providers.openai import ModelEndpoint, build_openai_provider
from dragoman.providers.openai.config import TimeLimits
from dragoman.providers.scripted.script import say
from dragoman.tools import BuiltinTools
from tests.surfaces.house import eventually, house, parse

COUNTS = ("requests", "input_tokens", "output_tokens", "total_tokens", "cached_input_tokens", "reasoning_tokens")


@pytest.fixture(scope="module")
def servers():
    with LLMockServer() as first, LLMockServer() as second:
        yield first, second


@pytest.fixture
def mocks(servers):
    return [LLMock(server).reset() for server in servers]


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    return MemoryStore() if request.param == "memory" else SqlStore(SqliteEngine(tmp_path / "x.db"))


@function_tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@contextlib.asynccontextmanager
async def priced_house(mocks, store, **given):
    """Agents at two endpoints: a model that has a price, and one that has none to fall back on."""
    names = zip(("first", "second"), mocks, strict=True)
    first, second = (
        ModelEndpoint(mock.base_url(), "k", "chat", name=name, limits=TimeLimits(silence=10)) for name, mock in names
    )
    inner = Agent(name="Inner", model="second:nameless")
    agents = {
        "chat": Agent(name="Chat"),
        "payer": Agent(name="Payer", tools=[pay]),
        "outer": Agent(name="Outer", tools=[inner.as_tool("ask_inner", "Asks.")]),
    }
    provider = build_openai_provider(
        agents=agents,
        tools=BuiltinTools(),
        endpoint=first,
        others=[second],
        model="first:gpt-4o-mini",
        fallbacks=["second:nameless"],
        prices=Prices(well_known_prices()),
        max_retries=1,
    )
    async with house(providers={provider.name: provider}, store=store, **given) as at:
        yield at


async def run(at, text, agent="chat", **body):
    answer = await at.client.post(f"/{agent}/run", json={"input": text, **body})
    return answer.json()["run_id"]


async def test_rows_runs_and_reports_add_up_whatever_happens(mocks, store):
    first, second = mocks
    async with priced_house(mocks, store) as at:
        ids = [await run(at, "plain", session_id="a"), await run(at, "again", session_id="a")]
        first.rate_limit(times=1, retry_after=0.01)
        ids.append(await run(at, "limited for a moment", session_id="b"))
        first.rate_limit(times=1, retry_after=30)
        ids.append(await run(at, "limited for long"))
        first.call_tool("pay", {"amount": 5}).reply("It is paid.")
        ids.append(await run(at, "pay", agent="payer", session_id="c"))
        first.call_tool("ask_inner", {"input": "?"}).reply("It says so.")
        ids.append(await run(at, "ask", agent="outer"))
        first.reply("One two three four five six.").truncate(after_chunks=4)
        ids.append(await run(at, "broken", session_id="b"))
        first.reply("One two three four five six.").stall(after_chunks=4, seconds=1)
        ids.append(await cancelled(at))
        first.outage()
        second.outage()
        ids.append(await run(at, "nobody answers", session_id="d"))

        runs = [(await at.client.get(f"/runs/{id}")).json() for id in ids]
        requests = [(await at.client.get(f"/runs/{id}/usage")).json() for id in ids]
        deleted = await at.client.delete("/chat/session/a")
        reports = {
            by: (await at.client.get("/usage", params={"group_by": by})).json()
            for by in ("day", "agent", "model", "conversation")
        }
        kept = (await at.client.get(f"/runs/{ids[0]}/usage")).json()

    assert deleted.status_code == 204
    assert [r["status"] for r in runs] == ["completed"] * 6 + ["failed", "cancelled", "failed"]
    rows = [row for of_run in requests for row in of_run["requests"]]
    assert kept == requests[0]
    assert {row["status"] for row in rows} == {"answered", "failed", "cancelled"}
    for one, of_run in zip(runs, requests, strict=True):
        assert {name: one["usage"][name] for name in COUNTS} == summed(of_run["requests"])
        assert one["usage"]["cost"] == of_run["usage"]["cost"] == cost_of_run(of_run["requests"])
    for report in reports.values():
        sums = report["total"]
        assert {name: sums[name] for name in COUNTS} == summed(rows)
        assert {name: sum(g[name] for g in report["groups"]) for name in COUNTS} == summed(rows)
        known = [Decimal(row["cost"]) for row in rows if row["cost"] is not None]
        assert Decimal(sums["cost"]) == sum(known) == sum(Decimal(g["cost"] or 0) for g in report["groups"])
        assert sums["unpriced_requests"] == len(rows) - len(known) > 0
        assert sums["failed_requests"] == sum(row["status"] != "answered" for row in rows)
        assert sums["estimated_requests"] == sum(row["estimated"] for row in rows) == 2  # the broken, the cancelled one
    assert {g["agent"] for g in reports["agent"]["groups"]} == {"chat", "payer", "outer", "inner"}
    assert {g["model"]: g["cost"] is None for g in reports["model"]["groups"]} == {
        "gpt-4o-mini": False,
        "nameless": False,
    }


async def cancelled(at):
    """A run that is stopped in the middle of its answer."""
    started = await at.client.post("/chat/run", json={"input": "long", "options": {"background": True}})
    id = started.json()["run_id"]
    await eventually(lambda: (channel := at.services.log.get(id)) and len(channel.since(-1) or ()) > 1)
    await at.client.post(f"/runs/{id}/cancel", json={"mode": "now"})
    await at.client.get(f"/runs/{id}", params={"wait": 10})
    return id


def summed(rows):
    return {name: len(rows) if name == "requests" else sum(row[name] for row in rows) for name in COUNTS}


def cost_of_run(rows):
    """Unknown if that of any request is."""
    if any(row["cost"] is None for row in rows):
        return None
    return str(sum(Decimal(row["cost"]) for row in rows))


async def test_a_run_tells_which_endpoint_answered_after_which_tries_and_why(mocks, store):
    mocks[0].rate_limit(times=1, retry_after=30)
    async with priced_house(mocks, store) as at:
        id = await run(at, "Hello")
        told = (await at.client.get(f"/runs/{id}/usage")).json()["requests"]
        metrics = (await at.client.get("/metrics")).text
    assert [(r["endpoint"], r["model"], r["status"], r["code"]) for r in told] == [
        ("first", "gpt-4o-mini", "failed", "model_rate_limited"),
        ("second", "nameless", "answered", None),
    ]
    assert (told[0]["cost"], told[1]["cost"]) == ("0", None)
    assert 'dragoman_model_requests_total{endpoint="first",outcome="model_rate_limited"} 1.0' in metrics
    assert 'dragoman_model_requests_total{endpoint="second",outcome="answered"} 1.0' in metrics
    assert 'dragoman_model_circuit{endpoint="first",state="closed"} 1.0' in metrics


async def test_usage_and_cost_are_in_the_answer_and_at_the_end_of_the_stream(mocks, store):
    async with priced_house(mocks, store) as at:
        answer = (await at.client.post("/chat/run", json={"input": "Hello"})).json()
        streamed = await at.client.post("/chat/stream", json={"input": "Hello"})
    assert Decimal(answer["usage"]["cost"]) > 0
    assert answer["usage"]["models"] == ["gpt-4o-mini"]
    assert parse(streamed.text)[-1].data["usage"] == answer["usage"]


# The route -----------------------------------------------------------------------------------------------------------


async def test_a_report_says_what_it_is_of():
    async with house({"chat": [say("Hi.")]}) as at:
        await at.client.post("/chat/run", json={"input": "Hello"})
        report = (await at.client.get("/usage", params={"from": "2020-01-01", "group_by": "agent"})).json()
        nothing = (await at.client.get("/usage", params={"from": "2020-01-01", "to": "2020-02-01"})).json()
        offset = (await at.client.get("/usage", params={"from": "2020-01-01T00:00:00+02:00"})).json()
    assert report["from"] == "2020-01-01T00:00:00+00:00"
    assert [(g["agent"], g["requests"], g["cost"], g["unpriced_requests"]) for g in report["groups"]] == [
        ("chat", 1, None, 1)
    ]
    assert (nothing["groups"], nothing["total"]["requests"], nothing["total"]["cost"]) == ([], 0, None)
    assert offset["from"].startswith(("2020-01-01T00:00:00+02:00", "2019-12-31T22:00:00"))


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"group_by": "hour"}, "group_by"),
        ({"from": "2026-02-01", "to": "2026-01-01"}, "to"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_field(params, field):
    async with house() as at:
        answer = await at.client.get("/usage", params=params)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] in ([field], [f"query.{field}"])


class TwoPeople:
    """Whoever says a name is that person."""

    async def authenticate(self, authorization):
        return Principal((authorization or "nobody").removeprefix("Bearer "))


async def test_everybody_sees_their_own_usage_only():
    async with house({"chat": [say("Hi.")]}, authenticator=TwoPeople()) as at:
        sarah, tom = {"authorization": "Bearer sarah"}, {"authorization": "Bearer tom"}
        id = (await at.client.post("/chat/run", json={"input": "Hello"}, headers=sarah)).json()["run_id"]
        assert (await at.client.get("/usage", headers=sarah)).json()["total"]["requests"] == 1
        assert (await at.client.get("/usage", headers=tom)).json()["total"]["requests"] == 0
        assert (await at.client.get(f"/runs/{id}/usage", headers=sarah)).status_code == 200
        assert (await at.client.get(f"/runs/{id}/usage", headers=tom)).status_code == 404

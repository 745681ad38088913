"""Limits and budgets, as callers meet them."""

import asyncio
from decimal import Decimal

from dragoman.adapters.memory import MemoryStore
from dragoman.allowances import Allowances
from dragoman.domain.agents import AgentSpec
from dragoman.domain.budgets import Budget
from dragoman.domain.identity import Principal
from dragoman.domain.limits import LimitBook, Limits
from dragoman.domain.prices import Price, Prices
from dragoman.providers.scripted import build_scripted_provider
from dragoman.providers.scripted.script import call, say
from tests.surfaces.house import Gate, house, parse

A_WORD = Price(Decimal(0), Decimal(1_000_000))
"""A dollar for each word said, and for the message that holds them."""
SARAH, TOM = {"authorization": "sarah"}, {"authorization": "tom"}


class ByName:
    async def authenticate(self, authorization):
        return Principal(authorization or "local")


def limited(**limits: int) -> Allowances:
    return Allowances(LimitBook({"user": Limits(**limits)}), ())


def paying(*budgets: Budget, scripts=None, tools=None, prices=None):
    prices = Prices({"scripted": A_WORD}) if prices is None else prices
    specs = [AgentSpec(key, key.title(), "Be kind.") for key in scripts or {"chat": None}]
    provider = build_scripted_provider(specs, scripts=scripts, prices=prices, tools=tools)
    return house(allowances=Allowances(LimitBook(), budgets), providers={"scripted": provider}, authenticator=ByName())


def run(at, who=SARAH, agent="chat", path="run", **body):
    return at.client.post(f"/{agent}/{path}", json={"input": "Hello", **body}, headers=who)


async def test_whoever_asks_too_often_is_told_when_to_come_back_and_everybody_where_he_stands():
    async with house(allowances=limited(requests_per_minute=2), authenticator=ByName()) as at:
        answers = [await at.client.get("/agents", headers=SARAH) for _ in range(3)]
        other = await at.client.get("/agents", headers=TOM)
        alive = await at.client.get("/livez")
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
    refused = answers[2]
    assert (refused.json()["code"], refused.headers["ratelimit-limit"]) == ("too_many_requests", "2")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-reset"] == refused.headers["retry-after"]
    assert (other.status_code, alive.status_code) == (200, 200)
    assert "ratelimit-limit" not in alive.headers


async def test_without_limits_nothing_is_said_about_them():
    async with house() as at:
        assert at.services.limiter is None
        assert "ratelimit-limit" not in (await at.client.get("/agents")).headers


async def test_only_so_many_runs_are_under_way_at_once():
    gate = Gate()
    script = {"chat": [call("wait"), say("Done.")]}
    async with house(script, tools=gate, allowances=limited(concurrent_runs=1), authenticator=ByName()) as at:
        begun = await run(at, options={"background": True})
        await gate.reached.wait()
        refused = await run(at)
        other = await run(at, TOM, options={"background": True})
        gate.opened.set()
        await at.client.get(f"/runs/{begun.json()['run_id']}?wait=10", headers=SARAH)
        again = await run(at)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_runs")
    assert "retry-after" in refused.headers
    assert (other.status_code, again.status_code) == (202, 200)


async def test_when_the_tokens_of_a_day_are_used_up_no_run_begins():
    async with house(allowances=limited(tokens_per_day=5), authenticator=ByName()) as at:
        answers = [await run(at) for _ in range(2)]
        assert (await run(at, TOM)).status_code == 200
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].json()["code"] == "tokens_used_up"
    assert int(answers[1].headers["retry-after"]) > 1


async def test_when_the_budget_is_used_up_no_run_begins():
    async with paying(Budget("daily", "day", Decimal(4), "user")) as at:
        first = (await run(at)).json()
        refused = await run(at, session_id="s")
        assert (await run(at, TOM)).status_code == 200
        assert (await at.client.get("/conversations/s", headers=SARAH)).status_code == 404
    assert first["usage"]["cost"] == "4"
    assert (refused.status_code, refused.json()["code"]) == (402, "budget_exhausted")


async def test_when_the_budget_runs_out_between_two_turns_the_run_ends_incomplete_and_whole():
    script = {"chat": [call("calculate", {"expression": "1+1"}, returns="2"), say("It is two, of course.")]}
    async with paying(Budget("daily", "day", Decimal(3), "user"), scripts=script) as at:
        ended = (await run(at, session_id="s")).json()
        stream = await run(at, TOM, path="stream")
        items = (await at.client.get("/conversations/s/items", headers=SARAH)).json()["items"]
        record = (await at.client.get(f"/runs/{ended['run_id']}", headers=SARAH)).json()
    assert (ended["status"], ended["success"], ended["error"]["code"]) == ("incomplete", False, "budget_exhausted")
    assert record["error"] == ended["error"]
    assert ended["usage"]["cost"] == "1"
    assert [item["type"] for item in items] == ["message", "function_call", "function_call_output"]
    last = parse(stream.text)[-1]
    assert (last.event, last.data["status"], last.data["code"]) == (
        "stream_complete",
        "incomplete",
        "budget_exhausted",
    )


async def test_a_model_without_a_price_is_not_paid_from_a_budget():
    async with paying(Budget("daily", "day", Decimal(3), "user"), prices=Prices()) as at:
        ended = (await run(at)).json()
    assert (ended["status"], ended["error"]["code"]) == ("incomplete", "budget_exhausted")
    assert "price" in ended["error"]["message"]


async def test_each_kind_of_budget_is_about_whom_it_names():
    budgets = (
        Budget("all", "month", Decimal(100), "tenant"),
        Budget("chat", "day", Decimal(100), "agent", only="chat"),
        Budget("tom", "day", Decimal(100), "user", only="tom"),
        Budget("elsewhere", "day", Decimal(0), "user", tenant="elsewhere"),
    )
    scripts = {"chat": [say("Hi there")], "other": [say("Hi there")]}
    async with paying(*budgets, scripts=scripts) as at:
        for who in (SARAH, TOM):
            for agent in ("chat", "other"):
                assert (await run(at, who, agent)).status_code == 200
        every = await at.services.budgets.every()
    spent = {(each.budget.name, each.account.name): each.balance.spent for each in every}
    assert spent == {("all", ""): 12, ("chat", "chat"): 6, ("tom", "tom"): 6}


async def test_fifty_runs_at_once_never_spend_more_than_the_budget_for_ten_and_the_ledger_agrees():
    store, calls = MemoryStore(), 50
    budget = Budget("daily", "day", Decimal(30), "tenant")
    provider = build_scripted_provider(
        [AgentSpec("chat", "Chat", "Be kind.")],
        scripts={"chat": [say("Hi", " there")]},
        prices=Prices({"scripted": A_WORD}),
    )
    overrides = {"allowances": Allowances(LimitBook(), (budget,)), "providers": {"scripted": provider}}
    async with house(store=store, authenticator=ByName(), **overrides) as at:
        answers = await asyncio.gather(*(run(at, {"authorization": f"user{i}"}) for i in range(calls)))
        (status,) = await at.services.budgets.every()
    ended = [answer.json() for answer in answers if answer.status_code == 200]
    completed = [one for one in ended if one["status"] == "completed"]
    ledger = sum(Decimal(charge.entry.usage.cost) for charge in store.runs.state.ledger.values())
    assert {answer.status_code for answer in answers} <= {200, 402}
    assert {one["error"]["code"] for one in ended if one["status"] != "completed"} <= {"budget_exhausted"}
    assert status.balance.spent == ledger == 3 * len(completed)
    assert (len(completed), status.balance.reserved) == (10, 0)

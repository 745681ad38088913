"""Approvals do the same whoever plays: the run waits for a person, not with a worker, and goes on by replay."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from agents import Agent

from dragoman import tool
from dragoman.adapters.memory import MemoryStore
from dragoman.domain.approvals import ApprovalStatus
from dragoman.domain.errors import AlreadyDecided, Forbidden, Invalid, NotFound, RunEnded
from dragoman.domain.events import ApprovalDecided, ApprovalRequested, RunCompleted, RunResumed
from dragoman.domain.identity import LOCAL, ORDINARY, Principal
from dragoman.domain.runs import RunStatus
from tests.providers.played import PROVIDERS, logged, outputs, played

WAIT = 10.0
REFUND = '/call refund {"amount": 200}\n/say done'


@pytest.fixture(params=PROVIDERS)
def provider(request):
    return request.param


@pytest.fixture
def done():
    """What tools have done, in order."""
    return []


@pytest.fixture
def refund(done):
    @tool(needs_approval=True)
    async def refund(amount: int) -> str:
        """Give money back."""
        done.append(f"refund {amount}")
        return f"refunded {amount}"

    return refund


@pytest.fixture
def note(done):
    @tool
    async def note(text: str) -> str:
        """Write it down."""
        done.append(f"note {text}")
        return "noted"

    return note


def approvals_of(app):
    return app.application.services.approvals


async def pending(app, run):
    page = await approvals_of(app).list(LOCAL, status=ApprovalStatus.PENDING, run_id=run.id, limit=100)
    return list(reversed(page.approvals))


async def decided(app, run, decision="approve", **more):
    """Decide everything that a run waits for, and wait for its end."""
    for approval in await pending(app, run):
        await approvals_of(app).decide(LOCAL, run.id, approval.id, decision, **more)
    return await ended(app, run)


async def ended(app, run):
    runs = app.application.services.runs
    async with asyncio.timeout(WAIT):
        async for _ in runs.follow(LOCAL, run):
            pass
        while not (found := await runs.get(LOCAL, run.id)).status.ended:
            async for _ in runs.follow(LOCAL, found, _after_waiting(await _log(app, run))):
                pass
    return found


async def _log(app, run):
    return await app.application.services.runs.events.read(LOCAL, run.id, -1, 100_000)


def _after_waiting(log):
    """Behind the last time it began to wait."""
    return max(entry.position for entry in log if isinstance(entry.event, RunCompleted))


async def test_a_call_waits_for_a_person_and_is_made_when_one_agrees(provider, refund, done):
    async with played(provider, [refund]) as app:
        run = await app.run("ann", REFUND, session_id="s")
        assert run.status is RunStatus.REQUIRES_ACTION
        assert done == []
        (approval,) = await pending(app, run)
        assert (approval.tool, approval.arguments, approval.agent) == ("refund", {"amount": 200}, "ann")
        async with asyncio.timeout(WAIT):
            while app.application.services.dispatcher.active:
                await asyncio.sleep(0)
        run = await decided(app, run)
        assert run.status is RunStatus.COMPLETED
        assert run.final_output == "done"
        assert await outputs(app, run) == [("refunded 200", False)]
        events = await logged(app, run)
    assert done == ["refund 200"]
    shown = [type(e) for e in events if isinstance(e, ApprovalRequested | RunCompleted | RunResumed | ApprovalDecided)]
    assert shown == [ApprovalRequested, RunCompleted, RunResumed, ApprovalDecided, RunCompleted]
    assert [e.reason for e in events if isinstance(e, RunResumed)] == ["decided"]


async def test_a_refused_call_is_not_made_and_the_model_hears_why(provider, refund, done):
    async with played(provider, [refund]) as app:
        run = await app.run("ann", REFUND)
        run = await decided(app, run, "reject", message="Offer a voucher.")
        assert run.status is RunStatus.COMPLETED
        assert await outputs(app, run) == [("A person has refused this call, saying: Offer a voucher.", True)]
    assert done == []


async def test_a_call_may_be_made_with_other_arguments_and_history_shows_those(provider, refund, done):
    async with played(provider, [refund]) as app:
        run = await app.run("ann", REFUND, session_id="s")
        run = await decided(app, run, arguments={"amount": 20})
        assert await outputs(app, run) == [("refunded 20", False)]
        page = await app.application.services.conversations.page(LOCAL, "s", limit=10)
        call = next(item.content for item in page.items if item.content.get("type") == "function_call")
        assert json.loads(call["arguments"]) == {"amount": 20}
        logged_call = next(e.item for e in await logged(app, run) if getattr(e, "name", "") == "tool_called")
        assert json.loads(logged_call["arguments"]) == {"amount": 200}
    assert done == ["refund 20"]


async def test_arguments_that_do_not_fit_the_tool_are_refused_and_the_call_still_waits(provider, refund):
    async with played(provider, [refund]) as app:
        run = await app.run("ann", REFUND)
        (approval,) = await pending(app, run)
        with pytest.raises(Invalid, match="do not fit refund"):
            await approvals_of(app).decide(LOCAL, run.id, approval.id, "approve", arguments={"amount": "all"})
        with pytest.raises(Invalid, match="Only a call that is approved"):
            await approvals_of(app).decide(LOCAL, run.id, approval.id, "reject", arguments={"amount": 1})
        assert len(await pending(app, run)) == 1


async def test_parallel_calls_that_need_nobody_are_made_once_and_at_once(provider, refund, note, done):
    async with played(provider, [refund, note]) as app:
        run = await app.run(
            "ann", '/call note {"text": "a"}\n/call refund {"amount": 1}\n/call note {"text": "b"}\n/say ok'
        )
        assert run.status is RunStatus.REQUIRES_ACTION
        assert sorted(done) == ["note a", "note b"]
        run = await decided(app, run)
        assert run.final_output == "ok"
    assert sorted(done) == ["note a", "note b", "refund 1"]


async def test_of_two_that_wait_one_may_be_decided_first(provider, refund, done):
    async with played(provider, [refund]) as app:
        run = await app.run("ann", '/call refund {"amount": 1}\n/call refund {"amount": 2}\n/say ok')
        first, second = await pending(app, run)
        await approvals_of(app).decide(LOCAL, run.id, first.id, "approve")
        async with asyncio.timeout(WAIT):
            while len(done) < 1 or (await app.application.services.runs.get(LOCAL, run.id)).status != "requires_action":
                await asyncio.sleep(0.001)
        assert done == [f"refund {first.arguments['amount']}"]
        assert [one.id for one in await pending(app, run)] == [second.id]
        run = await decided(app, run, "reject")
        assert run.final_output == "ok"
    assert len(done) == 1


async def test_a_decision_while_others_still_work_is_not_lost(provider, refund, done):
    go = asyncio.Event()

    @tool
    async def slow() -> str:
        """Take a while."""
        await asyncio.wait_for(go.wait(), WAIT)
        return "ok"

    async with played(provider, [refund, slow]) as app:
        running = asyncio.create_task(app.run("ann", '/call slow\n/call refund {"amount": 1}\n/say ok'))
        runs = approvals_of(app)
        async with asyncio.timeout(WAIT):
            while not (page := await runs.list(LOCAL)).approvals:
                await asyncio.sleep(0.001)
        (approval,) = page.approvals
        await runs.decide(LOCAL, approval.run_id, approval.id, "approve")
        go.set()
        run = await asyncio.wait_for(running, WAIT)
        run = await ended(app, run)
        assert run.final_output == "ok"
    assert done == ["refund 1"]


async def test_of_many_clicks_at_once_one_counts(provider, refund, done):
    async with played(provider, [refund]) as app:
        run = await app.run("ann", REFUND)
        (approval,) = await pending(app, run)
        clicks = [approvals_of(app).decide(LOCAL, run.id, approval.id, "approve") for _ in range(20)]
        results = await asyncio.gather(*clicks, return_exceptions=True)
        await ended(app, run)
    assert sum(isinstance(result, AlreadyDecided) for result in results) == 19
    assert done == ["refund 200"]


async def test_a_rule_on_the_arguments_decides_which_calls_wait(provider, done):
    @tool(needs_approval=lambda arguments: arguments["amount"] > 100)
    async def refund(amount: int) -> str:
        """Give money back."""
        done.append(amount)
        return "ok"

    async with played(provider, [refund]) as app:
        small = await app.run("ann", '/call refund {"amount": 5}')
        assert small.status is RunStatus.COMPLETED
        large = await app.run("ann", '/call refund {"amount": 500}')
        assert large.status is RunStatus.REQUIRES_ACTION
        wrong = await app.run("ann", '/call refund {"amount": "many"}')
        assert wrong.status is RunStatus.COMPLETED
    assert done == [5]


async def test_an_operator_may_want_a_person_for_any_tool(provider, note, done):
    async with played(provider, [note], approval_tools=("no*",)) as app:
        run = await app.run("ann", '/call note {"text": "a"}')
        assert run.status is RunStatus.REQUIRES_ACTION
        await decided(app, run)
    assert done == ["note a"]


async def test_what_nobody_decides_in_time_counts_as_refused(provider, done):
    @tool(needs_approval=True, approval_timeout=0.001)
    async def refund(amount: int) -> str:
        """Give money back."""
        done.append(amount)
        return "ok"

    async with played(provider, [refund]) as app:
        run = await app.run("ann", REFUND)
        (approval,) = await pending(app, run)
        async with asyncio.timeout(WAIT):
            while datetime.now(UTC) <= approval.expires_at:
                await asyncio.sleep(0.001)
        with pytest.raises(AlreadyDecided):
            await approvals_of(app).decide(LOCAL, run.id, approval.id, "approve")
        await approvals_of(app).expiry(timedelta(seconds=1)).work()
        run = await ended(app, run)
        assert await outputs(app, run) == [("Nobody agreed to this call in time. It was not made.", True)]
        assert run.final_output == "done"
    assert done == []


async def test_who_may_decide(provider, done):
    @tool(needs_approval=lambda given: "approvals:write" if given["amount"] > 1000 else True)
    async def refund(amount: int) -> str:
        """Give money back."""
        done.append(amount)
        return "ok"

    boss = Principal("boss", scopes=ORDINARY | {"approvals:write"})
    sarah, tom = Principal("sarah"), Principal("tom")
    async with played(provider, [refund]) as app:
        approvals = approvals_of(app)
        large = await app.run("ann", '/call refund {"amount": 5000}', user="sarah")
        (approval,) = (await approvals.list(sarah)).approvals
        with pytest.raises(Forbidden):
            await approvals.decide(sarah, large.id, approval.id, "approve")
        with pytest.raises(NotFound):
            await approvals.decide(tom, large.id, approval.id, "approve")
        with pytest.raises(NotFound):
            await approvals.decide(Principal("boss", "elsewhere", boss.scopes), large.id, approval.id, "approve")
        assert [one.id for one in (await approvals.list(boss)).approvals] == [approval.id]
        await approvals.decide(boss, large.id, approval.id, "reject")
        small = await app.run("ann", '/call refund {"amount": 5}', user="sarah")
        (approval, _) = (await approvals.list(sarah)).approvals
        with pytest.raises(NotFound):
            await approvals.decide(boss, small.id, approval.id, "approve")
        with pytest.raises(Forbidden):
            await approvals.decide(sarah, small.id, approval.id, "approve", arguments={"amount": 5000})
        await approvals.decide(sarah, small.id, approval.id, "approve", arguments={"amount": 6})
        async with asyncio.timeout(WAIT):
            while not done:
                await asyncio.sleep(0.001)
    assert done == [6]


async def test_a_run_goes_on_after_a_restart(provider, refund, note, done):
    store = MemoryStore()
    async with played(provider, [refund, note], store=store) as app:
        run = await app.run("ann", '/call note {"text": "a"}\n/call refund {"amount": 1}\n/say ok', session_id="s")
    async with played(provider, [refund, note], store=store) as app:
        run = await decided(app, run)
        assert run.final_output == "ok"
        again = await app.run("ann", "/say next", session_id="s")
        assert again.final_output == "next"
    assert done == ["note a", "refund 1"]


async def test_deleting_the_conversation_ends_what_waits_in_it(provider, refund, done):
    async with played(provider, [refund]) as app:
        run = await app.run("ann", REFUND, session_id="s")
        (approval,) = await pending(app, run)
        await app.application.services.conversations.delete(LOCAL, "s")
        with pytest.raises(NotFound):
            await approvals_of(app).decide(LOCAL, run.id, approval.id, "approve")
        assert (await approvals_of(app).list(LOCAL)).approvals == ()
    assert done == []


async def test_cancelling_a_waiting_run_keeps_what_it_did_and_withdraws_what_it_asked(provider, refund, note, done):
    async with played(provider, [refund, note]) as app:
        run = await app.run("ann", '/call note {"text": "a"}\n/call refund {"amount": 1}', session_id="s")
        (approval,) = await pending(app, run)
        runs = app.application.services.runs
        cancelled = await runs.cancel(LOCAL, run.id, "now")
        assert cancelled.status is RunStatus.CANCELLED
        with pytest.raises(AlreadyDecided):
            await approvals_of(app).decide(LOCAL, run.id, approval.id, "approve")
        with pytest.raises(RunEnded):
            await runs.cancel(LOCAL, run.id, "now")
        assert (await approvals_of(app).list(LOCAL)).approvals[0].status is ApprovalStatus.WITHDRAWN
        page = await app.application.services.conversations.page(LOCAL, "s", limit=10)
        assert [item.kind for item in page.items].count("function_call_output") == 2
        assert "noted" in [item.content.get("output") for item in page.items]
        again = await app.run("ann", "/say next", session_id="s")
        assert again.final_output == "next"
    assert done == ["note a"]


async def test_a_message_to_a_waiting_conversation_waits_its_turn(provider, refund, done):
    async with played(provider, [refund]) as app:
        run = await app.run("ann", REFUND, session_id="s")
        second = asyncio.create_task(app.run("ann", "/say second", session_id="s"))
        services = app.application.services
        async with asyncio.timeout(WAIT):
            while not await services.queue.waiting():
                await asyncio.sleep(0.001)
        run = await decided(app, run)
        assert (await asyncio.wait_for(second, WAIT)).final_output == "second"
        page = await services.conversations.page(LOCAL, "s", limit=20)
    said = [item.content for item in page.items if item.kind == "message"]
    assert [content["role"] for content in said] == ["user", "assistant", "user", "assistant"]
    assert done == ["refund 200"]


async def test_a_call_inside_a_nested_agent_waits_under_its_path_and_is_made_once(refund, done):
    clerk = Agent(name="Clerk", tools=[refund])
    boss = Agent(name="Boss", tools=[clerk.as_tool("ask_clerk", "Ask the clerk.")])
    inner = json.dumps({"input": '/call refund {"amount": 7}\n/say it is done'})
    async with played("openai", [refund], boss) as app:
        run = await app.run("boss", f"/call ask_clerk {inner}\n/say the clerk has done it")
        assert run.status is RunStatus.REQUIRES_ACTION
        (approval,) = await pending(app, run)
        (asked,) = [e for e in await logged(app, run) if getattr(e, "name", "") == "tool_called" and not e.path]
        assert (approval.path, approval.agent) == (asked.item["call_id"], "clerk")
        assert done == []
        run = await decided(app, run)
        assert run.final_output == "the clerk has done it"
        assert await outputs(app, run) == [("refunded 7", False), ("it is done", False)]
    assert done == ["refund 7"]


@pytest.mark.parametrize("arguments", ["all of it", '["200"]', '{"amount": 2'])
async def test_nobody_is_asked_about_a_call_whose_arguments_cannot_be_read(refund, done, arguments):
    async with played("openai", [refund]) as app:
        run = await app.run("ann", f"/call refund {arguments}\n/say done")
        assert (run.status, run.final_output) == (RunStatus.COMPLETED, "done")
        ((told, failed),) = await outputs(app, run)
        assert failed
        assert "arguments" in told
        assert await pending(app, run) == []
    assert done == []

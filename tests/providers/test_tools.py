"""Tools of ours do the same whoever plays: nothing a tool does harms the run, the process or the next turn."""

import asyncio
import json
import threading

import pytest

from dragoman import ToolContext, ToolError, tool
from dragoman.domain.events import Progress
from dragoman.domain.identity import LOCAL, Principal
from dragoman.domain.runs import RunStatus
from tests.providers.played import PROVIDERS, logged, outputs, played, spec

WAIT = 10.0


@pytest.fixture(params=PROVIDERS)
def provider(request):
    return request.param


@tool
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool
async def broken() -> str:
    """Break."""
    raise RuntimeError("secret")


async def test_of_parallel_tools_one_fails_and_the_others_count(provider):
    async with played(provider, [add, broken]) as app:
        run = await app.run("ann", '/call add {"a": 1, "b": 2}\n/call broken\n/call add {"a": 3, "b": 4}')
        found = await outputs(app, run)
    assert run.status is RunStatus.COMPLETED
    failed = ("broken failed. Trying again may help, else go on without it.", True)
    assert sorted(found) == sorted([("3", False), ("7", False), failed])


async def test_a_tool_that_takes_too_long_does_not_hold_the_run(provider):
    @tool(timeout=0.01)
    async def sleep() -> str:
        """Sleep."""
        await asyncio.sleep(WAIT)
        return "never"

    async with played(provider, [sleep]) as app:
        run = await app.run("ann", "/call sleep")
        assert run.status is RunStatus.COMPLETED
        assert await outputs(app, run) == [
            ("sleep did not finish within 0.01 seconds. Whether it took effect is unknown.", True)
        ]


async def test_a_tool_that_does_not_exist_is_a_failure_the_run_survives(provider):
    async with played(provider, [add]) as app:
        run = await app.run("ann", "/call launch")
        ((_, failed),) = await outputs(app, run)
    assert failed
    assert run.status is RunStatus.COMPLETED


async def test_arguments_that_do_not_fit_are_a_sentence_for_the_model(provider):
    async with played(provider, [add]) as app:
        run = await app.run("ann", '/call add {"a": "one", "b": 2}')
        ((output, failed),) = await outputs(app, run)
    assert failed
    assert output.startswith("The arguments do not fit add ('a': ")
    assert run.status is RunStatus.COMPLETED


async def test_a_result_of_5_mb_is_cut_where_it_enters(provider):
    @tool
    async def flood() -> str:
        """Flood."""
        return "x" * 5_000_000

    async with played(provider, [flood], tool_output_limit=1000) as app:
        run = await app.run("ann", "/call flood", session_id="s")
        ((output, _),) = await outputs(app, run)
        assert output.endswith("[Cut: these are the first 1,000 of 5,000,000 characters.]")
        assert len(output) < 1100
        again = await app.run("ann", "/say ok", session_id="s")
    assert again.final_output == "ok"


async def test_a_cancelled_run_cancels_its_tools_and_says_what_happened_to_them(provider):
    begun, ended = asyncio.Event(), asyncio.Event()

    @tool
    async def work() -> str:
        """Work."""
        begun.set()
        try:
            await asyncio.sleep(WAIT)
        finally:
            ended.set()
        return "never"

    async with played(provider, [work]) as app:
        running = asyncio.create_task(app.run("ann", "/call work", session_id="s"))
        await asyncio.wait_for(begun.wait(), WAIT)
        runs = app.application.services.runs
        (listed,) = (await runs.list(LOCAL)).runs
        await runs.cancel(LOCAL, listed.id, "now")
        run = await asyncio.wait_for(running, WAIT)
        await asyncio.wait_for(ended.wait(), WAIT)
        page = await app.application.services.conversations.page(LOCAL, "s", limit=10)
    assert run.status is RunStatus.CANCELLED
    assert page.items[-1].content["output"] == "The call was interrupted; whether it took effect is unknown."


async def test_a_plain_function_that_blocks_holds_up_nobody_else(provider):
    begun, go = threading.Event(), threading.Event()

    @tool
    def block() -> str:
        """Block."""
        begun.set()
        go.wait(WAIT)
        return "unblocked"

    async with played(provider, [block]) as app:
        blocked = asyncio.create_task(app.run("ann", "/call block"))
        assert await asyncio.to_thread(begun.wait, WAIT)
        other = await app.run("ann", "/say meanwhile")
        go.set()
        run = await asyncio.wait_for(blocked, WAIT)
        assert await outputs(app, run) == [("unblocked", False)]
    assert other.final_output == "meanwhile"


async def test_an_agent_may_have_200_tools(provider):
    def numbered(number):
        @tool(name=f"tool_{number}")
        async def one() -> int:
            """Tell a number."""
            return number

        return one

    async with played(provider, [numbered(i) for i in range(200)]) as app:
        run = await app.run("ann", "/call tool_0\n/call tool_199")
        assert sorted(await outputs(app, run)) == [("0", False), ("199", False)]
        card = app.application.services.catalog.find(LOCAL, "ann")
    assert len(card.tools) == 200


async def test_too_many_turns_end_the_run_with_a_code_of_its_own(provider):
    async with played(provider, [add], spec(add, max_turns=1)) as app:
        run = await app.run("ann", '/call add {"a": 1, "b": 2}')
    assert run.status is RunStatus.FAILED
    assert run.error.code == "max_turns_exceeded"


async def test_agents_that_hand_over_in_a_circle_stop_at_the_limit_of_turns(provider):
    ann, ben = spec(key="ann", handoffs=("ben",), max_turns=4), spec(key="ben", handoffs=("ann",))
    there, back = ("/call transfer_to_{}\n/stall 0", "/handoff {}")[provider == "scripted"], 5
    circle = "\n".join([there.format("ben"), there.format("ann")] * back)
    async with played(provider, [], ann, ben) as app:
        run = await app.run("ann", circle, session_id="s")
        assert (run.status, run.error.code) == (RunStatus.FAILED, "max_turns_exceeded")
        handed = [e for e in await logged(app, run) if getattr(e, "name", "") == "handoff_occurred"]
        assert len(handed) == 4
        again = await app.run("ann", "/say next", session_id="s")
        assert again.final_output == "next"


async def test_what_a_tool_knows_of_its_call(provider):
    @tool
    async def who(context: ToolContext) -> dict[str, object]:
        """Tell who calls."""
        context.report("looking", 1, 2)
        return {
            "run": context.run_id,
            "key": context.idempotency_key,
            "user": context.principal.user,
            "by": context.agent,
        }

    async with played(provider, [who]) as app:
        run = await app.run("ann", "/call who", user="sarah", session_id="s")
        recorded = await app.application.services.runs.events.read(Principal("sarah"), run.id, -1, 1000)
    events = [entry.event for entry in recorded]
    assert Progress("who", "looking", 1, 2) in events
    (output,) = [event.item for event in events if getattr(event, "name", "") == "tool_output"]
    assert json.loads(output["output"]) == {
        "run": run.id,
        "key": f"{run.id}/{output['call_id']}",
        "user": "sarah",
        "by": "ann",
    }


async def test_a_tool_that_somebody_may_not_see_is_not_there_for_their_runs(provider):
    @tool(visible_to=lambda principal: principal.user == "sarah")
    async def secret() -> str:
        """Tell a secret."""
        return "it is out"

    async with played(provider, [secret]) as app:
        tom = await app.run("ann", "/call secret", user="tom")
        sarah = await app.run("ann", "/call secret", user="sarah")
        read = app.application.services.runs.events.read
        told = {
            user: [e.event.item["output"] for e in await read(Principal(user), run.id, -1, 100) if _is_output(e.event)]
            for user, run in (("tom", tom), ("sarah", sarah))
        }
        listed = app.application.services.tools.list
        names = {user: {one.card.name for one in listed(Principal(user))} for user in ("sarah", "tom")}
        assert names["sarah"] - names["tom"] == {"secret"}
        assert "calculate" in names["tom"]
    assert told["sarah"] == ["it is out"]
    assert "it is out" not in told["tom"]


def _is_output(event):
    return getattr(event, "name", "") == "tool_output"


async def test_a_sentence_of_a_tool_reaches_the_model_as_a_failure(provider):
    @tool
    async def refuse() -> str:
        """Refuse."""
        raise ToolError("Name a city.")

    async with played(provider, [refuse]) as app:
        run = await app.run("ann", "/call refuse")
        assert await outputs(app, run) == [("Name a city.", True)]
        assert not any("Traceback" in str(event) for event in await logged(app, run))

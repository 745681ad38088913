"""Research with agents that say what a test tells them: whatever fails, it ends in the documented way."""

import asyncio
import json
from decimal import Decimal

import pytest

from dragoman.adapters.memory import MemoryStore
from dragoman.domain.errors import ModelUnavailable
from dragoman.domain.items import text_of
from dragoman.domain.runs import RunStatus
from dragoman.testing import call, fail, say, stall
from dragoman.workflows.research.pipeline import Habit
from tests.workflows.desk import HIT, ask, desk, found, plan, written

WAIT = 20.0


def asked(turn):
    return text_of(turn.input[-1])


def queries(run):
    return [search["query"] for search in run.final_output["searches"]]


async def test_a_question_becomes_a_plan_searches_and_a_report_with_sources():
    async with desk() as app:
        run = await asyncio.wait_for(ask(app), WAIT)
    report = run.final_output
    assert run.status is RunStatus.COMPLETED
    assert report["short_summary"] == "A guide."
    assert report["markdown_report"].startswith("# Dragomans\n\nAn interpreter. [1]\n\n## Sources\n\n1. [Dragomans]")
    assert report["follow_up_questions"] == ["Where?"]
    assert [(search["query"], search["status"]) for search in report["searches"]] == [
        ("first", "done"),
        ("second", "done"),
    ]
    assert report["sources"] == [
        {"number": 1, "title": "Dragomans", "url": HIT["url"], "quote": HIT["text"], "used_in": ["Dragomans"]}
    ]
    assert run.usage.requests == 6  # plan, twice two for searching, write


@pytest.mark.parametrize(
    "planner",
    [plan(), [say("no JSON at all")], [say('{"searches": "none"}')], [fail(ModelUnavailable())]],
    ids=["empty", "invalid", "misshapen", "failed"],
)
async def test_without_a_plan_the_question_itself_is_searched_for(planner):
    async with desk(planner=planner) as app:
        run = await asyncio.wait_for(ask(app), WAIT)
    assert run.status is RunStatus.COMPLETED
    assert queries(run) == ["What is a dragoman?"]


async def test_a_plan_is_cut_to_what_is_allowed_and_says_nothing_twice():
    async with desk(planner=plan("one", "One!", "two", "three")) as app:
        run = await asyncio.wait_for(ask(app, max_searches=2), WAIT)
    assert queries(run) == ["one", "two"]


async def test_a_search_that_fails_is_reported_and_survived():
    def searcher(turn):
        return [fail(ModelUnavailable())] if "second" in asked(turn) else found(HIT)

    async with desk(searcher=searcher) as app:
        run = await asyncio.wait_for(ask(app), WAIT)
    assert run.status is RunStatus.COMPLETED
    second = run.final_output["searches"][1]
    assert (second["status"], second["code"]) == ("failed", "model_unavailable")
    assert len(run.final_output["sources"]) == 1


@pytest.mark.parametrize(
    "searcher",
    [
        [fail(ModelUnavailable())],
        [call("search_sources", {}, raises="down"), say('{"summary": "sorry", "findings": []}')],
    ],
    ids=["the agent", "its tool"],
)
async def test_where_all_searches_fail_the_run_fails(searcher):
    async with desk(searcher=searcher) as app:
        run = await asyncio.wait_for(ask(app), WAIT)
    assert run.status is RunStatus.FAILED
    assert run.error is not None
    assert run.error.code == "search_failed"


async def test_where_nothing_is_found_the_report_says_so_and_no_writer_is_asked():
    def writer(turn):
        raise AssertionError("nobody asks it")

    async with desk(searcher=found(), writer=writer) as app:
        run = await asyncio.wait_for(ask(app), WAIT)
    assert run.status is RunStatus.COMPLETED
    assert "Nothing was found." in run.final_output["markdown_report"]


async def test_a_writer_whose_answer_is_of_no_use_is_asked_once_more():
    def writer(turn):
        return written() if "not usable" in asked(turn) else [say("Here you are!")]

    async with desk(writer=writer) as app:
        run = await asyncio.wait_for(ask(app), WAIT)
    assert run.status is RunStatus.COMPLETED
    assert run.final_output["short_summary"] == "A guide."


@pytest.mark.parametrize(
    ("writer", "code"),
    [([say("Here you are!")], "model_broken_answer"), ([fail(ModelUnavailable())], "model_unavailable")],
    ids=["invalid", "failed"],
)
async def test_without_a_writer_the_report_is_put_together_from_what_was_found(writer, code):
    async with desk(writer=writer) as app:
        run = await asyncio.wait_for(ask(app), WAIT)
    assert run.status is RunStatus.INCOMPLETE
    assert run.error is not None
    assert run.error.code == code
    assert "It was a guide. [1]" in run.final_output["markdown_report"]
    assert run.final_output["sources"][0]["url"] == HIT["url"]


async def test_time_that_is_over_while_planning_leaves_no_time_for_a_plan():
    async with desk(planner=[stall(60), *plan("never")]) as app:
        run = await asyncio.wait_for(ask(app, max_seconds=1.0), WAIT)
    assert queries(run) == ["What is a dragoman?"]
    assert run.status is RunStatus.COMPLETED


async def test_time_that_is_over_while_searching_gives_fewer_results():
    def searcher(turn):
        return [stall(60), *found(HIT)] if "second" in asked(turn) else found(HIT)

    async with desk(searcher=searcher) as app:
        run = await asyncio.wait_for(ask(app, max_seconds=1.0), WAIT)
    assert run.status is RunStatus.COMPLETED
    assert [search["code"] for search in run.final_output["searches"]] == [None, "run_timed_out"]


async def test_time_that_is_over_while_writing_ends_with_what_was_found():
    async with desk(writer=[stall(60), *written()]) as app:
        run = await asyncio.wait_for(ask(app, max_seconds=1.0), WAIT)
    assert run.status is RunStatus.INCOMPLETE
    assert run.error is not None
    assert run.error.code == "run_timed_out"
    assert "It was a guide. [1]" in run.final_output["markdown_report"]


async def test_money_that_runs_out_anywhere_is_never_an_error(prices):
    endings = []
    async with desk(prices=prices) as app:
        whole = await asyncio.wait_for(ask(app), WAIT)
        for share in ("0.001", "0.25", "0.5", "0.75", "0.95"):
            budget = Decimal(whole.usage.cost or 0) * Decimal(share)
            run = await asyncio.wait_for(ask(app, budget=str(budget)), WAIT)
            assert Decimal(run.usage.cost or 0) <= budget
            assert run.final_output["markdown_report"]
            endings.append((run.status, run.error.code if run.error else None))
    assert endings[0] == (RunStatus.INCOMPLETE, "budget_exhausted")
    assert set(endings[1:]) <= {(RunStatus.INCOMPLETE, "budget_exhausted"), (RunStatus.COMPLETED, None)}


async def test_what_the_writer_misses_is_searched_for_where_depth_allows_it():
    def writer(turn):
        return written() if "third" in asked(turn) else written(missing=("third", "first"))

    async with desk(writer=writer) as app:
        shallow = await asyncio.wait_for(ask(app), WAIT)
        deep = await asyncio.wait_for(ask(app, depth=2), WAIT)
    assert queries(shallow) == ["first", "second"]
    assert queries(deep) == ["first", "second", "third"]


async def test_a_follow_up_knows_the_report_before_it_and_searches_for_nothing_twice():
    told = []

    def writer(turn):
        told.append(asked(turn))
        return written("Again. [1]")

    async with desk(planner=plan("first", "second"), writer=writer) as app:
        await asyncio.wait_for(ask(app, session_id="s"), WAIT)
        again = await asyncio.wait_for(ask(app, "And where?", session_id="s"), WAIT)
    assert again.status is RunStatus.COMPLETED
    assert queries(again) == []
    assert HIT["url"] in told[1]
    assert again.final_output["sources"][0]["url"] == HIT["url"]


async def test_cancelling_keeps_what_was_found():
    waiting = asyncio.Event()

    def searcher(turn):
        if "second" in asked(turn):
            waiting.set()
            return [stall(600)]
        return found(HIT)

    from dragoman.application.runs import StartRun
    from dragoman.domain.identity import LOCAL

    async with desk(searcher=searcher, habit=Habit(at_once=1)) as app:
        runs = app.application.services.runs
        run = await runs.start(LOCAL, StartRun("research", "What is a dragoman?"))
        await asyncio.wait_for(waiting.wait(), WAIT)
        await runs.cancel(LOCAL, run.id, "now")
        ended = await runs.wait(LOCAL, run, WAIT)
    assert ended.status is RunStatus.CANCELLED
    assert [search["status"] for search in ended.final_output["searches"]] == ["done", "cancelled"]
    assert "It was a guide. [1]" in ended.final_output["markdown_report"]


async def test_sources_that_no_search_has_brought_are_not_in_the_report():
    claims = [
        {"title": "Made up", "url": "https://example.org/made-up", "quote": "x"},
        {"title": "Real", "url": HIT["url"], "quote": "It never said this."},
    ]
    async with desk(searcher=found(HIT, claims=claims), writer=written("One [1], two [2].")) as app:
        run = await asyncio.wait_for(ask(app), WAIT)
    assert [(source["url"], source["quote"]) for source in run.final_output["sources"]] == [(HIT["url"], "")]
    assert run.final_output["markdown_report"].startswith("One [1], two.")


@pytest.fixture
def prices():
    from dragoman.domain.prices import Price, Prices

    return Prices({"scripted": Price(Decimal(2), Decimal(8))})


async def test_an_option_that_nobody_knows_ends_the_run_in_a_sentence():
    async with desk() as app:
        run = await asyncio.wait_for(ask(app, speed="high"), WAIT)
    assert run.error is not None
    assert "speed" in run.error.message


async def test_a_run_that_was_finished_replays_from_its_log_without_a_difference():
    from dragoman.application.replay import replay

    async with desk(store=MemoryStore()) as app:
        run = await asyncio.wait_for(ask(app, session_id="s"), WAIT)
        replayed = await asyncio.wait_for(replay(app.application.services.player, run), WAIT)
    assert replayed.differences == ()
    assert replayed.answers == 6
    assert json.dumps(run.final_output)

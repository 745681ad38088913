"""The workbench: whatever a tool does, its call ends in something that a model can read."""

import asyncio
import threading
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from dragoman import ToolContext, ToolError, tool
from dragoman.application.tools import Call, ToolLimits, Workbench
from dragoman.domain.events import Progress
from dragoman.domain.identity import LOCAL
from dragoman.domain.runs import Run
from dragoman.ports.runtime import Turn

WAIT = 10.0


class Shown:
    """A recorder that keeps what was shown."""

    def __init__(self):
        self.events = []

    def show(self, event):
        self.events.append(event)

    def record(self, *_):
        raise NotImplementedError


RUN = Run(
    "run_1", "default", "local", "chat", "scripted", "conv_1", "s", (), datetime.now(UTC), context={"plan": "pro"}
)


def calling(used, arguments="{}", *, id="call_1", recorder=None):
    return Call(id, used, arguments, "chat", Turn(RUN, LOCAL, [], []), recorder or Shown())


@pytest.fixture
def bench():
    return Workbench(ToolLimits(timeout=WAIT, output=1000))


@dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("text", "text"),
        (None, "Done."),
        ({"a": "ü"}, '{"a": "ü"}'),
        (Point(1), '{"x": 1}'),
        (datetime(2026, 1, 2, tzinfo=UTC), '"2026-01-02 00:00:00+00:00"'),
        ({1}, "[1]"),
        ("a\0b\ud800", "a\ufffdb\ufffd"),
    ],
)
async def test_a_result_is_text_that_can_be_stored(bench, value, written):
    @tool
    async def give() -> object:
        """Give."""
        return value

    result = await bench.use(calling(give))
    assert (result.output, result.failed) == (written, False)


async def test_a_result_that_is_too_long_is_cut_and_says_so(bench):
    @tool
    async def flood() -> str:
        """Flood."""
        return "x" * 5_000_000

    output = (await bench.use(calling(flood))).output
    assert output == "x" * 1000 + "\n[Cut: these are the first 1,000 of 5,000,000 characters.]"


def circular():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize("fault", [RuntimeError("secret"), SystemExit(1), StopIteration(), TimeoutError(), None])
@pytest.mark.parametrize("blocking", [False, True])
async def test_a_fault_of_a_tool_is_told_without_its_words(bench, fault, blocking, caplog):
    def fail() -> object:
        """Fail."""
        if fault is None:
            return circular()
        raise fault

    async def fail_async() -> object:
        return fail()

    made = tool(fail) if blocking else tool(name="fail")(fail_async)
    result = await bench.use(calling(made))
    assert result.failed
    assert result.output == "fail failed. Trying again may help, else go on without it."
    assert "the tool fail failed" in caplog.text


async def test_a_tool_error_speaks_for_itself(bench):
    @tool
    async def refuse() -> str:
        """Refuse."""
        raise ToolError("Name a city.")

    result = await bench.use(calling(refuse))
    assert (result.output, result.failed) == ("Name a city.", True)


@pytest.mark.parametrize("arguments", ["{", "[]", "3", "null", "[" * 100_000])
async def test_arguments_that_are_no_object_are_not_taken(bench, arguments):
    @tool
    async def echo() -> str:
        """Echo."""
        return "never"

    result = await bench.use(calling(echo, arguments))
    assert (result.output, result.failed) == (
        "The arguments are not a JSON object. Correct them and call echo again.",
        True,
    )


async def test_a_tool_that_takes_too_long_is_stopped_and_told(bench):
    stopped = asyncio.Event()

    @tool(timeout=0.01)
    async def sleep() -> str:
        """Sleep."""
        try:
            await asyncio.sleep(WAIT)
        finally:
            stopped.set()
        return "never"

    result = await bench.use(calling(sleep))
    assert result.output == "sleep did not finish within 0.01 seconds. Whether it took effect is unknown."
    assert stopped.is_set()


async def test_a_plain_function_blocks_its_own_thread_only_and_learns_that_nobody_waits(bench):
    told = threading.Event()
    seen = []

    @tool(timeout=0.05)
    def block(context: ToolContext) -> str:
        """Block."""
        seen.append(threading.current_thread() is threading.main_thread())
        while not context.cancelled:
            told.wait(0.001)
        told.set()
        return "never"

    turns = asyncio.Event()
    asyncio.get_running_loop().call_soon(turns.set)
    result = await bench.use(calling(block))
    assert turns.is_set()
    assert result.failed
    assert await asyncio.to_thread(told.wait, WAIT)
    assert seen == [False]


async def test_no_more_calls_work_at_once_than_a_tool_allows(bench):
    working, most = 0, 0
    go = asyncio.Event()

    @tool(concurrency=2)
    async def work() -> str:
        """Work."""
        nonlocal working, most
        working += 1
        most = max(most, working)
        await go.wait()
        working -= 1
        return "ok"

    calls = [asyncio.create_task(bench.use(calling(work, id=f"call_{i}"))) for i in range(6)]
    while working < 2:
        await asyncio.sleep(0)
    go.set()
    results = await asyncio.wait_for(asyncio.gather(*calls), WAIT)
    assert most == 2
    assert {result.output for result in results} == {"ok"}


async def test_a_thread_that_nobody_waits_for_still_takes_its_place(bench):
    go = threading.Event()

    @tool(concurrency=1, timeout=0.02)
    def block() -> str:
        """Block."""
        go.wait(WAIT)
        return "ok"

    await bench.use(calling(block))
    busy = await bench.use(calling(block))
    assert busy.output == "block is busy with other calls. Try again later."
    go.set()
    async with asyncio.timeout(WAIT):
        while (await bench.use(calling(block))).failed:
            pass


async def test_a_tool_knows_its_call_and_says_where_it_is(bench):
    shown = Shown()

    @tool
    async def work(context: ToolContext, steps: int) -> dict[str, object]:
        """Work."""
        context.report("begun", 0, steps)
        return {
            "key": context.idempotency_key,
            "user": context.principal.user,
            "plan": context.context["plan"],
            "where": [context.agent, context.conversation_id, context.session_id],
        }

    result = await bench.use(calling(work, '{"steps": 3}', recorder=shown))
    assert result.output == (
        '{"key": "run_1/call_1", "user": "local", "plan": "pro", "where": ["chat", "conv_1", "s"]}'
    )
    assert shown.events == [Progress("work", "begun", 0, 3)]


async def test_progress_from_a_thread_comes_through_the_loop(bench):
    shown = Shown()

    @tool
    def work(context: ToolContext) -> str:
        """Work."""
        context.report("begun")
        return "ok"

    await bench.use(calling(work, recorder=shown))
    assert shown.events == [Progress("work", "begun")]


async def test_what_is_reported_after_the_end_is_not_heard(bench):
    shown = Shown()
    kept = []

    @tool
    async def work(context: ToolContext) -> str:
        """Work."""
        kept.append(context)
        return "ok"

    await bench.use(calling(work, recorder=shown))
    kept[0].report("still here")
    assert shown.events == []
    assert kept[0].cancelled


async def test_a_cancelled_call_cancels_its_function(bench):
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

    task = asyncio.create_task(bench.use(calling(work)))
    await asyncio.wait_for(begun.wait(), WAIT)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()

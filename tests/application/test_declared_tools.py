"""Functions of the caller's: the call goes to the caller, its output comes with a later message."""

import pytest

from dragoman.adapters.sql import SqliteEngine, SqlStore
from dragoman.application.runs import StartRun
from dragoman.domain.errors import Invalid
from dragoman.domain.identity import LOCAL
from dragoman.domain.items import UNANSWERED, message, tool_output
from dragoman.domain.memory import Memory as Budget
from dragoman.domain.runs import RunOptions, RunStatus
from dragoman.domain.tools import DeclaredTool
from dragoman.providers.scripted.script import call, say, together
from tests.surfaces.house import house

LIGHT = RunOptions(tools=(DeclaredTool("light"),))


class Memory:
    """Scripts that call ``light`` once, and keep what each turn was told."""

    def __init__(self):
        self.told = []

    def __call__(self, turn):
        self.told.append([*turn.history, *turn.input])
        if len(self.told) == 1:
            return [together(call("light", {"on": True}), call("clock", returns="noon")), say("never said")]
        return [say("Good.")]


async def run(at, given, **options):
    start = StartRun("chat", given, "s", options=RunOptions(**options) if options else LIGHT)
    return await at.services.runs.wait(LOCAL, await at.services.runs.start(LOCAL, start))


def shape(contents):
    return [item.get("name") or item.get("output") or item["role"] for item in contents]


async def items(at):
    page = await at.services.conversations.page(LOCAL, "s", limit=50)
    return [item.content for item in page.items]


@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_the_output_that_a_later_message_brings_is_put_behind_its_call(tmp_path, store):
    memory = Memory()
    store = SqlStore(SqliteEngine(tmp_path / "d.db")) if store == "sqlite" else None
    async with house({"chat": memory}, store=store) as at:
        first = await run(at, "Light!")
        kept = await items(at)
        answer = tool_output(kept[1]["call_id"], "it is bright")
        second = await run(at, [message("user", "Well?"), answer])

    assert first.status is second.status is RunStatus.COMPLETED
    assert shape(kept) == ["user", "light", "clock", "noon"]
    assert shape(memory.told[1]) == ["user", "light", "clock", "noon", "it is bright", "user"]


async def test_a_call_that_nobody_answers_harms_no_later_turn_and_may_be_answered_late():
    memory = Memory()
    async with house({"chat": memory}) as at:
        await run(at, "Light!")
        await run(at, "Forget it.")
        light = (await items(at))[1]
        await run(at, [tool_output(light["call_id"], "it is bright")])
        await run(at, "Thanks.")

    before = ["user", "light"]
    assert shape(memory.told[1]) == [*before, UNANSWERED, "clock", "noon", "user"]
    assert shape(memory.told[2]) == [*before, "clock", "noon", "it is bright", "user", "assistant"]
    assert shape(memory.told[3])[:7] == [*before, "clock", "noon", "it is bright", "user", "assistant"]


async def test_a_history_that_is_cut_short_still_holds_the_call_that_is_answered():
    memory = Memory()
    async with house({"chat": memory}) as at:
        await run(at, "Light!")
        light = (await items(at))[1]
        await run(at, [tool_output(light["call_id"], "it is bright")], history=Budget(limit=0))

    assert "it is bright" in shape(memory.told[1])


async def test_an_output_of_no_call_is_an_error_and_not_ignored():
    async with house({"chat": Memory()}) as at:
        ended = await run(at, [tool_output("call_nobody", "?")])

    assert ended.status is RunStatus.FAILED
    assert ended.error.code == Invalid.code
    assert "call_nobody" in ended.error.message


@pytest.mark.parametrize("names", [["two words"], [""], ["a", "a"], [f"t{n}" for n in range(129)]])
async def test_tools_that_cannot_be_are_refused(names):
    async with house({"chat": Memory()}) as at:
        with pytest.raises(Invalid):
            await run(at, "Hi", tools=tuple(DeclaredTool(name) for name in names))


@pytest.mark.parametrize(
    "item",
    [
        {"type": "function_call", "call_id": "c", "name": "f"},
        {"type": "function_call", "call_id": "", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": 7},
        {"type": "computer_call"},
    ],
)
async def test_items_that_make_no_sense_are_refused(item):
    async with house({"chat": Memory()}) as at:
        with pytest.raises(Invalid):
            await run(at, [item])

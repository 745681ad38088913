"""A run taken up again from its log: what is there is not asked again, not done again and not written again."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from agents import Agent, Model, ModelResponse, function_tool
from agents.mcp import MCPServer
from agents.testing import assistant_message, function_call
from agents.tool import ToolOutputImage, ToolOutputText
from agents.tool_context import ToolContext
from mcp.types import CallToolResult, TextContent
from mcp.types import Tool as McpTool
from openai.types.responses import ResponseCompletedEvent

from dragoman.domain.errors import ReplayDiverged
from dragoman.domain.events import Delta, Event, ItemDone, ModelAnswered, Progress
from dragoman.domain.journal import journal_of
from dragoman.providers.openai.agents.models import output
from tests.providers.openai.stage import stage

WEATHER = {"temperature": 21}


class Rules(Model):
    """Answers by how many outputs it has seen, which every attempt sees alike. Counts how often it is asked."""

    def __init__(self, answers: dict[int, list[Any]]) -> None:
        self.answers = answers
        self.asked = 0

    async def stream_response(self, _system: Any, input: Any, *_: Any, **__: Any) -> AsyncIterator[Any]:
        self.asked += 1
        seen = 0 if isinstance(input, str) else sum("output" in item for item in input)
        response = output.response(self.answers[seen], output.usage(1, 1), id="resp_1")
        yield ResponseCompletedEvent(response=response, type="response.completed", sequence_number=0)

    async def get_response(self, *args: Any, **named: Any) -> ModelResponse:
        raise NotImplementedError


class Company:
    """A house of agents with every kind of step, and a count of what its tools did. Made anew for every attempt."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.keys: list[str] = []

        @function_tool
        async def pay(ctx: ToolContext[Any], amount: int) -> str:
            self.did.append(f"pay {amount}")
            self.keys.append(ctx.context.idempotency_key(ctx.tool_call_id))
            return f"paid {amount}"

        @function_tool
        async def picture() -> list[Any]:
            self.did.append("picture")
            return [ToolOutputText(text="a cat"), ToolOutputImage(image_url="data:image/png;base64,AA==")]

        @function_tool
        async def broken() -> str:
            self.did.append("broken")
            raise RuntimeError("secret")

        self.clerk = Agent(
            name="Clerk",
            model=Rules({0: [function_call("pay", {"amount": 3}, call_id="n1")], 1: [assistant_message("booked")]}),
            tools=[pay],
        )
        self.closer = Agent(
            name="Closer",  # it sees what the boss has seen
            model=Rules({5: [function_call("pay", {"amount": 4}, call_id="c6")], 6: [assistant_message("bye")]}),
            tools=[pay],
        )
        ask, fail = (
            function_call("ask_clerk", {"input": "book"}, call_id="c3"),
            function_call("broken", {}, call_id="c4"),
        )
        self.boss = Agent(
            name="Boss",
            model=Rules(
                {
                    0: [function_call("pay", {"amount": 1}, call_id="c1"), function_call("picture", {}, call_id="c2")],
                    2: [ask, fail],
                    4: [function_call("transfer_to_closer", {}, call_id="c5")],
                }
            ),
            tools=[pay, picture, broken, self.clerk.as_tool("ask_clerk", "Ask the clerk.")],
            handoffs=[self.closer],
        )

    @property
    def asked(self) -> int:
        return sum(agent.model.asked for agent in (self.boss, self.clerk, self.closer))


def lasting(events: list[Event]) -> list[Event]:
    """What finishes something; deltas and progress are for those who watch."""
    return [event for event in events if not isinstance(event, Delta | Progress)]


def content(events: list[Event]) -> list[str]:
    """What is in a log, whatever order side by side tools ended in."""
    return sorted(repr(_timeless(event)) for event in lasting(events))


def _timeless(event: Event) -> Event:
    return replace(event, latency_ms=0) if isinstance(event, ModelAnswered) else event


async def perform(earlier: list[Event]) -> tuple[Company, Any]:
    company = Company()
    async with stage(company.boss, company.closer) as theatre:
        played = await theatre.play("boss", "Go", journal=journal_of(earlier))
    return company, played


def whole_steps(events: list[Event], cut: int) -> list[Event]:
    """A log as it may stand after a crash: an answer is stored with its items, or not at all."""
    kept = list(events[:cut])
    while kept and isinstance(kept[-1], ItemDone) and kept[-1].name not in ("tool_output", "handoff_occurred"):
        kept.pop()
    return kept


async def test_wherever_it_was_cut_a_run_ends_the_same_and_does_nothing_twice() -> None:
    company, played = await perform([])
    log = lasting(played.events)
    assert played.outcome.final_output == "bye"
    assert sorted(company.did) == ["broken", "pay 1", "pay 3", "pay 4", "picture"]
    for cut in range(len(log) + 1):
        earlier = whole_steps(log, cut)
        again, replayed = await perform(earlier)
        assert replayed.outcome.final_output == "bye"
        assert content([*earlier, *replayed.events]) == content(log), f"cut at {cut}"
        answered = sum(isinstance(event, ModelAnswered) for event in earlier)
        assert again.asked == company.asked - answered, f"cut at {cut}"
        finished = {e.item["call_id"] for e in earlier if isinstance(e, ItemDone) and e.name == "tool_output"}
        did_before = len(finished - {"c3"})  # the clerk is an agent: what it does, its tools do
        assert len(again.did) == len(company.did) - did_before, f"cut at {cut}"


async def test_a_finished_run_replays_without_asking_anybody() -> None:
    _, played = await perform([])
    again, replayed = await perform(lasting(played.events))
    assert (again.asked, again.did, replayed.events) == (0, [], [])


async def test_a_call_that_was_in_flight_is_made_again_with_the_same_key() -> None:
    first, played = await perform([])
    answer = lasting(played.events)[:3]
    again, _ = await perform(answer)
    assert [type(event) for event in answer[-1:]] == [ModelAnswered]
    assert set(again.keys) == set(first.keys)


async def test_an_agent_that_lost_a_tool_it_has_used_cannot_go_on() -> None:
    _, played = await perform([])
    company = Company()
    company.boss.tools = company.boss.tools[1:]
    async with stage(company.boss, company.closer) as theatre:
        played = await theatre.play("boss", "Go", journal=journal_of(lasting(played.events)[:6]))
    assert isinstance(played.error, ReplayDiverged)
    assert company.did == []


async def test_an_agent_that_hands_over_to_nobody_any_more_cannot_go_on() -> None:
    _, played = await perform([])
    company = Company()
    other = Agent(name="Other", model=company.boss.model)
    async with stage(other) as theatre:
        played = await theatre.play("other", "Go", journal=journal_of(lasting(played.events)))
    assert isinstance(played.error, ReplayDiverged)


async def test_divergence_inside_a_nested_agent_ends_the_whole_run() -> None:
    _, played = await perform([])
    company = Company()
    company.clerk.tools = []
    log = lasting(played.events)
    nested = next(i for i, e in enumerate(log) if isinstance(e, ItemDone) and e.path and e.name == "tool_output")
    async with stage(company.boss, company.closer) as theatre:
        played = await theatre.play("boss", "Go", journal=journal_of(log[: nested + 1]))
    assert isinstance(played.error, ReplayDiverged)


class Shop(MCPServer):
    """A server of tools, in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    name = "shop"

    async def connect(self) -> None: ...

    async def cleanup(self) -> None: ...

    async def list_tools(self, *_: Any, **__: Any) -> list[McpTool]:
        return [McpTool(name="buy", description="Buy.", inputSchema={"type": "object", "properties": {}})]

    async def call_tool(self, *_: Any, **__: Any) -> CallToolResult:
        self.calls += 1
        return CallToolResult(content=[TextContent(type="text", text="bought")])

    async def list_prompts(self) -> Any: ...

    async def get_prompt(self, *_: Any, **__: Any) -> Any: ...


async def test_a_finished_call_of_an_mcp_server_is_not_made_again() -> None:
    def shopper(shop: Shop) -> Agent:
        model = Rules({0: [function_call("buy", {}, call_id="c1")], 1: [assistant_message("done")]})
        return Agent(name="Ann", model=model, mcp_servers=[shop])

    first, second = Shop(), Shop()
    async with stage(shopper(first)) as theatre:
        played = await theatre.play("ann", "Buy")
    assert first.calls == 1
    async with stage(shopper(second)) as theatre:
        replayed = await theatre.play("ann", "Buy", journal=journal_of(lasting(played.events)[:3]))
    assert second.calls == 0
    assert replayed.outcome.final_output == "done"

"""Agents of the provider: declared or given, by key, with a card each."""

import gc

import pytest
from agents import Agent, ModelSettings, WebSearchTool, function_tool, handoff
from agents.retry import ModelRetrySettings
from agents.testing import ScriptedModel
from openai.types.shared import Reasoning

from dragoman.agents import BUILTIN
from dragoman.domain.agents import AgentSpec, ToolCard
from dragoman.domain.errors import Invalid, ModelRefused, NotFound
from dragoman.providers.openai import DemoSettings, ModelEndpoint, build_openai_provider
from dragoman.providers.openai.agents.registry import by_key
from tests.providers.openai.stage import TOOLS, stage


def build(*agents, **named):
    named = {"demo": DemoSettings(0), **named}
    return build_openai_provider(agents=by_key(agents), tools=TOOLS, **named)


@function_tool
def add(a: int, b: int) -> str:
    """Add two numbers."""
    return str(a + b)


def test_the_built_in_agents_have_cards():
    cards = build(*BUILTIN).agents
    assert list(cards) == ["assistant", "chat", "general", "career", "health", "relationship", "triage"]
    assert [tool.name for tool in cards["assistant"].tools] == ["calculate", "current_time"]
    assert cards["assistant"].model == "demo"
    assert cards["assistant"].provider == "openai"
    assert cards["assistant"].instructions.startswith("You are")


def test_a_card_tells_what_an_agent_can_do():
    ben = Agent(name="Ben")
    ann = Agent(
        name="Math Ann",
        handoff_description="Knows math.",
        instructions=lambda *_: "computed",
        model=ScriptedModel(),
        tools=[add, WebSearchTool()],
        handoffs=[ben, handoff(Agent(name="Cid"))],
        output_type=int,
    )
    card = build(ann, ben).agents["math_ann"]
    assert (card.name, card.description, card.model, card.instructions) == (
        "Math Ann",
        "Knows math.",
        "ScriptedModel",
        None,
    )
    assert card.tools == (ToolCard("add", "Add two numbers.", add.params_json_schema), ToolCard("web_search"))
    assert card.handoffs == ("ben", "Cid")
    assert card.capabilities["structured_output"]


def test_specifications_hand_over_by_key_even_in_circles():
    a = AgentSpec("a", "A", "", handoffs=("b",))
    b = AgentSpec("b", "B", "", handoffs=("a",))
    cards = build(a, b).agents
    assert cards["a"].handoffs == ("b",)
    assert cards["b"].handoffs == ("a",)


def test_what_does_not_exist_is_refused_at_the_start():
    with pytest.raises(Invalid, match="hands over to 'nobody'"):
        build(AgentSpec("a", "A", "", handoffs=("nobody",)))
    with pytest.raises(NotFound):
        build(AgentSpec("a", "A", "", tools=("nothing",)))
    with pytest.raises(Invalid, match="Two agents have the key 'a'"):
        build(Agent(name="A"), AgentSpec("a", "A", ""))


async def test_without_any_model_an_agent_cannot_speak():
    async with stage(Agent(name="Ann"), demo=False) as theatre:
        played = await theatre.play("ann", "Hi")
    assert isinstance(played.error, ModelRefused)


def test_an_agent_without_a_model_gets_the_configured_one():
    provider = build(Agent(name="Ann"), Agent(name="Ben", model="other"), endpoint=ModelEndpoint(), model="gpt-4o")
    assert [card.model for card in provider.agents.values()] == ["gpt-4o", "other"]


@pytest.mark.parametrize(
    ("agent", "settings"),
    [
        (Agent(name="Ann"), ModelSettings(include_usage=True)),  # nothing that only the SDK's default model understands
        (
            Agent(name="Ann", model_settings=ModelSettings(temperature=1, retry=ModelRetrySettings(max_retries=3))),
            ModelSettings(temperature=1, include_usage=True),
        ),
        (
            Agent(name="Ann", model_settings=ModelSettings(reasoning=Reasoning(effort="high"), include_usage=False)),
            ModelSettings(reasoning=Reasoning(effort="high"), include_usage=False),
        ),
    ],
)
def test_settings_fit_the_model_that_answers_and_retry_nothing(agent, settings):
    provider = build(agent, endpoint=ModelEndpoint("http://127.0.0.1:9/v1"), model="llama")
    assert provider.runtime.graph["ann"].model_settings == settings


async def test_starting_the_provider_leaves_nobody_to_send_traces_to():
    from agents import trace
    from agents.tracing import get_trace_provider

    async with stage(Agent(name="Ann")):
        assert get_trace_provider()._multi_processor._processors == ()
        with trace("nobody hears this"):
            pass


async def test_an_agent_that_a_tool_made_for_itself_is_not_kept():
    async with stage(Agent(name="Ann")) as theatre:
        graph = theatre.provider.runtime.graph
        graph.clone(Agent(name="Passing"))
        gc.collect()
        assert graph._clones == {}
        assert graph._originals == {}

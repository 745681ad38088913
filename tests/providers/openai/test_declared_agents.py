"""What only models see of a declared agent: its instructions, and how they are asked."""

from datetime import UTC, datetime

from agents import Agent, ModelSettings
from agents.testing import ScriptedModel, assistant_message, function_call

from dragoman.domain.agents import AgentSpec
from dragoman.domain.events import AgentUpdated
from dragoman.domain.runs import ModelChoices
from dragoman.providers.openai.agents.registry import sdk_agents
from dragoman.tools import BuiltinTools
from tests.providers.openai.stage import stage


def made(*specs):
    return sdk_agents({one.key: one for one in specs}, BuiltinTools())


async def test_a_template_is_filled_with_what_the_run_was_kept_with():
    spec = AgentSpec(
        "ann", "Ann", template="{user} of {tenant} asks {agent} on {date}, {weekday} {time}: {context.plan} {{x}}",
        context={"plan": "free"},
    )  # fmt: skip
    model = ScriptedModel([[assistant_message("hello")], [assistant_message("hello")]])
    agent = made(spec)["ann"]
    agent.model = model
    async with stage(agent) as theatre:
        await theatre.play("ann", "Hello", context={"plan": "pro"}, created_at=datetime(2026, 3, 1, 9, 5, tzinfo=UTC))
        await theatre.play("ann", "Hello", created_at=datetime(2026, 3, 1, 9, 5, tzinfo=UTC))
    told = [call.system_instructions for call in model.calls]
    assert told == [
        "local of default asks ann on 2026-03-01, Sunday 09:05: pro {x}",
        "local of default asks ann on 2026-03-01, Sunday 09:05: free {x}",
    ]


def test_model_settings_are_the_sdks():
    settings = made(AgentSpec("ann", "Ann", settings=ModelChoices(temperature=0.2, max_output_tokens=50)))["ann"]
    assert settings.model_settings.temperature == 0.2
    assert settings.model_settings.max_tokens == 50
    assert made(AgentSpec("ben", "Ben"))["ben"].model_settings == Agent(name="Ben").model_settings
    assert isinstance(settings.model_settings, ModelSettings)


async def test_an_agent_of_the_sdk_may_hand_over_to_a_specification_by_its_key():
    desk = Agent(
        name="Desk",
        handoffs=["clerk"],
        model=ScriptedModel([[function_call("transfer_to_the_clerk", {}, call_id="h")]]),
    )
    async with stage(desk, AgentSpec("clerk", "The clerk")) as theatre:
        played = await theatre.play("desk", "Hello")
    (update,) = played.of(AgentUpdated)
    assert (update.previous, update.agent) == ("desk", "clerk")
    assert played.outcome.final_output

"""The examples are plain Agents SDK: they run without us, with the SDK's own session, and with us."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest
from agents import Agent, RunConfig, Runner, SQLiteSession
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call

from tests.providers.openai.stage import stage

EXAMPLES = Path(__file__).parents[2] / "examples"
QUIET = RunConfig(tracing_disabled=True)


def load(path):
    """Import an example as anybody would who has its folder on the path, without putting it there."""
    name = f"example_{path.stem}"
    where = path / "__init__.py" if path.is_dir() else path
    spec = importlib.util.spec_from_file_location(
        name, where, submodule_search_locations=[str(path)] if path.is_dir() else None
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def weather():
    return load(EXAMPLES / "weather.py")


@pytest.fixture(scope="module")
def homework():
    return load(EXAMPLES / "math_tutor")


def speaking(agent, *steps):
    return agent.clone(model=ScriptedModel(steps))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_no_example_needs_us():
    files = list(EXAMPLES.rglob("*.py"))
    assert len(files) >= 3
    assert not [path for path in files if any(name.split(".")[0] == "dragoman" for name in imports(path))]


async def test_the_weather_agent_runs_by_itself_and_remembers_in_the_sdks_session(weather, tmp_path):
    agent = speaking(
        weather.weather,
        [function_call("get_weather", {"city": "Paris"}, call_id="c")],
        ModelStep.respond(lambda call: [assistant_message(call.input[-1]["output"])]),
        ModelStep.respond(lambda call: [assistant_message(f"{len(call.input)} items")]),
    )
    session = SQLiteSession("sarah", tmp_path / "session.db")
    try:
        first = await Runner.run(agent, "Weather in Paris?", session=session, run_config=QUIET)
        second = await Runner.run(agent, "And now?", session=session, run_config=QUIET)
    finally:
        session.close()
    assert first.final_output == "Paris: cloudy, 14 °C"
    assert second.final_output == "5 items"


async def test_the_homework_desk_hands_over_by_itself(homework):
    tutor = speaking(
        homework.math_tutor,
        [function_call("solve_quadratic", {"a": 1, "b": -3, "c": 2}, call_id="c")],
        ModelStep.respond(lambda call: [assistant_message(call.input[-1]["output"])]),
    )
    desk = homework.homework_desk.clone(
        handoffs=[tutor], model=ScriptedModel([[function_call("transfer_to_math_tutor", {}, call_id="h")]])
    )
    result = await Runner.run(desk, "Solve x**2 - 3x + 2 = 0", run_config=QUIET)
    assert result.final_output == "x = 1 and x = 2"
    assert result.last_agent is tutor


async def test_the_weather_agent_is_served_with_the_demo_model(weather):
    async with stage(weather.weather) as theatre:
        played = await theatre.play("weather", "What is the weather in Cairo?")
    assert played.outcome.final_output.endswith("Cairo: sunny, 31 °C")


async def test_the_packing_adviser_asks_the_weather_agent_inside_its_tool(weather):
    async with stage(weather.packing) as theatre:
        played = await theatre.play("packing_adviser", "What to take along for the weather in Oslo?")
    assert weather.Report.model_validate(played.outcome.final_output)
    nested = [item for item in played.items if item.path]
    assert [item.name for item in nested] == ["tool_called", "tool_output", "message_output_created"]


async def test_the_homework_desk_is_served_and_hands_over(homework):
    agents = [value for value in vars(homework).values() if isinstance(value, Agent)]
    async with stage(*agents) as theatre:
        assert set(theatre.provider.agents) == {"homework_desk", "math_tutor", "writing_coach"}
        played = await theatre.play("homework_desk", "Math: what are the prime factors of 84?")
    assert "homework_desk -> math_tutor" in played.story
    assert played.outcome.final_output.endswith("prime_factors says: 2 × 2 × 3 × 7")

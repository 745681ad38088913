"""The tools over HTTP."""

from dragoman import tool
from dragoman.sources import find
from dragoman.testing import app_with, call, say
from tests.surfaces.house import house


@tool(timeout=5, concurrency=3)
async def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"sunny in {city}"


async def test_a_tool_is_listed_with_its_schema_its_limits_and_its_agents():
    async with house(tools=[weather]) as given:
        answer = await given.client.get("/tools")
    assert answer.status_code == 200
    listed = {one["name"]: one for one in answer.json()["tools"]}
    assert sorted(listed) == ["calculate", "current_time", "weather"]
    assert listed["weather"] == {
        "name": "weather",
        "description": "Tell the weather in a city.",
        "parameters": weather.parameters,
        "needs_approval": "never",
        "timeout": 5,
        "concurrency": 3,
        "agents": [],
    }
    assert listed["calculate"]["timeout"] == 120.0


async def test_scripts_call_tools_that_an_application_brings():
    app = app_with({"guide": [call("weather", {"city": "Rome"}), say("Sunny!")]}, tools=[weather])
    async with app:
        run = await app.run("guide", "Hello")
    assert run.final_output == "Sunny!"


def test_a_python_file_brings_its_tools(tmp_path):
    path = tmp_path / "brought.py"
    path.write_text(
        "from dragoman import tool\nfrom dragoman.tools import calculate\n\n\n"
        "@tool\nasync def shout(text: str) -> str:\n    return text.upper()\n"
    )
    found = find([str(path)])
    assert [one.name for one in found.tools] == ["shout"]
    assert found.agents == []

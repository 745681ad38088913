"""An agent with one tool and a structured answer. Plain Agents SDK.

Run it by itself with ``python examples/weather.py "Weather in Paris?"``, or serve it with
``dragoman serve examples/weather.py``.
"""

import sys
from typing import Literal

from agents import Agent, Runner, function_tool
from pydantic import BaseModel

CLIMATE = {"paris": ("cloudy", 14), "cairo": ("sunny", 31), "oslo": ("snowy", -3), "london": ("rainy", 11)}


class Report(BaseModel):
    """What the agent answers with."""

    city: str
    summary: str
    take: Literal["an umbrella", "sunglasses", "a warm coat", "nothing"]


@function_tool
def get_weather(city: str) -> str:
    """Get the current weather of a city.

    Args:
        city: The city's name, in English.
    """
    sky, degrees = CLIMATE.get(city.lower(), ("clear", 20))
    return f"{city}: {sky}, {degrees} °C"


weather = Agent(
    name="Weather",
    handoff_description="Knows the weather of any city.",
    instructions="Answer questions about the weather. Always ask your tool; never guess.",
    tools=[get_weather],
)

packing = Agent(
    name="Packing Adviser",
    handoff_description="Says what to take along for the weather of a city.",
    instructions="Ask the weather agent about the city, then say what to take along.",
    tools=[weather.as_tool("ask_weather", "Ask about the weather of a city.")],
    output_type=Report,
)


if __name__ == "__main__":
    print(Runner.run_sync(weather, " ".join(sys.argv[1:]) or "What is the weather in Paris?").final_output)

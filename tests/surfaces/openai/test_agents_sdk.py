"""The Agents SDK as a client: its sessions keep what was said in conversations of this server."""

from agents import Agent, OpenAIConversationsSession, OpenAIResponsesModel, RunConfig, Runner, function_tool

from dragoman.providers.scripted.script import call, say
from tests.surfaces.house import house
from tests.surfaces.openai.clients import official


@function_tool
def weather(city: str) -> str:
    """Tell the weather in a city."""
    return f"Snow in {city}"


def play(turn):
    """Calls the tool once, then says what came back."""
    last = turn.run.input[-1]
    return [say(last["output"])] if "output" in last else [call("weather", {"city": "Oslo"})]


async def test_a_session_is_a_conversation_of_this_server():
    async with house({"chat": play}) as at:
        client = official(at)
        session = OpenAIConversationsSession(openai_client=client)
        agent = Agent(name="Ann", model=OpenAIResponsesModel("chat", client), tools=[weather])
        config = RunConfig(tracing_disabled=True)
        for _ in range(2):
            result = await Runner.run(agent, "Weather in Oslo?", session=session, run_config=config)
            assert result.final_output == "Snow in Oslo"
        kinds = [item["type"] for item in await session.get_items()]
        native = await at.client.get(f"/conversations/{session.session_id}/items")
        popped = await session.pop_item()
        newest = await session.get_items(limit=2)
        id = session.session_id
        await session.clear_session()
        gone = await at.client.get(f"/conversations/{id}")
    assert kinds == ["message", "function_call", "function_call_output", "message"] * 2
    assert [item["type"] for item in native.json()["items"]] == kinds
    assert popped["type"] == "message"
    assert [item["type"] for item in newest] == ["function_call", "function_call_output"]
    assert gone.status_code == 404

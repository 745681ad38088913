"""What goes over the wire: the same as the SDK's models send, for whatever an agent is made of."""

import pytest
from agents import Agent, FileSearchTool, ModelSettings, WebSearchTool, function_tool, handoff
from agents.agent_output import AgentOutputSchema
from agents.models.fake_id import FAKE_RESPONSES_ID
from openai.types.shared import Reasoning
from pydantic import BaseModel

from dragoman.domain.errors import ModelRefused
from dragoman.providers.openai.agents.models.history import OMITTED
from tests.providers.openai.models.asking import Ear, model_at, request
from tests.providers.openai.models.server import Server, chunk, events, reply
from tests.providers.openai.models.test_dialogues import LAST


class Invoice(BaseModel):
    number: str
    total: float


@function_tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return city


@function_tool(strict_mode=False)
def anything(options: dict[str, str]) -> str:
    return str(options)


def user(*parts):
    return {"type": "message", "role": "user", "content": list(parts)}


def said(*texts):
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in texts]
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": parts}


def called(call_id, arguments="{}", **more):
    return {"type": "function_call", "call_id": call_id, "name": "get_weather", "arguments": arguments, **more}


def answered(call_id, output):
    return {"type": "function_call_output", "call_id": call_id, "output": output}


REQUESTS = {
    "text": request("Hi"),
    "without instructions": request("Hi", system_instructions=None),
    "every setting": request(
        "Hi",
        ModelSettings(
            temperature=0.0,
            top_p=0.5,
            max_tokens=100,
            reasoning=Reasoning(effort="low"),
            verbosity="low",
            metadata={"a": "b"},
            store=False,
            include_usage=True,
            top_logprobs=2,
            prompt_cache_retention="24h",
            extra_body={"top_k": 5, "temperature": 0.1},
            extra_args={"safety_identifier": "u"},
        ),
    ),
    "tools and hand-offs": request(
        "Hi",
        ModelSettings(tool_choice="required", parallel_tool_calls=False),
        tools=[get_weather, anything],
        handoffs=[handoff(Agent(name="Bob", handoff_description="Knows more"))],
    ),
    "one tool by name": request("Hi", ModelSettings(tool_choice="get_weather"), tools=[get_weather]),
    "no tools, but a choice about them": request("Hi", ModelSettings(parallel_tool_calls=True)),
    "structured output": request("Hi", output_schema=AgentOutputSchema(Invoice)),
    "structured output, not strict": request("Hi", output_schema=AgentOutputSchema(Invoice, strict_json_schema=False)),
    "a conversation": request(
        [
            {"role": "system", "content": "Earlier."},
            {"role": "developer", "content": [{"type": "input_text", "text": "Be brief."}]},
            {"role": "user", "content": "Weather?"},
            said("Let me", "look."),
            called("c1", '{"city":"Rome"}', id=FAKE_RESPONSES_ID),
            called("c2", ""),
            answered("c1", "21"),
            answered("c2", [{"type": "input_text", "text": "22"}]),
            said("Fine."),
            {"role": "assistant", "content": "And you?"},
            {"role": "user", "content": "Thanks"},
        ]
    ),
    "calls before the text of the same answer": request(
        [{"role": "user", "content": "?"}, called("c1"), said("Hm."), answered("c1", "1")]
    ),
    "a refusal": request(
        [
            {"role": "user", "content": "?"},
            {**said(), "content": [{"type": "refusal", "refusal": "No."}]},
            {"role": "user", "content": "!"},
        ]
    ),
    "images and files": request(
        [
            user(
                {"type": "input_text", "text": "What is this?"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
                {"type": "input_image", "image_url": "https://example.org/a.png", "detail": "auto"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,AAAA", "filename": "a.pdf"},
                {"type": "input_file", "file_id": "file-1"},
            )
        ]
    ),
    "reasoning of the turn": request(
        [
            {"role": "user", "content": "?"},
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [{"type": "summary_text", "text": "Hm."}],
                "encrypted_content": "x",
            },
            called("c1"),
            answered("c1", "1"),
        ]
    ),
}
ONLY_IN_RESPONSES = {
    "hosted tools": request(
        "Hi",
        ModelSettings(response_include=["web_search_call.action.sources"]),
        tools=[WebSearchTool(), FileSearchTool(vector_store_ids=["vs_1"], include_search_results=True), get_weather],
    ),
    "a prompt kept at the endpoint": request("Hi", prompt={"id": "pmpt_1"}),
    "server-side state": request("Hi", ModelSettings(truncation="auto"), previous_response_id="resp_1"),
    "a hosted tool's item": request(
        [
            {"role": "user", "content": "?"},
            {
                "type": "web_search_call",
                "id": "ws_1",
                "status": "completed",
                "action": {"type": "search", "query": "q"},
            },
            said("Found."),
            {"role": "user", "content": "!"},
        ]
    ),
}
ASKED = {
    **{f"chat: {name}": ("chat", asked) for name, asked in REQUESTS.items()},
    **{f"responses: {name}": ("responses", asked) for name, asked in (REQUESTS | ONLY_IN_RESPONSES).items()},
}


async def sent(dialect, asked, client):
    async with Server(LAST[dialect]) as server, model_at(server.endpoint(dialect, client=client)) as model:
        await model.answer(asked, Ear())
    (heard,) = server.asked
    return heard


def tidy(body):
    """Without what makes no difference."""
    body = {name: value for name, value in body.items() if value is not None and value != []}
    if "include" in body:
        body["include"] = sorted(body["include"])
    if "messages" in body:
        body["messages"] = [{k: v for k, v in m.items() if v is not None} for m in body["messages"]]
    return body


@pytest.mark.parametrize("name", ASKED)
async def test_both_clients_ask_the_same(name):
    dialect, asked = ASKED[name]
    ours, theirs = await sent(dialect, asked, "fast"), await sent(dialect, asked, "sdk")
    assert tidy(ours.body) == tidy(theirs.body)
    assert ours.path == theirs.path


@pytest.mark.parametrize("client", ["fast", "sdk"])
@pytest.mark.parametrize("dialect", ["chat", "responses"])
async def test_headers_and_query_come_from_endpoint_and_settings(dialect, client):
    settings = ModelSettings(extra_headers={"X-Title": "Mine", "X-More": "1"}, extra_query={"deep": True})
    more = {"headers": {"X-Title": "Ours", "api-key": "k"}, "query": {"api-version": "2025-04-01"}}
    async with Server(LAST[dialect]) as server:
        async with model_at(server.endpoint(dialect, client=client, **more)) as model:
            await model.answer(request("Hi", settings), Ear())
    (asked,) = server.asked
    assert {name: asked.headers[name] for name in ("x-title", "x-more", "api-key", "authorization")} == {
        "x-title": "Mine",
        "x-more": "1",
        "api-key": "k",
        "authorization": "Bearer key",
    }
    assert sorted(asked.path.partition("?")[2].split("&")) == ["api-version=2025-04-01", "deep=true"]


async def test_a_header_without_a_value_is_left_out():
    async with Server(LAST["chat"]) as server, model_at(server.endpoint()) as model:
        await model.answer(request("Hi", ModelSettings(extra_headers={"authorization": None})), Ear())
    assert "authorization" not in server.asked[0].headers


async def test_thoughts_go_back_to_the_model_that_wants_them():
    told = {"model": "m", "response_id": "r", "_chat_completions_reasoning_field": "reasoning"}
    thought = {
        "type": "reasoning",
        "summary": [],
        "content": [{"type": "reasoning_text", "text": "Hm."}],
        "provider_data": told,
    }
    asked = request([{"role": "user", "content": "?"}, thought, called("c1"), answered("c1", "1")])
    ours, theirs = await sent("chat", asked, "fast"), await sent("chat", asked, "sdk")
    assert ours.body["messages"] == theirs.body["messages"]
    assert ours.body["messages"][2]["reasoning"] == "Hm."


# Where ours asks and theirs gives up: no history may make a later turn fail -------------------------------------------


@pytest.mark.parametrize(
    ("items", "messages"),
    [
        (
            [{"type": "web_search_call", "id": "ws_1", "status": "completed"}, said("Found.")],
            [{"role": "assistant", "content": "Found."}],
        ),
        (
            [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}],
            [{"role": "assistant", "content": "Hi"}],
        ),
        (
            [called("c1"), answered("c1", [{"type": "input_image", "image_url": "data:,"}])],
            [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
                    ],
                },
                {"role": "tool", "tool_call_id": "c1", "content": OMITTED},
            ],
        ),
    ],
)
async def test_items_of_another_dialect_are_told_as_far_as_this_one_can(items, messages):
    asked = await sent("chat", request(items, system_instructions=None), "fast")
    assert asked.body["messages"] == messages


@pytest.mark.parametrize(
    "asked",
    [
        request([user({"type": "input_image", "file_id": "f"})]),
        request([user({"type": "input_file", "file_url": "https://example.org"})]),
        request([user({"type": "hologram"})]),
        request("Hi", ModelSettings(max_tokens=1, extra_args={"max_tokens": 2})),
    ],
)
async def test_what_cannot_be_asked_is_refused_before_it_is_sent(asked):
    async with Server(reply(*events(chunk({}, "stop")))) as server, model_at(server.endpoint()) as model:
        with pytest.raises(ModelRefused):
            await model.answer(asked, Ear())
    assert server.asked == []

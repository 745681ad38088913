"""Chat Completions with the official client in strict validation, and what becomes of a run when its client leaves."""

import asyncio
import json
import re

import openai
import pytest
from pydantic import BaseModel

from dragoman.adapters.memory.state import encoded
from dragoman.domain.errors import ModelRateLimited
from dragoman.domain.events import Delta, ItemDone, ModelAnswered, Recorded, RunCompleted, RunResumed, RunStarted
from dragoman.domain.items import assistant_message
from dragoman.domain.runs import ModelChoices, OutputFormat, RunStatus, first_position
from dragoman.domain.usage import Usage
from dragoman.providers.scripted.script import call, fail, hand_off, say, together
from tests.surfaces.house import Gate, eventually, house, served
from tests.surfaces.openai.clients import official

HELLO = [{"role": "user", "content": "Hello"}]
TWO_STEPS = [
    say("I will ", "look."),
    call("weather", {"city": "Oslo"}, returns="Snow"),
    hand_off("poet"),
    say("It ", "snows."),
]


def text_of(chunks):
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


async def test_a_dialogue_is_answered():
    async with house({"chat": [say("Hi Sarah!")]}) as at:
        done = await official(at).chat.completions.create(model="chat", messages=HELLO)
    (choice,) = done.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "Hi Sarah!", "stop")
    assert (done.object, done.model) == ("chat.completion", "chat")
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens > 0


async def test_the_whole_dialogue_is_what_the_agent_hears_and_nothing_else_is_remembered():
    heard = []

    def listen(turn):
        heard.append([*turn.history, *turn.run.input])
        return [say("Yes.")]

    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "I am Sarah."},
        {"role": "assistant", "content": "Hi Sarah!"},
        {"role": "user", "content": "Who am I?"},
    ]
    async with house({"chat": listen}) as at:
        client = official(at)
        await client.chat.completions.create(model="chat", messages=messages)
        await client.chat.completions.create(model="chat", messages=HELLO)
        conversations = (await at.client.get("/conversations")).json()["conversations"]
    assert [(item["role"], item["content"]) for item in heard[0]] == [
        ("system", "Be brief."),
        ("user", "I am Sarah."),
        ("assistant", "Hi Sarah!"),
        ("user", "Who am I?"),
    ]
    assert len(heard[1]) == 1
    assert conversations == []


@pytest.mark.parametrize("include_usage", [True, False])
async def test_a_stream_says_the_same_as_the_whole_answer(include_usage):
    async with house({"chat": TWO_STEPS, "poet": []}) as at:
        client = official(at)
        whole = await client.chat.completions.create(model="chat", messages=HELLO)
        options = {"stream_options": {"include_usage": True}} if include_usage else {}
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True, **options)
        chunks = [chunk async for chunk in stream]
    assert text_of(chunks) == whole.choices[0].message.content == "I will look.\n\nIt snows."
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "stop"
    assert (chunks[-1].usage == whole.usage) is include_usage
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_helper_of_the_official_client_puts_a_stream_together():
    async with house({"chat": TWO_STEPS, "poet": []}) as at:
        async with official(at).chat.completions.stream(model="chat", messages=HELLO) as stream:
            done = await stream.get_final_completion()
    assert done.choices[0].message.content == "I will look.\n\nIt snows."


async def test_a_failure_before_the_first_byte_has_its_status_and_one_behind_it_is_an_event():
    script = [say("Let me see"), fail(ModelRateLimited(retry_after=7))]
    async with house({"chat": script}) as at:
        client = official(at)
        with pytest.raises(openai.InternalServerError) as whole:
            await client.chat.completions.create(model="chat", messages=HELLO)
        stream = await client.chat.completions.create(model="chat", messages=HELLO, stream=True)
        with pytest.raises(openai.APIError) as streamed:
            async for _ in stream:
                pass
    assert (whole.value.status_code, whole.value.code) == (503, "model_rate_limited")
    assert whole.value.response.headers["x-should-retry"] == "true"
    assert whole.value.body["run_id"].startswith("run_")
    assert streamed.value.body["code"] == "model_rate_limited"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"model": "none"}, "model"),
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "alloy", "format": "wav"}}, "audio"),
        ({"store": True}, "store"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**30}, "max_tokens"),
        ({"seed": 10**30}, "seed"),
        ({"stop": []}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"stream_options": {"include_everything": True}}, "stream_options.include_everything"),
        ({"metadata": {"plan": 7}}, "metadata.plan"),
        ({"top_k": 5}, "top_k"),
    ],
)
async def test_what_would_be_ignored_is_refused_by_its_name(more, param):
    async with house() as at:
        answer = await at.client.post("/v1/chat/completions", json={"model": "chat", "messages": HELLO, **more})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (404 if more.get("model") == "none" else 400, param)
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("body", ["[]", "null", "{", '{"messages": []}', '"x"', '{"model": "chat"}'])
async def test_nonsense_is_refused(body):
    async with house() as at:
        answer = await at.client.post(
            "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
        )
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


async def test_what_changes_nothing_is_accepted():
    harmless = {
        "user": "sarah",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "service_tier": "auto",
        "prediction": {"type": "content", "content": "Hi"},
        "n": 1,
        "store": False,
        "logprobs": False,
        "modalities": ["text"],
        "logit_bias": None,
        "response_format": {"type": "text"},
        "tools": [],
    }
    async with house() as at:
        done = await official(at).chat.completions.create(model="chat", messages=HELLO, **harmless)
    assert done.choices[0].message.content == "You said: Hello"


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
LOOK = [say("I look."), call("weather", {"city": "Oslo"})]


def until_answered(turn):
    return [say("It snows.")] if turn.run.input[-1].get("output") == "Snow" else LOOK


async def test_a_declared_function_is_handed_back_and_its_result_goes_on():
    async with house({"chat": until_answered}) as at:
        client = official(at)
        first = await client.chat.completions.create(model="chat", messages=HELLO, tools=[WEATHER])
        (choice,) = first.choices
        (asked,) = choice.message.tool_calls
        again = [
            *HELLO,
            choice.message.model_dump(exclude_none=True),
            {"role": "tool", "tool_call_id": asked.id, "content": "Snow"},
        ]
        second = await client.chat.completions.create(model="chat", messages=again, tools=[WEATHER])
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "I look.")
    assert (asked.type, asked.function.name, json.loads(asked.function.arguments)) == (
        *("function", "weather"),
        {"city": "Oslo"},
    )
    assert (second.choices[0].finish_reason, second.choices[0].message.content) == ("stop", "It snows.")


async def test_a_declared_function_is_handed_back_in_a_stream():
    async with house({"chat": until_answered}) as at:
        async with official(at).chat.completions.stream(model="chat", messages=HELLO, tools=[WEATHER]) as stream:
            done = await stream.get_final_completion()
    (asked,) = done.choices[0].message.tool_calls
    assert (asked.function.name, json.loads(asked.function.arguments)) == ("weather", {"city": "Oslo"})
    assert (done.choices[0].finish_reason, done.choices[0].message.content) == ("tool_calls", "I look.")


async def test_the_agents_own_tools_are_used_on_the_way_and_not_shown():
    script = [together(call("calculate", {"expression": "6*7"}), call("weather", {"city": "Oslo"})), say("Never.")]
    async with house({"chat": script}) as at:
        done = await official(at).chat.completions.create(model="chat", messages=HELLO, tools=[WEATHER])
        run = done.id.replace("chatcmpl-", "run_")
        page = await at.client.get(f"/runs/{run}/events", headers={"accept": "application/json"})
    outputs = [event["item"]["output"] for event in page.json()["events"] if event.get("name") == "tool_output"]
    assert [asked.function.name for asked in done.choices[0].message.tool_calls] == ["weather"]
    assert outputs == ["42"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_result_that_nobody_asked_for_is_refused(stream):
    messages = [*HELLO, {"role": "tool", "tool_call_id": "call_none", "content": "Snow"}]
    body = {"model": "chat", "messages": messages, "stream": stream}
    async with house() as at:
        answer = await at.client.post("/v1/chat/completions", json=body)
    told = json.loads(answer.text.split("data: ")[-1]) if stream else answer.json()
    assert (told["error"]["code"], told["error"]["type"]) == ("invalid_request", "invalid_request_error")


async def test_what_a_request_chooses_reaches_its_run():
    chosen = []

    def listen(turn):
        chosen.append(turn.run.options)
        return [say("{}")]

    more = {
        "temperature": 0.5,
        "top_p": 0.9,
        "frequency_penalty": 0.1,
        "presence_penalty": -0.1,
        "max_completion_tokens": 100,
        "stop": ["\n", "END"],
        "seed": 7,
        "reasoning_effort": "low",
        "verbosity": "high",
        "parallel_tool_calls": False,
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
        },
    }
    async with house({"chat": listen}) as at:
        client = official(at)
        await client.chat.completions.create(model="chat", messages=HELLO, **more)
        await client.chat.completions.create(model="chat", messages=HELLO, max_tokens=7, tool_choice="none")
        await client.chat.completions.create(model="chat", messages=HELLO, response_format={"type": "json_object"})
    first, second, third = chosen
    assert first.choices == ModelChoices(
        temperature=0.5,
        top_p=0.9,
        frequency_penalty=0.1,
        presence_penalty=-0.1,
        max_output_tokens=100,
        stop=("\n", "END"),
        seed=7,
        reasoning_effort="low",
        verbosity="high",
        parallel_tool_calls=False,
        tool_choice="weather",
    )
    assert [tool.name for tool in first.tools] == ["weather"]
    assert first.output == OutputFormat({"type": "object"}, "answer", strict=True)
    assert (second.choices.max_output_tokens, second.choices.tool_choice) == (7, "none")
    assert third.output == OutputFormat({"type": "object"})


async def test_a_parsed_answer_is_an_instance_of_its_class():
    class Weather(BaseModel):
        city: str
        snow: bool

    script = [say("Let me see."), call("weather", returns="Snow"), say('{"city": "Oslo", "snow": true}')]
    async with house({"chat": script}) as at:
        done = await official(at).chat.completions.parse(model="chat", messages=HELLO, response_format=Weather)
    assert done.choices[0].message.parsed == Weather(city="Oslo", snow=True)


async def test_metadata_is_kept_with_the_run():
    async with house() as at:
        done = await official(at).chat.completions.create(model="chat", messages=HELLO, metadata={"ticket": "17"})
        run_id = done.id.replace("chatcmpl-", "run_")
        kept = (await at.client.get(f"/runs/{run_id}")).json()
    assert kept["metadata"] == {"ticket": "17"}


async def test_a_retry_with_the_same_key_gets_the_same_answer():
    async with house({"chat": [say("Once.")]}) as at:
        client = official(at)
        key = {"Idempotency-Key": "order-17"}
        first = await client.chat.completions.create(model="chat", messages=HELLO, extra_headers=key)
        again = await client.chat.completions.create(model="chat", messages=HELLO, extra_headers=key)
        with pytest.raises(openai.BadRequestError) as other:
            await client.chat.completions.create(model="chat", messages=HELLO, user="tom", extra_headers=key)
    assert first == again
    assert other.value.code == "idempotency_mismatch"


async def _leave(client, body, gate, **headers):
    """Begin a request, and go away once its run waits in the gate."""
    asking = asyncio.create_task(client.post("/v1/chat/completions", json=body, headers=headers))
    await asyncio.wait_for(gate.reached.wait(), 10)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_run_whose_client_has_left_is_cancelled(stream):
    gate = Gate()
    async with house({"chat": [call("gate"), say("Done.")]}, tools=gate) as at, served(at) as (client, _):
        await _leave(client, {"model": "chat", "messages": HELLO, "stream": stream}, gate)
        await eventually(lambda: at.services.player.endings)
        assert at.services.player.endings == {"cancelled": 1}


async def test_a_run_that_can_be_asked_for_again_goes_on():
    gate, body = Gate(), {"model": "chat", "messages": HELLO}
    async with house({"chat": [call("gate"), say("Done.")]}, tools=gate) as at, served(at) as (client, _):
        await _leave(client, body, gate, **{"idempotency-key": "k"})
        gate.opened.set()
        answer = await client.post("/v1/chat/completions", json=body, headers={"idempotency-key": "k"})
    assert answer.json()["choices"][0]["message"]["content"] == "Done."


async def test_a_run_that_somebody_cancels_never_looks_complete():
    gate = Gate()
    async with house({"chat": [say("Let me see."), call("gate"), say("Done.")]}, tools=gate) as at:
        asking = asyncio.create_task(at.client.post("/v1/chat/completions", json={"model": "chat", "messages": HELLO}))
        await asyncio.wait_for(gate.reached.wait(), 10)
        (run_id,) = at.services.player.performances
        await at.client.post(f"/runs/{run_id}/cancel", json={"mode": "now"})
        answer = await asking
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "run_cancelled")
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("stream", [True, False])
async def test_a_server_that_goes_away_says_so(stream):
    gate = Gate()
    body = {"model": "chat", "messages": HELLO, "stream": stream}
    async with house({"chat": [call("gate"), say("Done.")]}, tools=gate) as at:
        asking = asyncio.create_task(at.client.post("/v1/chat/completions", json=body))
        await asyncio.wait_for(gate.reached.wait(), 10)
        at.services.log.dismiss_readers()
        answer = await asyncio.wait_for(asking, 10)
        gate.opened.set()
    told = json.loads(answer.text.split("data: ")[-1]) if stream else answer.json()
    assert told["error"]["code"] == "shutting_down"
    assert "retry:" not in answer.text


def resumed_after(shown: bool):
    """The log of a run that another process took over, before or after something was shown that it says again."""
    lost = [Delta("text", "It ra")] if shown else []
    started = [Recorded(i, event) for i, event in enumerate([RunStarted("run_1", "chat"), *lost])]
    first = first_position(1)
    again = [RunResumed(1, "taken_over", 0), Delta("text", "It snows."), *answered("It snows.")]
    return [*started, *(Recorded(first + i, event) for i, event in enumerate(again))]


def answered(text):
    said = ItemDone("message_output_created", assistant_message(text), "chat")
    return [
        said,
        ModelAnswered("chat", "m", 0, 1, Usage()),
        RunCompleted(RunStatus.COMPLETED, text, Usage()),
    ]


async def retold(at, shown):
    """What a client gets that asks again for a run with this log."""
    state, key = at.application.store.runs.state, {"idempotency-key": "k"}
    body = {"model": "chat", "messages": HELLO, "stream": True}
    gone = await at.client.post("/v1/chat/completions", json=body, headers=key)
    (run_id,) = re.findall(r"chatcmpl-(\w+)", gone.text)[:1]
    state.logs[f"run_{run_id}"] = encoded(resumed_after(shown))
    return (await at.client.post("/v1/chat/completions", json=body, headers=key)).text


async def test_a_stream_ends_with_an_error_if_what_it_showed_is_taken_back():
    async with house() as at:
        told = await retold(at, shown=True)
    *_, last = told.strip().split("data: ")
    assert json.loads(last)["error"]["code"] == "interrupted"
    assert "It snows." not in told


async def test_a_stream_goes_on_if_nothing_it_showed_is_taken_back():
    async with house() as at:
        told = await retold(at, shown=False)
    assert "It snows." in told
    assert told.endswith("data: [DONE]\n\n")

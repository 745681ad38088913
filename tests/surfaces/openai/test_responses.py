"""Responses with the official client in strict validation: every field that is missing or of a wrong type raises."""

import asyncio
import contextlib

import pytest
from openai import APIStatusError, BadRequestError, ConflictError, NotFoundError

from dragoman.domain.errors import ModelUnavailable, NotAuthenticated
from dragoman.domain.identity import LOCAL, Principal
from dragoman.domain.items import UNANSWERED, text_of
from dragoman.providers.scripted.script import call, fail, say, stall, together
from tests.surfaces.house import PATIENCE, Gate, house, served
from tests.surfaces.openai.clients import official
from tests.surfaces.openai.test_models import ROUTED, with_plain

LIGHT = {
    "type": "function",
    "name": "light",
    "description": "Switch the light.",
    "parameters": {"type": "object", "properties": {"on": {"type": "boolean"}}},
    "strict": False,
}


class Hearing:
    """A script that keeps what it was told, and says how much that was."""

    def __init__(self):
        self.told = []
        self.options = []

    def __call__(self, turn):
        self.told.append([*turn.history, *turn.input])
        self.options.append(turn.run.options)
        return [say(f"I heard {len(self.told[-1])}.")]

    @property
    def texts(self):
        return [text_of(item) or item.get("output") or item.get("name") for item in self.told[-1]]


@contextlib.asynccontextmanager
async def asking(script=None, **given):
    async with house({"chat": script or Hearing()}, **given) as at:
        yield official(at).responses, at


async def events_of(stream):
    return [event async for event in stream]


# Create --------------------------------------------------------------------------------------------------------------


async def test_a_text_is_answered():
    hearing = Hearing()
    async with asking(hearing) as (responses, _):
        answered = await responses.create(model="chat", input="Hello")

    assert (answered.status, answered.output_text, answered.model) == ("completed", "I heard 1.", "chat")
    assert answered.id.startswith("resp_")
    assert answered.completed_at >= answered.created_at
    assert answered.usage.total_tokens == answered.usage.input_tokens + answered.usage.output_tokens > 0
    assert hearing.texts == ["Hello"]


async def test_items_with_images_and_files_reach_the_agent():
    hearing = Hearing()
    parts = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
    ]
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    async with asking(hearing) as (responses, _):
        await responses.create(model="chat", input=[*said, {"role": "user", "content": parts}])

    assert hearing.texts == ["Hi", "Hello", "What is this?"]
    assert hearing.told[0][2]["content"] == parts


async def test_what_a_request_says_reaches_the_run_and_stands_in_the_response():
    hearing = Hearing()
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    async with asking(hearing) as (responses, _):
        answered = await responses.create(
            model="chat",
            input="Hello",
            instructions="Be brief.",
            metadata={"plan": "pro"},
            max_output_tokens=50,
            temperature=0.5,
            top_p=0.9,
            text={"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}},
            reasoning={"effort": "low", "summary": "auto"},
            truncation="auto",
            parallel_tool_calls=False,
            tools=[LIGHT],
            tool_choice={"type": "function", "name": "light"},
            user="sarah",
        )
        again = await responses.retrieve(answered.id)

    options = hearing.options[0]
    assert options.instructions == answered.instructions == "Be brief."
    assert answered.metadata == {"plan": "pro"}
    assert (options.choices.max_output_tokens, answered.max_output_tokens) == (50, 50)
    assert (options.choices.temperature, answered.temperature, answered.top_p) == (0.5, 0.5, 0.9)
    assert options.output.schema == schema
    assert options.output.strict
    assert answered.text.format.name == "answer"
    assert (options.choices.reasoning_effort, answered.reasoning.effort) == ("low", "low")
    assert (options.choices.truncation, answered.truncation) == ("auto", "auto")
    assert (options.choices.tool_choice, answered.tool_choice.name) == ("light", "light")
    assert (options.choices.parallel_tool_calls, answered.parallel_tool_calls) == (False, False)
    assert answered.tools[0].name == "light"
    assert answered.user == "sarah"
    assert again == answered


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"max_tool_calls": 3}, "max_tool_calls"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [LIGHT, LIGHT]}, "tools[1].name"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, "tool_choice"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format"),
        ({"input": []}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].image_url",
        ),
        ({"input": [{"role": "user", "content": [{"type": "sound"}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "compaction", "encrypted_content": "?"}]}, "input[0].encrypted_content"),
        ({"conversation": "conv_1", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": False, "background": True}, "store"),
        ({"store": False, "conversation": "conv_1"}, "store"),
        ({"temperature": 3}, "temperature"),
        ({"metadata": {"a": 1}}, "metadata.a"),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(given, param):
    async with asking() as (responses, at):
        with pytest.raises(BadRequestError) as refused:
            await responses.create(model="chat", input="Hi", extra_body=given)
        runs = await at.client.get("/runs")

    assert refused.value.param == param
    assert not runs.json()["runs"]


async def test_a_plain_model_answers_where_the_operator_allows_it():
    async with house(providers=with_plain("chat", "plain"), plain_models=(ROUTED,)) as at:
        answered = await official(at).responses.create(model=ROUTED, input="Hi")
        run = await at.services.runs.get(LOCAL, f"run_{answered.id.removeprefix('resp_')}")
    assert answered.model == run.options.model == ROUTED
    assert run.agent == "plain"


async def test_an_unknown_model_is_404():
    async with asking() as (responses, _):
        with pytest.raises(NotFoundError) as refused:
            await responses.create(model="nobody", input="Hi")
    assert refused.value.code == "model_not_found"


async def test_a_failure_is_an_error_and_never_a_response():
    async with asking([fail(ModelUnavailable())]) as (responses, _):
        with pytest.raises(APIStatusError) as failed:
            await responses.create(model="chat", input="Hi")
        run_id = failed.value.body["run_id"]
        kept = await responses.retrieve(run_id.replace("run_", "resp_"))

    assert (failed.value.status_code, failed.value.code) == (503, "model_unavailable")
    assert (kept.status, kept.error.code) == ("failed", "server_error")
    assert "model_unavailable" in kept.error.message


async def test_the_same_request_twice_is_one_response():
    hearing = Hearing()
    async with asking(hearing) as (responses, _):
        headers = {"idempotency-key": "one"}
        first, second = [await responses.create(model="chat", input="Hi", extra_headers=headers) for _ in range(2)]
    assert first == second
    assert len(hearing.told) == 1


# Going on ------------------------------------------------------------------------------------------------------------


async def test_a_previous_response_is_gone_on_from_and_forked_without_being_listed():
    hearing = Hearing()
    async with asking(hearing) as (responses, at):
        first = await responses.create(model="chat", input="One")
        second = await responses.create(model="chat", input="Two", previous_response_id=first.id)
        assert hearing.texts == ["One", "I heard 1.", "Two"]
        await responses.create(model="chat", input="Three", previous_response_id=first.id)
        assert hearing.texts == ["One", "I heard 1.", "Three"]
        await responses.create(model="chat", input="Four", previous_response_id=second.id)
        assert hearing.texts == ["One", "I heard 1.", "Two", "I heard 3.", "Four"]
        listed = (await at.client.get("/conversations")).json()["conversations"]

    assert second.previous_response_id == first.id
    assert second.conversation is None
    assert listed == []


async def test_what_is_not_stored_can_follow_but_not_be_followed():
    hearing = Hearing()
    async with asking(hearing) as (responses, _):
        first = await responses.create(model="chat", input="One")
        aside = await responses.create(model="chat", input="Two", previous_response_id=first.id, store=False)
        assert hearing.texts == ["One", "I heard 1.", "Two"]
        with pytest.raises(BadRequestError) as refused:
            await responses.create(model="chat", input="Three", previous_response_id=aside.id)

    assert aside.store is False
    assert (refused.value.code, refused.value.param) == ("previous_response_not_found", "previous_response_id")


async def test_a_conversation_is_the_same_as_everywhere_else():
    hearing = Hearing()
    async with asking(hearing) as (responses, at):
        body = {"input": "One", "session_id": "sarah"}
        native = (await at.client.post("/chat/run", json=body)).json()
        answered = await responses.create(model="chat", input="Two", conversation=native["conversation_id"])
        named = await responses.create(model="chat", input="Three", conversation={"id": "sarah"})
        with pytest.raises(NotFoundError):
            await responses.create(model="chat", input="Hi", conversation="conv_unknown")

    assert answered.conversation.id == named.conversation.id == native["conversation_id"]
    assert hearing.texts == ["One", "I heard 1.", "Two", "I heard 3.", "Three"]


async def test_one_that_is_not_finished_cannot_be_followed_yet():
    gate = Gate()
    async with asking([call("wait"), say("Done.")], tools=gate) as (responses, _):
        first = await responses.create(model="chat", input="One", background=True)
        await asyncio.wait_for(gate.reached.wait(), PATIENCE)
        with pytest.raises(ConflictError):
            await responses.create(model="chat", input="Two", previous_response_id=first.id)
        gate.opened.set()


async def test_without_sessions_nothing_is_stored_and_the_response_says_so():
    async with asking(sessions_enabled=False) as (responses, _):
        answered = await responses.create(model="chat", input="One")
        with pytest.raises(APIStatusError):
            await responses.create(model="chat", input="Two", previous_response_id=answered.id)
    assert answered.store is False


# Functions of the caller's -------------------------------------------------------------------------------------------


def lit(turn):
    outputs = [item["output"] for item in (*turn.history, *turn.input) if item.get("type") == "function_call_output"]
    if "on" in outputs:
        return [say("The light is on.")]
    return [together(call("light", {"on": True}), call("clock", returns="noon"))]


async def test_a_call_is_handed_back_and_its_output_continues_mixed_with_the_agents_own_tools():
    async with asking(lit) as (responses, _at):
        first = await responses.create(model="chat", input="Light!", tools=[LIGHT])
        [handed] = first.output
        output = {"type": "function_call_output", "call_id": handed.call_id, "output": "on"}
        second = await responses.create(model="chat", input=[output], previous_response_id=first.id, tools=[LIGHT])
        whole = [{"role": "user", "content": "Light!"}, handed.model_dump(exclude_none=True), output]
        third = await responses.create(model="chat", input=whole, tools=[LIGHT], store=False)

    assert first.status == "completed"
    assert (handed.type, handed.name, handed.arguments) == ("function_call", "light", '{"on": true}')
    assert second.output_text == third.output_text == "The light is on."


async def test_an_unanswered_call_harms_nothing():
    hearing = Hearing()

    def script(turn):
        return hearing(turn) if turn.history else lit(turn)

    async with asking(script) as (responses, _):
        first = await responses.create(model="chat", input="Light!", tools=[LIGHT])
        await responses.create(model="chat", input="Forget it.", previous_response_id=first.id)
    assert hearing.texts == ["Light!", "light", UNANSWERED, "clock", "noon", "Forget it."]


async def test_an_output_of_no_call_is_refused():
    async with asking() as (responses, _):
        with pytest.raises(BadRequestError) as refused:
            output = {"type": "function_call_output", "call_id": "call_1", "output": "on"}
            await responses.create(model="chat", input=[output])
    assert "call_1" in refused.value.message


# Streams -------------------------------------------------------------------------------------------------------------


def talkative(turn):
    return [
        say("I will ", "look.", reasoning="Hm, hm."),
        together(call("clock", returns="noon"), call("light", {"on": True})),
    ]


async def test_a_stream_tells_what_the_response_holds():
    async with house({"chat": talkative}) as at, served(at) as (client, _):
        responses = official(at, http_client=client, base_url=str(client.base_url) + "/v1").responses
        async with responses.stream(model="chat", input="Hi", tools=[LIGHT]) as stream:
            async for _ in stream:
                pass
            final = await stream.get_final_response()
        kept = await responses.retrieve(final.id)

    assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]
    assert final.output_text == "I will look."
    assert [item.model_dump(exclude={"parsed_arguments"}) for item in kept.output][2]["name"] == "light"
    assert kept.output_text == final.output_text


async def test_a_stream_is_resumed_at_every_number():
    async with asking(talkative) as (responses, _):
        told = await events_of(await responses.create(model="chat", input="Hi", tools=[LIGHT], stream=True))
        id = told[0].response.id
        numbers = [event.sequence_number for event in told]
        assert numbers == sorted(set(numbers))
        for number in [-1, *numbers]:
            again = await events_of(await responses.retrieve(id, stream=True, starting_after=number))
            assert again == [event for event in told if event.sequence_number > number]


async def test_a_background_response_is_followed_while_it_is_made():
    gate = Gate()
    async with (
        house({"chat": [say("One"), call("wait"), say("Two")]}, tools=gate) as at,
        served(at) as (client, _),
    ):
        responses = official(at, http_client=client, base_url=str(client.base_url) + "/v1").responses
        begun = await responses.create(model="chat", input="Hi", background=True)
        await asyncio.wait_for(gate.reached.wait(), PATIENCE)
        assert (await responses.retrieve(begun.id)).status == "in_progress"
        stream = await responses.retrieve(begun.id, stream=True, starting_after=1)
        seen = []
        async for event in stream:
            seen.append(event.type)
            gate.opened.set()
        ended = await responses.retrieve(begun.id)

    assert (begun.background, begun.status in ("queued", "in_progress")) == (True, True)
    assert (seen[0], seen[-1]) == ("response.output_item.added", "response.completed")
    assert (ended.status, ended.output_text) == ("completed", "OneTwo")


async def test_a_failed_stream_ends_with_the_failure_and_the_half_message():
    async with asking([say("Let me "), fail(ModelUnavailable())]) as (responses, _):
        told = await events_of(await responses.create(model="chat", input="Hi", stream=True))
    assert told[-1].type == "response.failed"
    assert told[-1].response.error.code == "server_error"


# Afterwards ----------------------------------------------------------------------------------------------------------


async def test_it_is_cancelled_and_keeps_what_it_said():
    async with asking([say("One"), stall(PATIENCE), say("Two")]) as (responses, _):
        begun = await responses.create(model="chat", input="Hi", background=True)
        cancelled = await responses.cancel(begun.id)
        again = await responses.cancel(begun.id)
        told = await events_of(await responses.retrieve(begun.id, stream=True))
    assert cancelled.status == again.status == told[-1].response.status == "cancelled"
    assert told[-1].type == "response.incomplete"


async def test_its_input_is_listed_in_pages():
    said = [{"role": "user", "content": f"{n}"} for n in range(3)]
    async with asking() as (responses, _):
        answered = await responses.create(model="chat", input=said)
        newest = [item async for item in responses.input_items.list(answered.id, limit=2)]
        page = await responses.input_items.list(answered.id, limit=2, order="asc")
        with pytest.raises(BadRequestError):
            await responses.input_items.list(answered.id, after="msg_nobody")
    assert [item.content[0].text for item in newest] == ["2", "1", "0"]
    assert [item.content[0].text for item in page.data] == ["0", "1"]
    assert page.has_more


async def test_a_deleted_response_is_gone():
    async with asking() as (responses, at):
        answered = await responses.create(model="chat", input="Hi")
        await responses.delete(answered.id)
        for ask in (responses.retrieve, responses.delete, responses.cancel, responses.input_items.list):
            with pytest.raises(NotFoundError):
                await ask(answered.id)
        assert (await at.client.get(f"/runs/run_{answered.id[5:]}")).status_code == 404


class ByHeader:
    """Everybody is who they say."""

    async def authenticate(self, authorization):
        if authorization is None:
            raise NotAuthenticated
        return Principal(authorization.removeprefix("Bearer "))


async def test_somebody_elses_response_looks_like_none():
    async with house(authenticator=ByHeader()) as at:
        sarah, tom = (official(at, api_key=name).responses for name in ("sarah", "tom"))
        hers = await sarah.create(model="chat", input="Hi")
        for ask in (tom.retrieve, tom.delete, tom.cancel, tom.input_items.list):
            with pytest.raises(NotFoundError):
                await ask(hers.id)
        with pytest.raises(BadRequestError) as refused:
            await tom.create(model="chat", input="Hi", previous_response_id=hers.id)
        assert (await sarah.retrieve(hers.id)).id == hers.id
    assert refused.value.code == "previous_response_not_found"


# Counting and compacting ---------------------------------------------------------------------------------------------


async def test_tokens_of_an_input_are_estimated_with_all_that_precedes_it():
    async with asking() as (responses, _):
        first = await responses.create(model="chat", input="One " * 100)
        alone = await responses.input_tokens.count(model="chat", input="Two")
        after = await responses.input_tokens.count(model="chat", input="Two", previous_response_id=first.id)
    assert 0 < alone.input_tokens < after.input_tokens - 100


async def test_a_conversation_is_compacted_and_goes_on():
    hearing = Hearing()
    async with asking(hearing) as (responses, _):
        first = await responses.create(model="chat", input="My name is Sarah.")
        short = await responses.compact(model="chat", previous_response_id=first.id)
        await responses.create(
            model="chat",
            input=[*(item.model_dump(exclude_none=True) for item in short.output), {"role": "user", "content": "Who?"}],
        )
        with pytest.raises(BadRequestError):
            await responses.compact(model="chat")
    assert [item.type for item in short.output] == ["compaction"]
    assert hearing.texts == ["What was said before, in short:\n\nI heard 3.", "Who?"]

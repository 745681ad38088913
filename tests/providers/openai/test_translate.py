"""Translation, both ways: pure functions on the SDK's objects."""

import pytest
from openai.types.responses import (
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseTextDeltaEvent,
    ResponseUsage,
)
from openai.types.responses.response_usage import InputTokensDetails, OutputTokensDetails

from dragoman.domain.events import Delta
from dragoman.domain.items import assistant_message, message, tool_call, tool_output
from dragoman.domain.usage import Usage
from dragoman.providers.openai.agents import translate


def text_delta(text, output=0):
    return ResponseTextDeltaEvent(
        type="response.output_text.delta",
        content_index=0,
        delta=text,
        item_id="m",
        logprobs=[],
        output_index=output,
        sequence_number=0,
    )


def test_a_piece_of_text_is_a_delta():
    assert translate.delta(text_delta("Hi", 1), "c1") == Delta("text", "Hi", "c1", 1)


def test_a_piece_of_nothing_is_none():
    assert translate.delta(text_delta("")) is None


def test_a_piece_of_arguments_names_its_call():
    event = ResponseFunctionCallArgumentsDeltaEvent(
        type="response.function_call_arguments.delta", delta="{", item_id="f", output_index=2, sequence_number=0
    )
    delta = translate.delta(event, call_id="c", tool="add")
    assert delta == Delta("arguments", "{", output=2, call_id="c", tool="add")


def test_an_item_keeps_what_was_set_and_loses_placeholders():
    call = ResponseFunctionToolCall(
        id="__fake_id__",
        call_id="c",
        name="add",
        arguments="{}",
        type="function_call",
        provider_data={"model": "m", "response_id": "r"},
    )
    assert translate.item(call) == tool_call("c", "add", "{}")


def test_an_item_keeps_what_a_provider_needs_back():
    call = ResponseFunctionToolCall(
        call_id="c", name="add", arguments="{}", type="function_call", provider_data={"model": "m", "signature": "s"}
    )
    assert translate.item(call)["provider_data"]["signature"] == "s"


def test_an_item_is_storable():
    part = ResponseOutputText(type="output_text", text="a\0b", annotations=[])
    output = ResponseOutputMessage(id="m", type="message", role="assistant", status="completed", content=[part])
    assert translate.item(output)["content"][0]["text"] == "a\N{REPLACEMENT CHARACTER}b"


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (assistant_message("Hi"), "message_output_created"),
        (translate.item(ResponseReasoningItem(id="r", type="reasoning", summary=[])), "reasoning_item_created"),
        (tool_call("c", "add", "{}"), "tool_called"),
        (tool_call("c", "transfer_to_ben", "{}"), "handoff_requested"),
        ({"type": "web_search_call"}, "tool_called"),
        ({"type": "mcp_list_tools"}, "mcp_list_tools"),
        ({"type": "mcp_approval_request"}, "mcp_approval_requested"),
    ],
)
def test_items_have_the_names_of_the_wire(content, name):
    assert translate.item_name(content, {"transfer_to_ben"}) == name


def test_usage_is_counted_even_when_none_is_reported():
    assert translate.usage(None, "m") == Usage(requests=1, models=("m",))
    reported = ResponseUsage(
        input_tokens=5,
        output_tokens=3,
        total_tokens=8,
        input_tokens_details=InputTokensDetails(cached_tokens=2, cache_write_tokens=0),
        output_tokens_details=OutputTokensDetails(reasoning_tokens=1),
    )
    assert translate.usage(reported, "m") == Usage(1, 5, 3, 8, 2, 1, models=("m",))


def test_input_has_the_forms_that_every_endpoint_takes():
    parts = [{"type": "input_text", "text": "Look"}, {"type": "input_image", "image_url": "data:,"}]
    history = [
        message("user", "Hi"),
        {**assistant_message("Hello"), "id": "msg_1"},
        {**assistant_message(""), "status": "incomplete"},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {**tool_call("c", "add", "not json"), "id": "fc_1", "status": "completed"},
        tool_output("c", "3"),
    ]
    assert translate.model_input(history, [{"type": "message", "role": "user", "content": parts}]) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "3"},
        {"type": "message", "role": "user", "content": parts},
    ]


def test_final_output_is_text_or_json():
    assert translate.final_output(None) is None
    assert translate.final_output("Hi") == "Hi"
    assert translate.final_output({"when": {1}}) == {"when": [1]}
    assert translate.final_output(object()).startswith("<object")

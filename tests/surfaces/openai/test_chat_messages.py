"""Messages of a request as items."""

import pytest

from dragoman.domain.errors import Invalid
from dragoman.surfaces.openai.chat.messages import items_of


def user(content):
    return {"type": "message", "role": "user", "content": content}


def said(text):
    return {"type": "message", "role": "assistant", "content": text}


@pytest.mark.parametrize(
    ("messages", "items"),
    [
        ([{"role": "user", "content": "Hello"}], [user("Hello")]),
        (
            [
                {"role": "system", "content": "Be brief."},
                {"role": "developer", "content": [{"type": "text", "text": "A"}]},
            ],
            [{**user("Be brief."), "role": "system"}, {**user("A"), "role": "developer"}],
        ),
        ([{"role": "system", "content": ""}, {"role": "user", "content": "Hello"}], [user("Hello")]),
        (
            [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}, {"role": "user", "content": "3"}],
            [user("1"), said("2"), user("3")],
        ),
        (
            [{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "b"}]}],
            [said("ab")],
        ),
        ([{"role": "assistant", "content": None, "refusal": "I will not."}], [said("I will not.")]),
        ([{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}], [user("x")]),
        (
            [
                {
                    "role": "assistant",
                    "content": "Hm",
                    "reasoning_content": "Let me think",
                    "annotations": [],
                    "audio": None,
                }
            ],
            [said("Hm")],
        ),
    ],
)
def test_a_dialogue_becomes_items(messages, items):
    assert items_of(messages) == items


def test_what_was_called_stands_behind_what_was_said_and_before_what_came_back():
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    other = {"id": "call_2", "function": {"name": "time", "arguments": ""}}
    assert items_of(
        [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "I look.", "tool_calls": [call, other]},
            {
                "role": "tool",
                "tool_call_id": "call_1",
                "content": [{"type": "text", "text": "Snow"}],
                "name": "weather",
            },
            {"role": "tool", "tool_call_id": "call_2", "content": ""},
        ]
    ) == [
        user("Weather?"),
        said("I look."),
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": '{"city": "Oslo"}'},
        {"type": "function_call", "call_id": "call_2", "name": "time", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "Snow"},
        {"type": "function_call_output", "call_id": "call_2", "output": ""},
    ]


def test_pictures_and_files_come_inline():
    content = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
    ]
    assert items_of([{"role": "user", "content": content}]) == [
        user(
            [
                {"type": "input_text", "text": "What is it?"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "auto"},
                {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
            ]
        )
    ]


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        (None, "messages"),
        ([], "messages"),
        ("Hello", "messages"),
        ([{"role": "user", "content": "x"}] * 5001, "messages"),
        (["Hello"], "messages.0.role"),
        ([{"role": "function", "name": "f", "content": "x"}], "messages.0.role"),
        ([{"role": ["user"], "content": "x"}], "messages.0.role"),
        ([{"role": "user", "content": ""}], "messages.0.content"),
        ([{"role": "user", "content": []}], "messages.0.content"),
        ([{"role": "user"}], "messages.0.content"),
        ([{"role": "user", "content": 7}], "messages.0.content"),
        ([{"role": "user", "content": "x", "name": "sarah"}], "messages.0.name"),
        ([{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}], "messages.0.content.0.type"),
        ([{"role": "user", "content": ["x"]}], "messages.0.content.0.type"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages.0.content.0.text"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}], "messages.0.content.0.image_url"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u", "detail": "vast"}}]}],
            "messages.0.content.0.image_url.detail",
        ),
        ([{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}], "messages.0.content.0.file"),
        (
            [{"role": "system", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}],
            "messages.0.content.0.type",
        ),
        ([{"role": "assistant", "function_call": {"name": "f", "arguments": ""}}], "messages.0.function_call"),
        ([{"role": "assistant", "audio": {"id": "a"}}], "messages.0.audio"),
        ([{"role": "assistant", "tool_calls": "x"}], "messages.0.tool_calls"),
        ([{"role": "assistant", "tool_calls": [{"type": "custom"}]}], "messages.0.tool_calls.0.type"),
        ([{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}], "messages.0.tool_calls.0.id"),
        (
            [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {}}}]}],
            "messages.0.tool_calls.0.function.arguments",
        ),
        (
            [{"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": ""}}]}],
            "messages.0.tool_calls.0.function.name",
        ),
        ([{"role": "tool", "content": "x"}], "messages.0.tool_call_id"),
        ([{"role": "tool", "tool_call_id": "c"}], "messages.0.content"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_place(messages, field):
    with pytest.raises(Invalid) as refused:
        items_of(messages)
    assert refused.value.field == field

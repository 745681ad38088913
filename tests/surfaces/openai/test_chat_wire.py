"""A run as one message, whole and in chunks: both say the same."""

import json
from datetime import UTC, datetime

import pytest

from dragoman.domain.events import (
    AgentUpdated,
    Delta,
    ItemDone,
    ModelAnswered,
    Progress,
    Recorded,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
)
from dragoman.domain.items import assistant_message, tool_call, tool_output
from dragoman.domain.runs import Run, RunError, RunStatus
from dragoman.domain.usage import Usage
from dragoman.surfaces.openai.chat.wire import Asked, Chunks, Told

RUN = Run("run_01", "t", "o", "chat", "scripted", None, None, (), datetime(2026, 1, 1, tzinfo=UTC))
USAGE = Usage(1, 12, 4, 16, 3, 2)
ASKED = Asked("chat")


def answer(*items, n=0, path=""):
    return [*items, ModelAnswered("chat", "m", n, len(items), USAGE, path=path)]


def spoken(*pieces, n=0, path=""):
    """A message in deltas, then whole."""
    message = ItemDone("message_output_created", assistant_message("".join(pieces)), "chat", path)
    return [*(Delta("text", piece, path) for piece in pieces), *answer(message, n=n, path=path)]


def called(call_id, name, arguments, n=0):
    return [
        Delta("arguments", arguments[:3], call_id=call_id, tool=name, output=n),
        Delta("arguments", arguments[3:], call_id=call_id, tool=name, output=n),
        ItemDone("tool_called", tool_call(call_id, name, arguments), "chat"),
    ]


def completed(status=RunStatus.COMPLETED):
    return RunCompleted(status, None, USAGE)


def chunks_of(events, asked=ASKED, *, apart=False):
    """What is sent, in one batch or in one per event."""
    chunks = Chunks(RUN, asked)
    log = [Recorded(i, event) for i, event in enumerate([RunStarted("run_01", "chat"), *events])]
    text = b"".join(chunks([entry]) for entry in log) if apart else chunks(log)
    frames = text.decode().split("\n\n")
    assert frames.pop() == ""
    assert all(frame.startswith("data: ") for frame in frames)
    return [frame.removeprefix("data: ") for frame in frames]


def message_of(frames):
    """The message that a client puts together."""
    message = {"content": "", "refusal": "", "reasoning_content": "", "tool_calls": {}}
    for frame in frames:
        if frame == "[DONE]":
            continue
        chunk = json.loads(frame)
        assert (chunk["id"], chunk["object"], chunk["model"]) == ("chatcmpl-01", "chat.completion.chunk", "chat")
        for choice in chunk["choices"]:
            delta = choice["delta"]
            for name in ("content", "refusal", "reasoning_content"):
                message[name] += delta.get(name) or ""
            for call in delta.get("tool_calls", ()):
                known = message["tool_calls"].setdefault(call["index"], {"arguments": ""})
                known["id"] = call.get("id", known.get("id"))
                known["name"] = call["function"].get("name", known.get("name"))
                known["arguments"] += call["function"]["arguments"]
            message["finish_reason"] = choice["finish_reason"]
    return message


def told(events, asked=ASKED):
    told = Told(asked)
    for event in events:
        told.add(event)
    return told


def whole(events, asked=ASKED):
    found = told(events, asked)
    return found.completion(RUN, found.end)


DIALOGUES = {
    "a word": [*spoken("Hello"), completed()],
    "pieces": [*spoken("Hel", "lo", "\nyou", " “there”\u2028"), completed()],
    "nothing": [completed()],
    "between tools": [
        *spoken("I will look."),
        *answer(*called("call_0", "weather", '{"city": "Oslo"}')),
        Progress("weather", "started"),
        ItemDone("tool_output", tool_output("call_0", "Snow"), "chat"),
        *spoken("It ", "snows.", n=2),
        AgentUpdated("Poet", "poet", "chat"),
        *spoken("Snow!", n=3),
        completed(),
    ],
    "an agent inside a tool": [*spoken("Not ", "this", path="call_1"), *spoken("But this"), completed()],
    "thinking": [
        Delta("reasoning", "Let me "),
        Delta("reasoning", "think"),
        Delta("text", "So.", output=1),
        *answer(
            ItemDone("reasoning_item_created", {"type": "reasoning", "summary": [{"text": "Let me think"}]}, "chat"),
            ItemDone("message_output_created", assistant_message("So."), "chat"),
        ),
        completed(),
    ],
    "two messages in one answer": [
        Delta("text", "One"),
        Delta("text", "Two", output=1),
        *answer(
            ItemDone("message_output_created", assistant_message("One"), "chat"),
            ItemDone("message_output_created", assistant_message("Two"), "chat"),
        ),
        completed(),
    ],
    "a model that does not stream": [
        *answer(ItemDone("message_output_created", assistant_message("All at once"), "chat")),
        *answer(ItemDone("message_output_created", assistant_message("And more"), "chat"), n=1),
        completed(),
    ],
    "a refusal": [
        Delta("refusal", "I will "),
        Delta("refusal", "not."),
        *answer(
            ItemDone(
                "message_output_created",
                {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "I will not."}]},
                "chat",
            )
        ),
        completed(),
    ],
    "cut": [*spoken("Once upon"), completed(RunStatus.INCOMPLETE)],
    "picked up again": [
        *spoken("I look."),
        RunResumed(1, "taken_over", 3),
        *spoken("It snows.", n=1),
        completed(),
    ],
}


@pytest.mark.parametrize("name", DIALOGUES)
@pytest.mark.parametrize("apart", [True, False])
def test_the_chunks_put_together_are_the_whole_message(name, apart):
    events = DIALOGUES[name]
    frames = chunks_of(events, apart=apart)
    message, (choice,) = message_of(frames), whole(events)["choices"]
    assert frames[-1] == "[DONE]"
    assert message["finish_reason"] == choice["finish_reason"]
    for kind in ("content", "refusal", "reasoning_content"):
        assert message[kind] == (choice["message"].get(kind) or "")


def test_what_an_agent_says_around_its_own_tools_is_one_text_and_the_tools_are_not_shown():
    (choice,) = whole(DIALOGUES["between tools"])["choices"]
    assert choice["message"]["content"] == "I will look.\n\nIt snows.\n\nSnow!"
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize("apart", [True, False])
def test_calls_of_declared_functions_are_handed_over(apart):
    asked = Asked("chat", tools=frozenset({"weather", "time"}))
    events = [
        *answer(*called("call_0", "weather", '{"city": "Oslo"}'), *called("call_1", "time", "{}", n=1)),
        completed(),
    ]
    message, (choice,) = message_of(chunks_of(events, asked, apart=apart)), whole(events, asked)["choices"]
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "call_0", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
        {"id": "call_1", "type": "function", "function": {"name": "time", "arguments": "{}"}},
    ]
    assert message["tool_calls"] == {
        0: {"id": "call_0", "name": "weather", "arguments": '{"city": "Oslo"}'},
        1: {"id": "call_1", "name": "time", "arguments": "{}"},
    }
    assert message["finish_reason"] == choice["finish_reason"] == "tool_calls"


def test_a_call_that_did_not_stream_is_shown_whole():
    asked = Asked("chat", tools=frozenset({"weather"}))
    events = [*answer(ItemDone("tool_called", tool_call("call_0", "weather", "{}"), "chat")), completed()]
    assert message_of(chunks_of(events, asked))["tool_calls"] == {
        0: {"id": "call_0", "name": "weather", "arguments": "{}"}
    }


@pytest.mark.parametrize("apart", [True, False])
def test_who_wants_one_document_gets_only_the_last_thing_said(apart):
    asked = Asked("chat", one_document=True)
    events = [*spoken("Let me see."), *spoken('{"city": ', '"Oslo"}', n=1), completed()]
    assert whole(events, asked)["choices"][0]["message"]["content"] == '{"city": "Oslo"}'
    assert message_of(chunks_of(events, asked, apart=apart))["content"] == '{"city": "Oslo"}'


def test_what_was_used_is_told_once_and_only_if_it_was_asked_for():
    events = [*spoken("Hello"), completed()]
    used = {
        "prompt_tokens": 12,
        "completion_tokens": 4,
        "total_tokens": 16,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    assert whole(events)["usage"] == used
    *others, last = [json.loads(frame) for frame in chunks_of(events, Asked("chat", include_usage=True))[:-1]]
    assert (last["usage"], last["choices"]) == (used, [])
    assert all(chunk["usage"] is None for chunk in others)
    assert not any("usage" in frame for frame in chunks_of(events))


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (RunFailed("model_rate_limited", "Later.", retryable=True), "model_rate_limited"),
        (RunFailed("a_code_of_its_provider", "Hm."), "a_code_of_its_provider"),
        (completed(RunStatus.CANCELLED), "run_cancelled"),
        (completed(RunStatus.REQUIRES_ACTION), "approval_required"),
    ],
)
def test_what_did_not_end_well_ends_with_an_error_and_never_looks_complete(end, code):
    events = [*spoken("Half an"), end]
    *_, last = chunks_of(events)
    error = json.loads(last)["error"]
    assert (error["code"], error["run_id"]) == (code, "run_01")
    assert isinstance(told(events).end, RunError)


def test_what_a_person_has_decided_is_not_waited_for_any_more():
    events = [*spoken("I ask."), completed(RunStatus.REQUIRES_ACTION), *spoken("Done.", n=1), completed()]
    assert message_of(chunks_of(events))["content"] == "I ask.\n\nDone."
    assert whole(events)["choices"][0]["message"]["content"] == "I ask.\n\nDone."


def test_what_the_protocol_cannot_say_is_left_out():
    assert chunks_of([Progress("weather", "started"), AgentUpdated("Poet", "poet", "chat")]) == chunks_of([])

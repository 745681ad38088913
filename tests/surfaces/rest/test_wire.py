"""Recorded events on the native wire."""

import json

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
from dragoman.domain.runs import RunStatus
from dragoman.domain.usage import Usage
from dragoman.surfaces.http.frames import merged
from dragoman.surfaces.rest.wire import frames, wire_event
from tests.surfaces.house import parse


def test_a_short_token_costs_at_most_130_bytes_even_in_a_late_attempt():
    assert len(frames([Recorded(3 * 2**20 + 12_345, Delta("text", " token"))])) <= 130


@pytest.mark.parametrize(
    "text",
    ["plain", 'quo"te', "line\nbreak\r\n", "ümläut 🦜", "a\u2028b\u2029c\x85d", "“quoted” – dash", "back\\slash", ""],
)
@pytest.mark.parametrize("kind", ["text", "reasoning", "refusal"])
def test_a_delta_arrives_as_it_was_said_on_one_line(kind, text):
    (frame,) = parse(frames([Recorded(7, Delta(kind, text))]).decode())
    assert (frame.id, frame.event, frame.data["delta"]) == (7, "raw_response", text)


def test_the_fast_way_and_the_general_way_write_the_same():
    event = Delta("text", 'Hi "you"')
    (frame,) = parse(frames([Recorded(1, event)]).decode())
    assert frame.data == wire_event(event)


def test_arguments_say_which_call_they_belong_to():
    assert wire_event(Delta("arguments", "{}", call_id="call_1", tool="calculate")) == {
        "type": "raw_response",
        "event_type": "response.function_call_arguments.delta",
        "delta": "{}",
        "call_id": "call_1",
        "tool_name": "calculate",
    }


def test_text_of_a_nested_agent_is_progress_and_the_rest_of_its_deltas_is_not_shown():
    assert wire_event(Delta("text", "Reading", path="call_1", tool="researcher")) == {
        "type": "progress",
        "source": "researcher",
        "message": "Reading",
        "path": "call_1",
    }
    assert wire_event(Delta("reasoning", "Hm", path="call_1")) is None


def test_neighbouring_deltas_of_one_item_become_one_that_has_the_place_of_the_last():
    batch = [
        Recorded(1, Delta("text", "a")),
        Recorded(2, Delta("text", "b")),
        Recorded(3, Delta("text", "c", output=1)),
        Recorded(4, ItemDone("message_output_created", {}, "chat")),
        Recorded(5, Delta("text", "d")),
    ]
    assert [(entry.position, getattr(entry.event, "text", None)) for entry in merged(batch)] == [
        (2, "ab"),
        (3, "c"),
        (4, None),
        (5, "d"),
    ]


@pytest.mark.parametrize(
    ("event", "wire"),
    [
        (
            RunStarted("run_1", "chat", "conv_1", "s"),
            {"type": "run_started", "run_id": "run_1", "conversation_id": "conv_1", "session_id": "s", "agent": "chat"},
        ),
        (
            ItemDone("tool_output", {"type": "function_call_output"}, "chat", path="call_1", failed=True),
            {
                "type": "run_item",
                "name": "tool_output",
                "item": {"type": "function_call_output"},
                "path": "call_1",
                "failed": True,
            },
        ),
        (
            AgentUpdated("Math Tutor", "math_tutor", "triage"),
            {"type": "agent_updated", "agent_name": "Math Tutor", "agent": "math_tutor", "from": "triage"},
        ),
        (
            Progress("search", "3 of 5", 3, 5),
            {"type": "progress", "source": "search", "message": "3 of 5", "done": 3, "total": 5},
        ),
        (
            RunResumed(1, "restart", 12),
            {"type": "run_resumed", "attempt": 1, "reason": "restart", "discard_after": 12},
        ),
        (
            RunFailed("model_broken_answer", "It broke.", True, "s", "2026-11-20T00:00:00+00:00"),
            {
                "type": "error",
                "code": "model_broken_answer",
                "message": "It broke.",
                "retryable": True,
                "session_id": "s",
                "timestamp": "2026-11-20T00:00:00+00:00",
            },
        ),
    ],
)
def test_events_have_their_documented_shape(event, wire):
    assert wire_event(event) == wire


def test_the_end_tells_status_output_and_usage():
    usage = Usage(1, 2, 3, 5, models=("m",))
    (frame,) = parse(frames([Recorded(9, RunCompleted(RunStatus.COMPLETED, {"a": 2**70}, usage, 2, "s"))]).decode())
    assert frame.event == "stream_complete"
    assert frame.data["final_output"] == {"a": 2**70}
    assert frame.data["usage"]["total_tokens"] == 5
    assert (frame.data["status"], frame.data["current_turn"], frame.data["session_id"]) == ("completed", 2, "s")


def test_what_only_the_log_needs_is_not_shown():
    assert frames([Recorded(3, ModelAnswered("chat", "m", 0, 1, Usage()))]) == b""


def test_a_frame_is_written_with_lf_only():
    frame = frames([Recorded(0, RunStarted("run_1", "chat"))])
    assert b"\r" not in frame
    head, data = frame.split(b"data: ")
    assert head == b"id: 0\nevent: run_started\n"
    assert json.loads(data)["type"] == "run_started"
    assert data.endswith(b"}\n\n")

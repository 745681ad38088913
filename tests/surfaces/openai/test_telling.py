"""From the log of a run to the events of a response: pure, and the same however it is read."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.domain.events import (
    Delta,
    ItemDone,
    ModelAnswered,
    Recorded,
    RunCompleted,
    RunResumed,
    RunStarted,
)
from dragoman.domain.items import assistant_message, tool_call
from dragoman.domain.runs import Run, RunOptions, RunStatus, first_position
from dragoman.domain.tools import DeclaredTool
from dragoman.domain.usage import Usage
from dragoman.surfaces.openai.responses.routes import one_attempt
from dragoman.surfaces.openai.responses.telling import DONE, EVENTS, Telling

RUN = Run(
    id="run_1",
    tenant="default",
    owner="local",
    agent="chat",
    provider="scripted",
    conversation_id=None,
    session_id=None,
    input=(),
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    ended_at=datetime(2026, 1, 1, tzinfo=UTC),
    options=RunOptions(tools=(DeclaredTool("light"),)),
)
COMPLETED = RunCompleted(RunStatus.COMPLETED, "", Usage())


def answered(items=1, **more):
    return ModelAnswered("chat", "m", 0, items, Usage(), **more)


def said(text, *pieces):
    return [
        *(Delta("text", piece) for piece in pieces),
        ItemDone("message_output_created", assistant_message(text), "chat"),
    ]


def log(*events, attempt=0):
    return [Recorded(first_position(attempt) + i, event) for i, event in enumerate(events)]


def told(recorded, after=-1):
    return [json.loads(one.data) for one in Telling(RUN, after).tell(recorded)]


def types(events):
    return [event["type"].removeprefix("response.") for event in events]


WHOLE = log(
    RunStarted("run_1", "chat"),
    Delta("reasoning", "Hm"),
    Delta("reasoning", ", hm."),
    Delta("text", "not shown", path="call_0"),
    *said("Let me look.", "Let ", "me ", "look."),
    ItemDone("tool_called", tool_call("c1", "clock", "{}"), "chat"),
    Delta("arguments", '{"on"', call_id="c2", tool="light"),
    Delta("arguments", ": true}", call_id="c2", tool="light"),
    ItemDone("tool_called", tool_call("c2", "light", '{"on": true}'), "chat"),
    answered(3),
    ItemDone("message_output_created", assistant_message("Not streamed."), "chat"),
    answered(),
    COMPLETED,
)


def same(one, other, name):
    return one.get(name) == other.get(name)


def merged(events):
    """With neighbouring pieces of one item as one, which has the number of the last."""
    result = []
    for event in events:
        before = result[-1] if result else {}
        if event["type"].endswith(".delta") and same(before, event, "type") and same(before, event, "item_id"):
            event = {**event, "delta": result.pop()["delta"] + event["delta"]}
        result.append(event)
    return result


def told_in_parts(cuts):
    telling = Telling(RUN)
    parts = pairwise([0, *sorted(cuts), len(WHOLE)])
    return [json.loads(one.data) for a, b in parts for one in telling.tell(WHOLE[a:b])]


@given(st.lists(st.integers(0, len(WHOLE)), max_size=5))
def test_it_does_not_matter_in_which_batches_a_log_is_read(cuts):
    read = told_in_parts(cuts)
    assert merged(read) == merged(told(WHOLE))


@given(st.lists(st.integers(0, len(WHOLE)), max_size=5), st.data())
def test_picked_up_after_any_event_that_was_seen_nothing_is_missing_or_doubled(cuts, data):
    read = told_in_parts(cuts)
    seen = data.draw(st.integers(0, len(read)))
    rest = told(WHOLE, read[seen - 1]["sequence_number"] if seen else -1)
    assert merged([*read[:seen], *rest]) == merged(read)


def test_an_event_of_ours_is_at_most_eight_of_theirs_and_numbers_grow():
    parts = [{"type": "output_text", "text": "a", "annotations": []}, {"type": "refusal", "refusal": "b"}] * 3
    many = log(ItemDone("message_output_created", {**assistant_message(""), "content": parts}, "chat"), COMPLETED)
    for recorded in (WHOLE, many):
        numbers = [event["sequence_number"] for event in told(recorded)]
        assert numbers == sorted(set(numbers))
        assert {number // EVENTS for number in numbers} <= {entry.position for entry in recorded}
    assert types(told(many))[-2:] == ["output_item.done", "completed"]
    assert told(many)[-1]["response"]["output"][0]["content"][5]["refusal"] == "b"


def test_calls_that_the_server_answers_and_agents_inside_tools_are_not_shown():
    text = json.dumps(told(WHOLE))
    assert "clock" not in text
    assert "not shown" not in text
    assert [item["type"] for item in told(WHOLE)[-1]["response"]["output"]] == ["message", "function_call", "message"]


def test_a_half_message_of_an_attempt_that_is_over_is_closed_and_the_repeated_one_is_another():
    begun = log(RunStarted("run_1", "chat"), Delta("text", "Half"))
    again = log(RunResumed(1, "taken_over", 0), *said("Whole.", "Whole."), answered(), COMPLETED, attempt=1)
    events = told([*begun, *again])
    closed = next(event for event in events if event["type"] == "response.output_item.done")
    final = events[-1]["response"]

    assert closed["item"]["status"] == "incomplete"
    assert closed["item"]["content"][0]["text"] == "Half"
    assert [item["content"][0]["text"] for item in final["output"]] == ["Whole."]
    assert final["output"][0]["id"] != closed["item"]["id"]


@pytest.mark.parametrize(
    ("status", "truncated", "reason"),
    [(RunStatus.INCOMPLETE, True, "max_output_tokens"), (RunStatus.CANCELLED, False, None)],
)
def test_what_was_said_in_part_stays_where_the_run_ends_with_it(status, truncated, reason):
    events = [RunStarted("run_1", "chat"), Delta("text", "Half")]
    if truncated:
        events += [*said("Half")[-1:], answered(truncated=True)]
    final = told(log(*events, RunCompleted(status, "", Usage())))[-1]

    assert final["type"] == "response.incomplete"
    assert final["response"]["status"] == status.value
    assert (final["response"]["incomplete_details"] or {}).get("reason") == reason
    assert final["response"]["output"][0]["content"][0]["text"] == "Half"


def test_a_response_that_waits_for_a_person_is_incomplete_until_it_has_gone_on():
    waits = RunCompleted(RunStatus.REQUIRES_ACTION, None, Usage())
    begun = log(RunStarted("run_1", "chat"), *said("Let me pay.", "Let me pay."), answered(), waits)
    goes_on = log(RunResumed(1, "decided", 3), *said("Paid.", "Paid."), answered(), COMPLETED, attempt=1)

    assert told(begun)[-1]["response"]["status"] == "incomplete"
    ended = [json.loads(one.data) for one in Telling(replace(RUN, status=RunStatus.COMPLETED)).tell([*begun, *goes_on])]
    assert types(ended).count("incomplete") == 0
    assert [item["content"][0]["text"] for item in ended[-1]["response"]["output"]] == ["Let me pay.", "Paid."]


def test_a_frame_is_one_line_and_the_last_one_says_so():
    frames = Telling(RUN).frames(log(RunStarted("run_1", "chat"), *said("a\u2028b", "a\u2028b"), COMPLETED))
    assert frames.endswith(DONE)
    assert "\u2028".encode() not in frames
    for frame in frames.split(b"\n\n")[:-2]:
        event, data = frame.split(b"\n")
        assert json.loads(data.removeprefix(b"data: "))["type"] == event.removeprefix(b"event: ").decode()


async def read(recorded, known):
    async def follow():
        for cut in range(0, len(recorded), 2):
            yield recorded[cut : cut + 2]

    return [entry async for batch in one_attempt(follow(), known) for entry in batch]


async def test_a_live_stream_closes_where_another_attempt_begins_and_who_comes_back_reads_on():
    begun = log(RunStarted("run_1", "chat"), Delta("text", "One"), Delta("text", "Two"))
    again = log(RunResumed(1, "taken_over", 0), *said("Whole."), answered(), COMPLETED, attempt=1)

    assert await read([*begun, *again], known=0) == begun
    assert await read([*begun, *again], known=1) == [*begun, *again]

"""Events on disk: whatever was recorded is read back, from any position."""

import json
from dataclasses import asdict, replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.domain.approvals import ApprovalStatus
from dragoman.domain.events import (
    AgentUpdated,
    ApprovalDecided,
    ApprovalRequested,
    Delta,
    Event,
    HistorySummarized,
    ItemDone,
    ModelAnswered,
    ModelFailed,
    Progress,
    Recorded,
    Row,
    RunCompleted,
    RunFailed,
    RunResumed,
    RunStarted,
    Steered,
    pack,
    started,
    unpack,
)
from dragoman.domain.items import assistant_message, message
from dragoman.domain.runs import POSITIONS_PER_ATTEMPT, Run, RunStatus
from dragoman.domain.usage import Try, Usage
from tests.contracts.talk import Talk

USAGE = Usage(2, 10, 5, 15, 3, 1, cost="0.01", models=("a", "b"))
TRY = Try("e", "m", "failed", "model_unavailable", Usage(1, 3, 0, 3, models=("m",)), 40, estimated=True)
EVENTS: list[Event] = [
    RunStarted("run_1", "chat", "conv_1", "s"),
    RunStarted("run_1", "chat"),
    Delta("text", "Hello"),
    Delta("arguments", '{"a"', path="call_1", output=2, call_id="c", tool="add"),
    ItemDone("message_output_created", assistant_message("Hi"), "chat"),
    ItemDone(
        "tool_output", {"type": "function_call_output", "call_id": "c", "output": [1, None]}, "chat", "p", failed=True
    ),
    ModelAnswered("chat", "m", 3, 2, USAGE, "resp_1", "p", truncated=True),
    ModelAnswered("chat", "m", 0, 1, USAGE, endpoint="e", latency_ms=12, tries=(TRY, TRY), first_try=2),
    ModelFailed("chat", 1, (TRY,), "p", 1024),
    AgentUpdated("Math Tutor", "math_tutor", "chat"),
    Progress("search", "looking", 1, 3, "p"),
    ApprovalRequested(
        "appr_1", "call_1", "refund", {"amount": 2}, "chat", "p", "admin", "2026-01-02T00:00:00+00:00", "2026"
    ),
    ApprovalDecided("appr_1", "call_1", ApprovalStatus.APPROVED, {"amount": 1}, "less", "sarah"),
    HistorySummarized(message("developer", "They talked about boats.")),
    Steered(["run_2"], [message("user", "And quickly.")]),
    Steered(),
    RunResumed(2, "taken_over", 77),
    RunCompleted(RunStatus.COMPLETED, {"answer": 42}, USAGE, 2, "s"),
    RunCompleted(RunStatus.REQUIRES_ACTION, None, Usage()),
    RunCompleted(RunStatus.COMPLETED, None, Usage(), session_id="s", steered_into="run_2"),
    RunFailed("tool_failed", "It failed.", retryable=True, session_id="s", at="2026-01-01T00:00:00+00:00"),
]


def through_json(rows: list[Row]) -> list[Row]:
    return [Row(row.position, row.kind, json.loads(json.dumps(row.content, default=asdict))) for row in rows]


def read(rows: list[Row]) -> list[Recorded]:
    return [recorded for row in rows for recorded in unpack(row)]


def test_every_kind_of_event_is_tried_here():
    assert {type(event) for event in EVENTS} == set(get_args(Event))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_from_disk_as_it_was(event):
    recorded = [Recorded(7, event)]
    assert read(through_json(pack(recorded))) == recorded


def test_a_whole_log_comes_back_in_order():
    log = [Recorded(i, event) for i, event in enumerate(EVENTS)]
    assert read(through_json(pack(log))) == log


def test_what_a_later_version_adds_to_an_event_is_overlooked():
    (row,) = pack([Recorded(0, AgentUpdated("A", "a", "b"))])
    assert unpack(Row(0, row.kind, {**row.content, "news": 1})) == [Recorded(0, AgentUpdated("A", "a", "b"))]


def test_neighbouring_deltas_of_one_item_share_a_row_keyed_by_the_last():
    log = [Recorded(i, Delta("text", letter)) for i, letter in enumerate("abc")]
    log += [Recorded(3, Delta("text", "d", output=1)), Recorded(9, Delta("text", "e", output=1))]

    assert [(row.position, row.content["texts"]) for row in pack(log)] == [(2, ["a", "b", "c"]), (3, ["d"]), (9, ["e"])]


# the name of a tool belongs to its call, so the two are drawn together
deltas = st.builds(
    lambda kind, text, path, output, call: Delta(kind, text, path, output, *call),
    st.sampled_from(["text", "reasoning", "arguments", "refusal"]),
    st.text(),
    st.sampled_from(["", "p"]),
    st.integers(0, 1),
    st.sampled_from([(None, None), ("c1", "add"), ("c2", "now")]),
)
others = st.sampled_from([event for event in EVENTS if not isinstance(event, Delta)])
logs = st.lists(st.tuples(st.integers(1, 2), st.one_of(deltas, deltas, deltas, others))).map(
    lambda steps: [Recorded(sum(gap for gap, _ in steps[: i + 1]), event) for i, (_, event) in enumerate(steps)]
)


def test_what_a_call_used_includes_the_tries_that_gave_no_answer():
    answered = ModelAnswered("chat", "m", 0, 1, replace(USAGE, cost=None), tries=(TRY, TRY))
    assert (answered.used.requests, answered.used.input_tokens) == (4, 16)
    assert ModelFailed("chat", 0, (TRY,)).used == TRY.usage


def test_a_field_that_a_later_version_added_is_passed_over():
    (row,) = pack([Recorded(7, ModelFailed("chat", 0, (TRY,)))])
    content = {**row.content, "later": 1, "tries": [{**row.content["tries"][0], "later": 1}]}
    assert unpack(Row(7, row.kind, content)) == [Recorded(7, ModelFailed("chat", 0, (TRY,)))]


@given(logs)
def test_from_every_position_exactly_the_rest_is_read(log):
    rows = through_json(pack(log))
    assert read(rows) == log
    assert [row.position for row in rows] == sorted({row.position for row in rows})
    for after in range(-1, (log[-1].position if log else 0) + 1):
        later = [row for row in rows if row.position > after]  # what a store finds by its key
        assert [entry for entry in read(later) if entry.position > after] == [e for e in log if e.position > after]


@given(logs, st.data())
def test_it_does_not_matter_how_a_log_was_cut_into_batches(log, data):
    cut = data.draw(st.integers(0, len(log)))
    assert read(pack(log[:cut]) + pack(log[cut:])) == log


def test_the_log_of_an_attempt_begins_at_its_first_position():
    run: Run = Talk(None).run("Hello", input=(message("user", "Hello"),), attempt=3)  # type: ignore[arg-type]
    first = started(run)
    assert first.position == 3 * POSITIONS_PER_ATTEMPT
    assert first.event == RunStarted(run.id, "chat", run.conversation_id, "s")

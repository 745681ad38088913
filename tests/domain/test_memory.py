"""What of a conversation a model is told: whole turns within a budget, and summaries in place of what is older."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from dragoman.domain.items import Item, assistant_message, is_call, is_output, message, tool_call, tool_output
from dragoman.domain.memory import Memory, as_told, newest, remember, shortened, summary_item, tokens_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def turn(n, size=10):
    return [message("user", f"question {n}"), assistant_message("x" * size)]


def items(*contents):
    return [Item(f"item_{n}", "conv", None, None, content, NOW) for n, content in enumerate(contents)]


def test_a_budget_keeps_the_newest_turns_whole():
    contents = [*turn(1), *turn(2), *turn(3)]
    two = sum(map(tokens_of, contents[2:]))
    assert newest(contents, Memory(tokens=two)) == contents[2:]
    assert newest(contents, Memory(tokens=two - 1)) == contents[4:]
    assert newest(contents, Memory(limit=3)) == contents[4:]


def test_of_a_turn_that_is_too_large_the_end_is_kept():
    contents = [*turn(1), message("user", "go"), *(assistant_message("y" * 400) for _ in range(10))]
    kept = newest(contents, Memory(tokens=3 * tokens_of(contents[-1])))
    assert kept == contents[-3:]
    assert newest(contents, Memory(tokens=1)) == []
    assert newest(contents, Memory(tokens=1), least=2) == contents[-2:]


EXCHANGE = st.lists(st.integers(0, 3), max_size=8).map(
    lambda calls: [
        content
        for n, kind in enumerate(calls)
        for content in (
            [message("user", "u" * n)],
            [tool_call(f"c{n}", "t", "{}"), tool_output(f"c{n}", "o" * 50 * n)],
            [
                tool_call(f"a{n}", "t", "{}"),
                tool_call(f"b{n}", "t", "{}"),
                tool_output(f"a{n}", "1"),
                tool_output(f"b{n}", "2"),
            ],
            [assistant_message("a" * 30 * n)],
        )[kind]
    ]
)


@given(EXCHANGE, st.integers(1, 400), st.integers(0, 3))
def test_no_budget_tears_a_call_from_its_output(contents, tokens, outputs):
    told = newest(shortened(contents, outputs), Memory(tokens=tokens))
    assert {c["call_id"] for c in told if is_output(c)} <= {c["call_id"] for c in told if is_call(c)}
    assert sum(map(tokens_of, told)) <= tokens


def test_old_outputs_of_tools_become_placeholders():
    contents = [
        tool_call("a", "t", "{}"),
        tool_output("a", "x" * 5000),
        tool_call("b", "t", "{}"),
        tool_output("b", "y" * 99),
    ]
    told = shortened(contents, 1)
    assert told[1]["output"] == "[The output of this call, 5,000 characters, is no longer shown.]"
    assert told[3] == contents[3]
    assert shortened(contents, None) == contents


def test_what_does_not_fit_is_to_be_summarised_and_half_is_kept():
    contents = [content for n in range(6) for content in turn(n)]
    found = remember(items(*contents), Memory(limit=8, summarize=True))
    assert list(found.history) == contents[-4:]
    assert found.older is not None
    assert (list(found.older.contents), found.older.until) == (contents[:-4], "item_7")


def test_a_summary_stands_for_what_is_before_its_end_and_is_no_item_itself():
    contents = [content for n in range(4) for content in turn(n)]
    summary = summary_item("They talked.", "item_3")
    found = remember(items(*contents[:6], summary, *contents[6:]), Memory(limit=8, summarize=True))
    assert found.older is None
    assert found.summary == summary
    assert list(found.history) == contents[4:]
    assert as_told(summary)["content"] == "Summary of what was said before:\nThey talked."
    again = remember(items(*contents[:6], summary, *contents[6:]), Memory(limit=3, summarize=True))
    assert again.older is not None
    assert again.older.before == summary


def test_a_request_is_heard_before_an_agent_and_an_agent_before_the_server():
    server = Memory(limit=50, outputs=5)
    assert Memory(tokens=100).or_else(server) == Memory(tokens=100, outputs=5)
    assert Memory(limit=3, summarize=False).or_else(Memory(tokens=9, summarize=True)) == Memory(
        limit=3, summarize=False
    )

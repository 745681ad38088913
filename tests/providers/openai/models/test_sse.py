"""Server-sent events, cut anywhere."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.domain.errors import ModelBroken
from dragoman.providers.openai.agents.models import sse
from dragoman.providers.openai.agents.models.sse import Events

LINE_ENDS = ["\n", "\r\n", "\r"]


def heard(packets):
    events = Events()
    found = [event for packet in packets for event in events.feed(packet)]
    return found + events.rest()


def cut(text, places):
    marks = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(marks)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b": keep-alive\n\nevent: x\nid: 1\ndata: a\nretry: 5\n\n", [b"a"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a", [b"a"]),
        (b"data\n\n\n\n", []),
        (b"", []),
    ],
)
def test_what_a_stream_holds(text, expected):
    assert heard([text]) == expected


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1), max_size=5),
    st.sampled_from(LINE_ENDS),
    st.lists(st.integers(0, 10_000), max_size=8),
)
def test_packets_may_be_cut_anywhere(datas, end, places):
    text = "".join(f": hm{end}data: {data}{end}{end}" for data in datas).encode()
    assert heard(cut(text, places)) == [data.encode() for data in datas]


def test_a_line_that_never_ends_is_no_answer():
    events = Events()
    with pytest.raises(ModelBroken):
        for _ in range(sse.MAX_LINE // 2**20 + 2):
            events.feed(b"x" * 2**20)

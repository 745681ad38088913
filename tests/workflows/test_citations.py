"""Whatever a writer cites, a report's citations lead to sources that exist."""

import pytest

from dragoman.domain.items import assistant_message
from dragoman.workflows.research.citations import check
from dragoman.workflows.research.sources import Source, earlier, same_place

POOL = [
    Source("One", "https://one.example/a"),
    Source("Two", "https://two.example/", "A quote."),
    Source("Three", "doc:three.md#part"),
]


def body(markdown):
    return check(markdown, POOL).markdown.partition("\n\n## Sources")[0]


def test_citations_are_numbered_in_the_order_in_which_they_stand():
    checked = check("# Head\n\nFirst [3], then [1].\n\n## More\n\nAgain [3, 1].", POOL)
    assert checked.markdown == (
        "# Head\n\nFirst [1], then [2].\n\n## More\n\nAgain [1, 2].\n\n## Sources\n\n"
        "1. [Three](doc:three.md#part)\n2. [One](https://one.example/a)"
    )
    assert [(one.number, one.source.title, one.used_in) for one in checked.sources] == [
        (1, "Three", ("Head", "More")),
        (2, "One", ("Head", "More")),
        (3, "Two", ()),
    ]


@pytest.mark.parametrize(
    ("wrote", "shown"),
    [
        ("Nobody said so [7].", "Nobody said so."),
        ("Some did [1, 9].", "Some did [1]."),
        ("See [here](https://made.up/page).", "See here."),
        ("See [here](https://one.example/a).", "See here [1]."),
        ("It is at https://made.up/x and <https://two.example>.", "It is at and [1]."),
        ("Zero [0] is no number.", "Zero is no number."),
        ("A list [x] stays.", "A list [x] stays."),
    ],
)
def test_what_cites_anything_else_is_taken_away(wrote, shown):
    assert body(wrote) == shown


def test_a_list_of_sources_that_the_writer_made_is_not_printed():
    assert body("Text [1].\n\n## References\n\n1. Made up\n\n## After\n\nMore.") == "Text [1].\n\n## After\n\nMore."


def test_a_report_that_cites_nothing_lists_what_was_found():
    assert check("Text.", POOL).markdown.endswith("3. [Three](doc:three.md#part)")


def test_the_same_page_is_one_source():
    assert same_place("http://www.One.example/a/?utm_source=x#top") == same_place("https://one.example/a")
    assert same_place("https://one.example/a?page=2") != same_place("https://one.example/a")


def test_a_later_question_finds_the_sources_and_searches_of_an_earlier_report():
    text = check("Text [2].", POOL).markdown + "\n\n## Searches\n\n- What, now?"
    known = earlier([{"role": "user", "content": "## Sources"}, assistant_message(text)])
    assert known.sources == (POOL[1],)
    assert known.queries == frozenset({"what now"})

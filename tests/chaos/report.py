"""The table at the end of the tests: what the worlds under attack counted, and all of them together."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

PROPERTY = "chaos"
"""Under this name a test records a title and its figures."""


def lines(recorded: Sequence[tuple[str, Mapping[str, int]]]) -> Iterator[str]:
    total: Counter[str] = Counter()
    for _, figures in recorded:
        total.update(figures)
    names = list(recorded[0][1])
    yield " " * 24 + "  ".join(names)
    for title, figures in [*recorded, ("all", total)]:
        yield f"{title:<24}" + "  ".join(f"{figures[name]:>{len(name)},}" for name in names)
    yield "Steps in flight are repeated under equal keys."

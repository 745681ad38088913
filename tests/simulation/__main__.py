"""``python -m tests.simulation SEED``: play one seed again and tell all. ``python -m tests.simulation FROM TO``: play many."""

import re
import sys
import time
from collections.abc import Iterable

from tests.simulation.world import simulate

ID = re.compile(r"(run|conv|item|branch|call)_([0-9a-z]{26})")


def readable(lines: Iterable[str]) -> Iterable[str]:
    """With short names instead of ids, the same every time."""
    names: dict[str, str] = {}

    def short(found: re.Match[str]) -> str:
        kind, id = found.groups()
        kind = "run" if kind == "call" else kind
        number = names.setdefault(f"{kind}{id}", f"{kind}{sum(name.startswith(kind) for name in names.values()) + 1}")
        return number if found[1] != "call" else f"call:{number}"

    return (ID.sub(short, line) for line in lines)


def one(seed: int) -> int:
    story = simulate(seed, trace=True)
    for line in readable([*story.trace, "", *story.broken]):
        print(line)
    print(f"seed {seed}: {story.runs} runs, {story.attempts} attempts, {story.seconds:.0f} s, {story.steps} steps")
    return bool(story.broken)


def many(first: int, last: int) -> int:
    began, failed = time.perf_counter(), 0
    for seed in range(first, last):
        story = simulate(seed)
        if story.broken:
            failed += 1
            print(f"{seed}: " + "\n    ".join(line[:300] for line in readable(story.broken)))
    print(f"{failed} of {last - first} failed, {time.perf_counter() - began:.1f} s")
    return bool(failed)


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    sys.exit(one(*numbers) if len(numbers) == 1 else many(*numbers))

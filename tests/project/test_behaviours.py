"""Every promise has tests, and every test that is named for one exists."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PROMISES = re.split(r"^## ", (TESTS / "behaviours.md").read_text(), flags=re.MULTILINE)[1:]
CITED = re.compile(r"^- `(?P<file>[\w/]+\.py)(?:::(?P<test>\w+))?`$", re.MULTILINE)


def test_every_promise_has_tests_that_exist() -> None:
    assert [promise.split(".")[0] for promise in PROMISES] == [str(n + 1) for n in range(len(PROMISES))]
    for promise in PROMISES:
        cited = list(CITED.finditer(promise))
        assert len(cited) == promise.count("\n- "), f"{promise.splitlines()[0]}: a line names no test"
        assert cited
        for test in cited:
            source = (TESTS / test["file"]).read_text()
            assert test["test"] is None or f"def {test['test']}(" in source, f"there is no {test[0]}"

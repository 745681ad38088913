"""A plugin for the client's own tests, which name things by ids of their own: before each test, the server has them again.

It runs inside their pytest and knows nothing of this project but two addresses in the environment.
"""

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest

_outcomes: dict[str, str] = {}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    request = urllib.request.Request(os.environ["SEED_URL"], method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        known = _outcomes.get(report.nodeid, "passed")
        _outcomes[report.nodeid] = report.outcome if known == "passed" else known


def pytest_sessionfinish(session: Any) -> None:
    Path(os.environ["OUTCOMES"]).write_text(json.dumps(_outcomes))

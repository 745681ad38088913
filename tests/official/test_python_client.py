"""The official client's own tests, against a server that has what they name."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from dragoman.domain.conversations import Conversation
from dragoman.domain.errors import NotFound
from dragoman.domain.identity import LOCAL
from dragoman.domain.ids import branch_id, conversation_id
from dragoman.domain.items import NewItem, message
from dragoman.domain.runs import Run, RunOptions
from tests.official import sources
from tests.surfaces.house import House, house, served

LIST = Path(__file__).parents[2] / "docs/reference/openai-client-tests.md"
FOLDERS = ("test_models.py", "chat", "test_conversations.py", "conversations", "responses", "test_responses.py")
PATIENCE = 110
AGENTS = ("gpt-6-astra", "model")
RUNS = ("run_677efb5139a88190b512bc3fef8e535d", "run_response_id")


def expected() -> Iterator[tuple[str, str]]:
    """File and name of the tests that are expected to fail."""
    for line in LIST.read_text().splitlines():
        if line.startswith("| `"):
            file, name, _ = (cell.strip(" `") for cell in line.strip("|").split("|"))
            yield file, name


def is_expected(test: str) -> bool:
    file, _, name = short(test)
    return any(fnmatch(file, of) and fnmatch(name, named) for of, named in expected())


def short(test: str) -> tuple[str, str, str]:
    """File, class and name, without the parameters."""
    file, group, name = test.removeprefix("tests/api_resources/").split("::")
    return file, group, name.partition("[")[0]


async def seed(at: House) -> None:
    sessions, now = at.application.store.sessions, at.services.clock.now()
    with contextlib.suppress(NotFound):
        await sessions.delete(LOCAL, "conv_123")
    whose = {"tenant": LOCAL.tenant, "owner": LOCAL.user, "key": "conv_123", "agent": ""}
    when = {"created_at": now, "updated_at": now, "last_message_at": now}
    await sessions.create(Conversation(conversation_id(), **whose, branch=branch_id(), head=None, **when))
    await sessions.add(LOCAL, "conv_123", [NewItem(message("user", "Hello"), id="msg_abc")])
    for run_id in RUNS:
        await seed_response(at, run_id)


async def seed_response(at: House, run_id: str) -> None:
    """A run that has ended, under the id of a response that they name."""
    runs, now = at.application.store.runs, at.services.clock.now()
    with contextlib.suppress(NotFound):
        await runs.delete(LOCAL, run_id)
    whose = {"tenant": LOCAL.tenant, "owner": LOCAL.user, "agent": "model", "provider": "scripted"}
    kept = {"conversation_id": conversation_id(), "session_id": None, "input": (message("user", "Hello"),)}
    await runs.begin(Run(run_id, **whose, **kept, created_at=now, options=RunOptions(hidden=True)), claim=None)
    await runs.cancel(LOCAL, run_id, "now")


async def outcomes(folder: Path, port: int, told: Path) -> dict[str, str]:
    """How each of their tests ended."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OPENAI_", "PYTEST_"))},
        "TEST_API_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "SEED_URL": f"http://127.0.0.1:{port}/seed",
        "OUTCOMES": str(told),
        "PYTHONPATH": str(Path(__file__).parent),
    }
    arguments = ["-c", "pyproject.toml", "-o", "addopts=", "-p", "seeding", "-p", "no:llmock", "-p", "no:cacheprovider"]
    tests = [f"tests/api_resources/{name}" for name in FOLDERS]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "--tb=line", *arguments, *tests),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode in (0, 1), said.decode()
    return json.loads(told.read_text())


async def test_nothing_fails_that_is_not_on_the_list(tmp_path):
    folder = sources.python_client()
    async with house(dict.fromkeys(AGENTS)) as at, served(at) as (_, port):
        at.app.add_api_route("/seed", partial(seed, at), methods=["POST"])
        ended = await outcomes(folder, port, tmp_path / "outcomes.json")
    failed = {test for test, outcome in ended.items() if outcome != "passed"}
    assert len(ended) > 250
    assert sorted(test for test in failed if not is_expected(test)) == []
    failing = {short(test) for test in failed}
    passed = {short(test) for test in ended if "::test_path_params" not in test} - failing  # these ask no server
    stale = [row for row in expected() if not any(fnmatch(f, row[0]) and fnmatch(n, row[1]) for f, _, n in failing)]
    assert stale == []
    assert (
        sorted(test for test in passed if any(fnmatch(test[0], f) and fnmatch(test[2], n) for f, n in expected())) == []
    )

"""``dragoman doctor``: what a person sees, and the exit code."""

import asyncio
from pathlib import Path

import pytest
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer

from dragoman.adapters.sql import SqliteEngine
from tests.cli.conftest import Command
from tests.issuer import SECRET, Issuer


@pytest.fixture(scope="module")
def server():
    with LLMockServer() as running:
        yield running


def test_without_anything_all_is_well(dragoman: Command):
    done = dragoman("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "will be made at the first start" in done.stdout
    assert "the demo model answers" in done.stdout


async def test_each_endpoint_and_the_database_have_a_line_also_beside_a_server(
    dragoman: Command, tmp_path: Path, server: LLMockServer
):
    LLMock(server).reset()
    (tmp_path / "dragoman.toml").write_text(f"""
[models]
default = "good:gpt-4o"
fallbacks = ["bad:gpt-4o"]
[endpoints.good]
base_url = "{server.base_url()}"
[endpoints.bad]
base_url = "http://127.0.0.1:9/v1"
""")
    engine = SqliteEngine(tmp_path / "dragoman.db")
    await engine.start()
    done = dragoman("doctor")
    await engine.stop()

    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    parts = ["ok    database", "ok    identity", "ok    good", "ok    good", "FAIL  bad"]
    assert [line.split(":")[0] for line in lines] == parts
    assert "can be read and written" in lines[0]


def test_a_wrong_file_is_a_sentence(dragoman: Command, tmp_path: Path):
    (tmp_path / "dragoman.toml").write_text("[endpoints.far]\nbase_url = 'https://far.example.com/v1'\n")
    done = dragoman("doctor")
    assert done.returncode == 2
    assert "[endpoints.far], api_key_env" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_cannot_be_opened_is_found(dragoman: Command, tmp_path: Path):
    (tmp_path / "dragoman.db").write_text("this is no database, and it is longer than nothing")
    done = dragoman("doctor")
    assert done.returncode == 1
    assert done.stdout.startswith("FAIL  database:")


@pytest.mark.parametrize("command", [("serve",), ("serve", "--reload")])
def test_serving_with_a_missing_key_is_refused_before_anything_starts(dragoman: Command, command):
    done = dragoman(*command, AI_MODEL="gpt-5")
    assert done.returncode == 2
    assert "OPENAI_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("environment", "fine", "words"),
    [
        ({}, True, "the one local user"),
        ({"DRAGOMAN_AUTH": "token"}, True, "API keys only"),
        ({"BETTER_AUTH_SECRET": SECRET}, True, "shared secret, and API keys"),
        ({"JWT_SECRET": "short"}, False, "may be guessed"),
        ({"JWT_JWKS_URL": "http://127.0.0.1:9/jwks"}, False, "does not answer"),
    ],
)
def test_how_users_are_authenticated_has_a_line(dragoman: Command, environment: dict[str, str], fine: bool, words: str):
    done = dragoman("doctor", **environment)
    (line,) = [line for line in done.stdout.splitlines() if "identity:" in line]
    assert line.startswith("ok" if fine else "FAIL")
    assert words in line
    assert done.returncode == (0 if fine else 1)


async def test_an_issuers_keys_are_asked_for(dragoman: Command):
    async with Issuer().published() as issuer:
        issuer.rotate("EdDSA")
        done = await asyncio.to_thread(dragoman, "doctor", JWT_JWKS_URL=issuer.url)
        assert f"{issuer.url} has keys for EdDSA" in done.stdout
        issuer.keys = []
        empty = await asyncio.to_thread(dragoman, "doctor", JWT_JWKS_URL=issuer.url)
        assert (empty.returncode, "no key that can be used" in empty.stdout) == (1, True)


def test_an_agent_that_a_tenant_may_ask_and_that_does_not_exist_is_found(dragoman: Command, tmp_path: Path):
    (tmp_path / "dragoman.toml").write_text('[tenants.acme]\nagents = ["chat", "coach-*"]\n')
    done = dragoman("doctor")
    assert done.returncode == 1
    assert "ok    tenants: acme\n" in done.stdout
    assert "FAIL  tenants: acme may ask coach-*, and there is no such agent\n" in done.stdout
    assert "may ask chat" not in done.stdout

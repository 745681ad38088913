"""Secrets are planted wherever a server is given one, and then looked for wherever it says something."""

import asyncio
from collections.abc import Iterable
from pathlib import Path

import aiohttp
import jwt
import pytest

from dragoman.endpoints import EndpointTable, read_models
from dragoman.settings import Settings
from tests.cli.conftest import dragoman  # noqa: F401 - a fixture
from tests.issuer import shared
from tests.server import serving

CANARY = "canary-that-must-never-sing"
SIGNING = f"{CANARY}-better-auth-0123456789"
MODELS = """
[models]
default = "mine:m"
[endpoints.mine]
base_url = "http://127.0.0.1:9/v1"
api_key = "canary-that-must-never-sing-in-the-file"
headers = { "x-api-key" = "canary-that-must-never-sing-in-a-header" }
"""
ENVIRONMENT = {
    "OPENAI_API_KEY": f"{CANARY}-openai",
    "OPENROUTER_API_KEY": f"{CANARY}-openrouter",
    "BETTER_AUTH_SECRET": SIGNING,
    "JWT_SECRET": f"{CANARY}-jwt-0123456789abcdefghij",
    "DRAGOMAN_MODEL_RETRIES": "0",
    "DRAGOMAN_SCOPES_CLAIM": "scope",
}
QUESTIONS = [
    *(("GET", "/agents"), ("GET", "/chat/info"), ("GET", "/runs"), ("GET", "/usage"), ("GET", "/health")),
    *(("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/docs"), ("GET", "/nowhere"), ("GET", "/v1/models")),
    *(("GET", "/admin/keys"), ("GET", "/admin/audit"), ("POST", "/chat/run"), ("POST", "/chat/stream")),
]


class Heard:
    """All that was said, in one place."""

    def __init__(self) -> None:
        self.said: dict[str, str] = {}

    def sings(self, secrets: Iterable[str]) -> list[tuple[str, str]]:
        return [(where, secret) for where, text in self.said.items() for secret in secrets if secret in text]


@pytest.mark.parametrize("client", ["fast", "sdk"])
@pytest.mark.parametrize("style", ["text", "json"])
async def test_a_server_never_says_a_secret_whatever_it_is_asked(tmp_path: Path, client: str, style: str):
    (tmp_path / "dragoman.toml").write_text(MODELS)
    heard = Heard()
    logs = {"LOG_LEVEL": "DEBUG", "DRAGOMAN_LOG_FORMAT": style, "DRAGOMAN_MODEL_CLIENT": client}
    async with serving(tmp_path, **ENVIRONMENT, **logs) as server, aiohttp.ClientSession(server.url) as http:

        async def ask(method: str, path: str, token: str, body: object = None) -> str:
            headers = {"authorization": f"Bearer {token}"}
            async with http.request(method, path, headers=headers, json=body) as answer:
                said = await answer.text()
                heard.said[f"{method} {path} {len(heard.said)}"] = f"{said}\n{answer.headers}"
                return (await answer.json())["key"] if path == "/admin/keys" and method == "POST" else said

        boss = shared(SIGNING, sub="boss", scope="admin")
        key = await ask("POST", "/admin/keys", boss, {"user": "alice", "scopes": ["admin"]})
        del heard.said["POST /admin/keys 0"]  # the one place where it must be
        wrong, expired = jwt.encode({"sub": "x"}, "w" * 32, "HS256"), shared(SIGNING, exp=1)
        for token in (boss, key, key[:-1] + "A", wrong, expired):
            for method, path in QUESTIONS:
                await ask(method, path, token, {"input": "Hello"} if method == "POST" else None)
        await asyncio.wait_for(server.stop(), 60)
    heard.said["log"] = server.log()
    for file in tmp_path.glob("dragoman.db*"):
        heard.said[file.name] = file.read_bytes().decode("latin-1")
    assert "POST" in heard.said["log"]
    secrets = (CANARY, boss.rpartition(".")[2], key[-43:], wrong.rpartition(".")[2], expired.rpartition(".")[2])
    assert heard.sings(secrets) == []


@pytest.mark.parametrize(
    "arguments", [("settings",), ("settings", "--template"), ("doctor",), ("migrate",), ("keys", "list"), ("audit",)]
)
@pytest.mark.parametrize("database", [None, f"postgresql://dragoman:{CANARY}@127.0.0.1:9/dragoman"])
def test_no_command_says_a_secret(dragoman, tmp_path: Path, arguments, database):  # noqa: F811
    (tmp_path / "dragoman.toml").write_text(MODELS)
    place = {} if database is None else {"DATABASE_URL": database}
    done = dragoman(*arguments, LOG_LEVEL="DEBUG", **ENVIRONMENT, **place)
    assert done.returncode in {0, 1, 2}
    assert CANARY not in done.stdout + done.stderr


def test_nothing_that_holds_a_secret_shows_it_when_it_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dragoman.toml").write_text(MODELS)
    for name, value in {**ENVIRONMENT, "DATABASE_URL": f"postgresql://u:{CANARY}@h/d"}.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    table = EndpointTable(base_url="http://h/v1", headers={"x-api-key": CANARY})
    for holder in (settings, read_models(settings), table):
        assert CANARY not in f"{holder!r} {holder}"

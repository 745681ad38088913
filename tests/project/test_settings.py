"""Settings are read once, under the names people already use, and a wrong one stops the start with a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dragoman.settings import Settings, WrongSettings, shown

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("DRAGOMAN_", "OPENAI_", "OPENROUTER_", "AI_MODEL")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def test_without_any_the_demo_model_serves_this_machine() -> None:
    settings = Settings.load()
    assert (settings.host, settings.port, settings.demo) == ("127.0.0.1", 8000, "auto")
    assert settings.sqlite_path == Path("dragoman.db")


def test_a_dotenv_file_counts_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PORT=9000\nLOG_LEVEL=debug\n")
    monkeypatch.setenv("PORT", "9001")
    settings = Settings.load()
    assert (settings.port, settings.log_level) == (9001, "DEBUG")
    assert {s.name: s.source for s in shown(settings)}["LOG_LEVEL"] == ".env"
    assert {s.name: s.source for s in shown(settings)}["PORT"] == "environment"


def test_what_is_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9001")
    assert Settings.load(port=9002).port == 9002


def test_a_database_url_wins_over_the_session_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_DB_PATH", "a.db")
    assert Settings.load().sqlite_path == Path("a.db")
    monkeypatch.setenv("DATABASE_URL", "sqlite:////srv/b.db")
    assert Settings.load().sqlite_path == Path("/srv/b.db")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"PORT": "abc"}, ["PORT", "Example: PORT=8000"]),
        ({"PORT": "70000"}, ["PORT", "65535"]),
        ({"ENABLE_SESSIONS": "perhaps"}, ["ENABLE_SESSIONS", "Example"]),
        ({"DATABASE_URL": "mysql://x"}, ["DATABASE_URL", "no database"]),
        ({"DRAGOMAN_DMO": "off"}, ["DRAGOMAN_DMO", "DRAGOMAN_DEMO"]),
        ({"HOST": "0.0.0.0"}, ["HOST", "DRAGOMAN_AUTH=none"]),
        ({"WEB_CONCURRENCY": "2"}, ["WEB_CONCURRENCY", "SQLite", "PostgreSQL"]),
        ({"DRAGOMAN_ROLE": "api"}, ["DRAGOMAN_ROLE", "SQLite", "PostgreSQL"]),
        ({"DRAGOMAN_AUTH": "tokens", "JWT_SECRET": "s3cret"}, ["DRAGOMAN_AUTH", "Example: DRAGOMAN_AUTH=token"]),
        ({"DRAGOMAN_CORS_ORIGINS": "https://a.example/path"}, ["DRAGOMAN_CORS_ORIGINS", "no origin"]),
        ({"DRAGOMAN_CORS_ORIGINS": "*"}, ["DRAGOMAN_CORS_ORIGINS", "every web page"]),
        ({"JWT_JWKS_URL": "example.com/jwks"}, ["JWT_JWKS_URL", "https://"]),
        ({"DRAGOMAN_DEFAULT_PROVIDER": "other"}, ["DRAGOMAN_DEFAULT_PROVIDER", "other"]),
    ],
)
def test_a_wrong_setting_is_refused_with_its_name_and_a_way_out(
    environment: dict[str, str], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(WrongSettings) as refusal:
        Settings.load()
    assert all(word in str(refusal.value) for word in words), str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_elsewhere_than_loopback_is_fine_when_it_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "0.0.0.0")
    monkeypatch.setenv("DRAGOMAN_AUTH", "none")
    assert not Settings.load().loopback_only


@pytest.mark.parametrize(
    "environment",
    [
        {"DRAGOMAN_AUTH": "token"},
        {"BETTER_AUTH_SECRET": "s3cret"},
        {"JWT_SECRET": "s3cret"},
        {"JWT_JWKS_URL": "https://example.com/jwks"},
    ],
)
def test_a_server_that_asks_for_tokens_may_be_reached_from_elsewhere(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**environment, "HOST": "0.0.0.0"}.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    assert settings.tokens
    assert not settings.loopback_only
    assert "s3cret" not in repr(settings)


def test_a_secret_asks_nobody_for_tokens_when_none_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETTER_AUTH_SECRET", "s3cret")
    monkeypatch.setenv("DRAGOMAN_AUTH", "none")
    assert not Settings.load().tokens


def test_the_command_shows_every_setting_and_no_secret() -> None:
    environment = {**os.environ, "OPENAI_API_KEY": "sk-very-secret", "AI_MODEL": "m"}
    command = [sys.executable, "-m", "dragoman", "settings"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30)
    assert all(setting.name in done.stdout for setting in shown())
    assert "sk-very-secret" not in done.stdout + done.stderr


def test_the_template_is_a_dotenv_file_that_changes_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dragoman", "settings", "--template"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    (tmp_path / ".env").write_text(done.stdout)
    assert Settings.load() == Settings.of()
    assert all(f"# {setting.name}=" in done.stdout for setting in shown())


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs/reference/settings.md").read_text()
    for setting in shown():
        row = f"| `{setting.name}` | {setting.value and f'`{setting.value}`'} | {setting.about} |"
        assert row in page, f"docs/reference/settings.md lacks:\n{row}"

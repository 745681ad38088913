"""``dragoman agents`` as people use it."""

import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Command

TEAM = """
[agents.desk]
instructions = "Send people on."
handoffs = ["clerk"]

[agents.clerk]
tools = ["calculat"]
public = false
[agents.clerk.settings]
temperature = 0.5
"""


def test_all_agents_are_listed_with_where_they_come_from(dragoman: Command, tmp_path: Path):
    (tmp_path / "team.toml").write_text(TEAM)
    done = dragoman("agents", "list", "team.toml")
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert lines["desk"].endswith("team.toml:2")
    assert lines["chat"].endswith("built in")


def test_an_agent_is_shown_with_all_it_was_declared_with(dragoman: Command, tmp_path: Path):
    (tmp_path / "team.toml").write_text(TEAM)
    done = dragoman("agents", "show", "clerk", "team.toml")
    assert done.returncode == 0, done.stderr
    assert 'settings        {"temperature": 0.5}' in done.stdout
    assert "public          false" in done.stdout
    missing = dragoman("agents", "show", "clark", "team.toml")
    assert missing.returncode == 1
    assert "There is no agent 'clark'" in missing.stderr


def test_check_names_every_mistake_and_says_so_with_its_exit_code(dragoman: Command, tmp_path: Path):
    (tmp_path / "team.toml").write_text(TEAM)
    done = dragoman("agents", "check", "team.toml")
    assert done.returncode == 1
    expected = "team.toml:6: the agent 'clerk' has the tool 'calculat', which does not exist. Did you mean calculate?\n"
    assert done.stdout == expected
    (tmp_path / "team.toml").write_text(TEAM.replace("calculat", "calculate"))
    assert dragoman("agents", "check", "team.toml").returncode == 0
    (tmp_path / "team.toml").write_text("colour = 3")
    broken = dragoman("agents", "check", "team.toml")
    assert broken.returncode == 1
    assert broken.stdout.startswith("team.toml:1: the agent 'team', colour: there is no such field.")


def test_a_server_with_such_agents_does_not_start(dragoman: Command, tmp_path: Path):
    (tmp_path / "team.toml").write_text(TEAM)
    done = dragoman("serve", "team.toml")
    assert done.returncode == 2
    assert "team.toml:6: the agent 'clerk' has the tool 'calculat'" in done.stderr


def test_checking_declared_agents_does_not_import_the_sdk(tmp_path: Path):
    (tmp_path / "team.toml").write_text("instructions = 'x'")
    code = (
        "import sys; from dragoman.bootstrap import checker; from dragoman.settings import Settings;"
        "from dragoman.sources import find;"
        "assert checker(Settings.load(), find(['team.toml'])).problems() == [];"
        "sys.exit('agents' in sys.modules or 'openai' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0

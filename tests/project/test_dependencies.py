"""A dependency has a reason and a hash, or it is not one."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGE = (ROOT / "docs" / "decisions" / "0007-dependencies.md").read_text()
LOCK = (ROOT / "requirements.lock").read_text()

DECLARED = {
    "Runtime": PROJECT["project"]["dependencies"],
    "Development": PROJECT["dependency-groups"]["dev"],
}


def names(requirements):
    return sorted(re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower() for requirement in requirements)


def explained(section):
    text = PAGE.split(f"## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| (\S+) \| .+ \|$", text, re.MULTILINE)[1:]


@pytest.mark.parametrize("section", DECLARED)
def test_every_dependency_has_a_line_that_says_why_and_no_line_is_left_over(section):
    assert sorted(explained(section)) == names(DECLARED[section])


def test_every_dependency_is_pinned_in_the_lock_file():
    pinned = set(re.findall(r"^([a-z0-9._-]+)==", LOCK, re.MULTILINE))
    assert set(names([*DECLARED["Runtime"], *DECLARED["Development"]])) <= pinned


def test_the_lock_file_has_a_hash_for_every_pin_and_names_no_address():
    pins = re.split(r"^(?=[a-z0-9._-]+==)", LOCK, flags=re.MULTILINE)
    assert all("--hash=sha256:" in pin for pin in pins if pin.strip())
    assert "://" not in LOCK
    assert "--index-url" not in LOCK

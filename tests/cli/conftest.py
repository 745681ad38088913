"""The command line as people use it: a process, its words, its exit code."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def dragoman(tmp_path: Path) -> Command:
    """``dragoman ARGUMENTS`` in an empty folder; further environment as keywords."""

    def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
        command = [sys.executable, "-m", "dragoman", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, env=kept | env, capture_output=True, text=True, timeout=60, check=False
        )

    return run

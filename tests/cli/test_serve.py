"""``dragoman serve`` as a process that is told to go."""

import os
import subprocess
import sys
from pathlib import Path

STOPPED_AT_ONCE = """
import logging, os, signal

from dragoman import create_app
from dragoman.cli.serve import run, server_options
from dragoman.settings import Settings


class StopAtOnce(logging.Handler):
    def emit(self, record):
        os.kill(os.getpid(), signal.SIGTERM)


logger = logging.getLogger("dragoman.cli.serve")
logger.setLevel(logging.INFO)
logger.addHandler(StopAtOnce())
settings = Settings.load(port=0, session_db_path="stopped.db")
run(create_app([], settings=settings), server_options(settings))
"""


def test_a_server_that_is_told_to_stop_while_it_starts_stops(tmp_path: Path):
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    command = [sys.executable, "-c", STOPPED_AT_ONCE]
    done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr

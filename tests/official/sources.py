"""Fetches what is tested with, once: the source distribution of the Python client, and the JavaScript client."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).parent
FETCHED = HERE / ".fetched"
PATIENCE = 100
BIN = Path(sys.executable).parent


def python_client() -> Path:
    """The folder of the client's sources, with its tests."""
    return _once(HERE / "sdist.lock", _fetch_sdist)


def javascript_client() -> Path:
    """The folder that holds ``node_modules``."""
    return _once(HERE / "js" / "package-lock.json", _fetch_package)


def node(*arguments: str) -> list[str]:
    return [str(BIN / "node"), *arguments]


def _once(lock: Path, fetch: Callable[[Path], None]) -> Path:
    """What a lock file names, in a folder of that lock's own. Several who fetch it at once do not disturb each other."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    folder = FETCHED / f"{lock.stem}-{digest}"
    if not folder.exists():
        FETCHED.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FETCHED) as made:
            fetch(Path(made))
            try:
                Path(made).rename(folder)
                Path(made).mkdir()  # for the clean-up
            except OSError:
                if not folder.exists():
                    raise
    return folder


def _fetch_sdist(into: Path) -> None:
    lock = into / "requirements.txt"
    shutil.copy(HERE / "sdist.lock", lock)
    # The backend that prepares it is among our own dependencies.
    chosen = ["--require-hashes", "--no-deps", "--no-binary", ":all:", "--no-build-isolation"]
    _run([sys.executable, "-m", "pip", "download", "--quiet", *chosen, "--dest", str(into), "-r", str(lock)], into)
    (archive,) = into.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(into, filter="data")
    (sources,) = (path for path in into.iterdir() if path.is_dir())
    for part in sources.iterdir():
        part.rename(into / part.name)
    sources.rmdir()
    shutil.rmtree(into / "src")  # it is the installed client that is tested


def _fetch_package(into: Path) -> None:
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(HERE / "js" / name, into / name)
    _run([str(BIN / "npm"), "ci", "--ignore-scripts", "--loglevel=error"], into)


def _run(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"

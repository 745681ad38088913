"""The official JavaScript client: against scripted agents in process, and against the demo model of a real server."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.official import sources
from tests.server import serving
from tests.surfaces.house import house, served

SCRIPTS = Path(__file__).with_name("js")
PATIENCE = 110


@contextlib.asynccontextmanager
async def scripted(_: Path) -> AsyncIterator[str]:
    async with house() as at, served(at) as (_, port):
        yield f"http://127.0.0.1:{port}/v1"


@contextlib.asynccontextmanager
async def demo(folder: Path) -> AsyncIterator[str]:
    async with serving(folder) as server:
        yield f"{server.url}/v1"


async def passes(script: Path, base_url: str) -> tuple[bool, str]:
    process = await asyncio.create_subprocess_exec(
        *sources.node("--test", str(script)),
        env={**os.environ, "BASE_URL": base_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode == 0, said.decode()


@pytest.mark.parametrize("server", [scripted, demo])
async def test_the_javascript_client_finds_all_it_expects(server, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(sources.javascript_client() / "node_modules")
    for name in ("package.json", *(path.name for path in SCRIPTS.glob("*.js"))):
        shutil.copy(SCRIPTS / name, tmp_path / name)
    async with server(tmp_path) as base_url:
        for script in sorted(tmp_path.glob("*.test.js")):
            passed, said = await passes(script, base_url)
            assert passed, said

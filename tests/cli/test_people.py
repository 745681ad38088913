"""``dragoman people``: exported to a file or a folder, erased when one says so, in the database or through a server."""

import asyncio
import json
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest

from tests.cli.conftest import Command
from tests.server import serving


@pytest.fixture
async def talked(tmp_path: Path):
    """A server with a conversation of its only user, whose name is local."""
    async with serving(tmp_path) as server, aiohttp.ClientSession(server.url) as http:
        async with http.post("/chat/run", json={"input": "Hello", "session_id": "s"}) as answer:
            assert answer.status == 200
        yield server


async def command(dragoman: Command, *arguments: str, **env: str):
    return await asyncio.to_thread(dragoman, *arguments, **env)


def conversations(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "dragoman.db")) as database:
        return database.execute("SELECT count(*) FROM conversations").fetchone()[0]


async def test_a_person_is_exported_and_erased_beside_a_server(dragoman: Command, talked, tmp_path: Path):
    into_file = await command(dragoman, "people", "export", "local", "--out", "out/local.zip")
    assert into_file.returncode == 0, into_file.stderr
    into_folder = await command(dragoman, "people", "export", "local", "--out", "folder")
    assert into_folder.returncode == 0, into_folder.stderr
    with zipfile.ZipFile(tmp_path / "out/local.zip") as archive:
        items = json.loads(archive.read("items.json"))
    assert items == json.loads((tmp_path / "folder/items.json").read_text())
    assert items[0]["content"]["content"] == "Hello"
    again = await command(dragoman, "people", "export", "local", "--out", "folder")
    assert (again.returncode, again.stderr) == (2, "folder is there already.\n")

    careful = await command(dragoman, "people", "erase", "local")
    assert careful.returncode == 2
    assert conversations(tmp_path) == 1
    erased = await command(dragoman, "people", "erase", "local", "--yes")
    assert json.loads(erased.stdout)["removed"]["conversations"] == 1
    assert conversations(tmp_path) == 0


async def test_the_same_through_a_server(dragoman: Command, talked, tmp_path: Path):
    url = ("--url", talked.url)
    exported = await command(dragoman, "people", "export", "local", "--out", "local.zip", *url)
    assert exported.returncode == 0, exported.stderr
    with zipfile.ZipFile(tmp_path / "local.zip") as archive:
        assert archive.testzip() is None
        assert len(json.loads(archive.read("conversations.json"))) == 1
    erased = await command(dragoman, "people", "erase", "local", "--yes", *url)
    assert json.loads(erased.stdout)["removed"]["conversations"] == 1
    assert conversations(tmp_path) == 0
    nowhere = await command(dragoman, "people", "erase", "local", "--yes", "--url", "http://127.0.0.1:9")
    assert (nowhere.returncode, nowhere.stderr) == (2, "http://127.0.0.1:9 cannot be reached.\n")

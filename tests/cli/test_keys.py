"""``dragoman keys`` and ``dragoman audit``, also beside a running server."""

import asyncio
import json
from pathlib import Path

import aiohttp

from tests.cli.conftest import Command
from tests.server import serving


def test_a_key_is_printed_once_and_alone_and_listed_without_it(dragoman: Command):
    made = dragoman("keys", "create", "--user", "alice", "--scope", "runs:write", "--expires", "90d", "--name", "job")
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    assert key.startswith("dgm_")
    listed = dragoman("keys", "list")
    assert "alice@default  runs:write  job  expires" in listed.stdout
    assert key[-43:] not in made.stderr + listed.stdout
    assert dragoman("keys", "list", "--user", "bob").stdout == ""


def test_a_key_that_was_found_lying_about_can_be_revoked_by_itself(dragoman: Command):
    key = dragoman("keys", "create", "--user", "alice", "--tenant", "acme").stdout.strip()
    gone = dragoman("keys", "revoke", key)
    assert "revoked" in gone.stdout, gone.stderr
    assert key not in gone.stdout
    assert "revoked" in dragoman("keys", "list", "--tenant", "acme").stdout


def test_the_audit_log_tells_what_was_done(dragoman: Command):
    key = dragoman("keys", "create", "--user", "alice").stdout.strip()
    dragoman("keys", "revoke", key)
    told = dragoman("audit").stdout
    entries = [json.loads(line) for line in told.splitlines()]
    assert [(entry["actor"], entry["action"]) for entry in entries] == [
        ("@operator", "key.revoked"),
        ("@operator", "key.created"),
    ]
    assert key[-43:] not in told


def test_what_makes_no_sense_is_refused_with_a_sentence(dragoman: Command):
    for arguments, words in (
        (("create", "--user", "alice", "--scope", "all"), "runs:write"),
        (("create", "--user", "alice", "--expires", "soon"), "90d"),
        (("create", "--user", ""), "1 to 255"),
        (("revoke", "key_nothing"), "There is no key"),
    ):
        done = dragoman("keys", *arguments)
        assert done.returncode == 2
        assert words in done.stderr
        assert "Traceback" not in done.stderr


async def test_a_key_made_and_revoked_beside_a_running_server_counts_there_within_seconds(
    tmp_path: Path, dragoman: Command
):
    async with serving(tmp_path, DRAGOMAN_AUTH="token") as server, aiohttp.ClientSession() as http:

        async def status(token: str) -> int:
            async with http.get(f"{server.url}/chat/info", headers={"authorization": f"Bearer {token}"}) as answer:
                return answer.status

        made = await asyncio.to_thread(dragoman, "keys", "create", "--user", "alice")
        key = made.stdout.strip()
        assert await status(key) == 200, made.stderr
        await asyncio.to_thread(dragoman, "keys", "revoke", key)
        async with asyncio.timeout(20):
            while await status(key) != 401:
                await asyncio.sleep(0.1)

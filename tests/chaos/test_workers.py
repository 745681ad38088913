"""Several worker processes behind one port, on PostgreSQL."""

import asyncio
from pathlib import Path

from tests.server import Client, serving


async def test_worker_processes_share_a_port_and_a_database(postgres_url: str, tmp_path: Path) -> None:
    async with serving(tmp_path, "--workers", "2", DATABASE_URL=postgres_url) as server, asyncio.timeout(90):
        while server.log().count("Application startup complete") < 2:  # the first that is ready answers for both
            await asyncio.sleep(0.05)
        async with asyncio.TaskGroup() as group:
            runs = [group.create_task(one_run(server, n)) for n in range(20)]
        assert all(run.result()["success"] for run in runs)
        async with Client(server) as client:
            for n in range(20):
                _, session = await client.get(f"/chat/session/user_{n}")
                assert session["message_count"] == 2


async def one_run(server, n):
    async with Client(server) as client:  # a connection of its own, so that either process may get it
        return await client.run("chat", f"/say {n}", f"user_{n}")

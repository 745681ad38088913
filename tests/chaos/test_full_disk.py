"""When the disk is full the server says so, takes no new work, loses nothing it acknowledged, and goes on once there is room."""

import asyncio
import resource
from pathlib import Path

from tests.server import Client, serving

NO_LIMIT = resource.RLIM_INFINITY


async def test_a_full_disk_is_told_and_survived(tmp_path: Path) -> None:
    async with serving(tmp_path, LOG_LEVEL="ERROR") as server, Client(server) as client, asyncio.timeout(100):
        used = max(file.stat().st_size for file in tmp_path.iterdir())
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (used + 200_000, NO_LIMIT))
        sent = 0
        while (await client.get("/readyz"))[0] == 200:
            posting = asyncio.create_task(client.post("/chat/run", {"input": message(sent), "session_id": "sarah"}))
            sent += 1
            while not posting.done() and (await client.get("/readyz"))[0] == 200:
                await asyncio.sleep(0.01)
        # It may have been accepted, and then waits for its end to be stored; or it was refused.
        status, refused = await client.post("/chat/run", {"input": "No", "session_id": "sarah"})
        assert (status, refused["code"]) == (503, "storage_unavailable")
        assert (await client.get("/livez"))[0] == 200

        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (NO_LIMIT, NO_LIMIT))
        while (await client.get("/readyz"))[0] != 200:
            await asyncio.sleep(0.05)
        status, last = await posting
        assert (status, last["code"] if status == 503 else "") in ((200, ""), (503, "storage_unavailable"))
        assert (await client.run("chat", "Hello again", "sarah"))["success"]
        _, session = await client.get("/chat/session/sarah?limit=200")
        heard = [item["content"] for item in session["messages"] if item.get("role") == "user"]
        accepted = sent if status == 200 else sent - 1
        assert heard == [*(message(n) for n in range(accepted)), "Hello again"]


def message(n: int) -> str:
    return f"{n} {'x' * 5000}"

"""``python -m bench.takeover``: how long a run stands still when the replica that plays it is killed.

Two servers on a PostgreSQL of their own. One plays, the other shows; the player is killed with SIGKILL while it streams, and what
counts is the time from there to ``run_resumed`` at the readers. Then another player is started.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
import uuid
from pathlib import Path
from statistics import median

import aiohttp
from tests.postgres import local_postgres

from bench.measure import WrongAnswer
from bench.processes import OTHER_CORE, Server, serving
from bench.prompt import Answer
from bench.replicas import CONTENDER, replicas
from dragoman.adapters.sql import schema

RUNS = 8
LONG = Answer(400, 50_000)
"""Twenty seconds: long enough to be killed in the middle of it."""
PATIENCE = 60.0
RESUMED = b"event: run_resumed"


async def _begun(http: aiohttp.ClientSession, player: Server) -> str:
    body = {"input": LONG.order(), "session_id": uuid.uuid4().hex, "options": {"background": True}}
    async with http.post(f"http://127.0.0.1:{player.port}/agents/bench/run", json=body) as answer:
        run = await answer.json()
    return str(run["run_id"])


async def _read(http: aiohttp.ClientSession, reader: Server, run_id: str, seen: "asyncio.Queue[str]") -> float:
    """Read until the run is taken up again; when that was. Says when its first token has come."""
    received = b""
    async with http.get(f"http://127.0.0.1:{reader.port}/runs/{run_id}/events") as answer:
        async for chunk in answer.content.iter_any():
            if CONTENDER.delta in chunk and CONTENDER.delta not in received:
                seen.put_nowait(run_id)
            received += chunk
            if RESUMED in received:
                return time.perf_counter()
    raise WrongAnswer(received[-600:].decode(errors="replace"))


async def standstills(player: Server, reader: Server) -> list[float]:
    """Seconds for which each run stood still."""
    seen: asyncio.Queue[str] = asyncio.Queue()
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as http, asyncio.TaskGroup() as group:
        run_ids = [await _begun(http, player) for _ in range(RUNS)]
        reading = [group.create_task(_read(http, reader, run_id, seen)) for run_id in run_ids]
        for _ in run_ids:
            await seen.get()
        os.kill(player.pid, signal.SIGKILL)
        killed = time.perf_counter()
    return [at.result() - killed for at in reading]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.takeover", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round")
    rounds = 1 if parser.parse_args().quick else 6
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    fake = [sys.executable, "-m", "bench.fake_model", "{port}"]
    stood: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name, local_postgres() as postgres:
        folder, url = Path(name), postgres.create()
        schema.migrate(url)
        with contextlib.ExitStack() as stack:
            model = stack.enter_context(serving("fake_model", fake, core=OTHER_CORE, folder=folder, environment={}))
            (reader,) = stack.enter_context(replicas(folder, url, model.port, ["0"]))
            for number in range(1, rounds + 1):
                (player,) = stack.enter_context(replicas(folder, url, model.port, [str(number)]))
                stood += asyncio.run(standstills(player, reader))
                print(".", end="", file=sys.stderr, flush=True)
    print(
        f"\nA killed replica's runs go on elsewhere after, seconds: median {median(stood):.1f}, longest {max(stood):.1f}"
    )


if __name__ == "__main__":
    main()

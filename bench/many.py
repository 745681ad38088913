"""``python -m bench.many``: a thousand runs going on at once, and a thousand more that wait behind them, on SQLite.

How much CPU and memory that takes, and how soon the server answers a small request meanwhile. Each running one is told a
token per second by the fake model; each waiting one is in the queue. Nobody reads them: runs outlive their readers.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import aiohttp

from bench.contenders import BY_NAME
from bench.measure import WrongAnswer
from bench.processes import OTHER_CORE, SERVER_CORE, Server, serving
from bench.prompt import Answer

CONTENDER = BY_NAME["dragoman"]
LONG = Answer(3600, 1_000_000)
"""An hour, a token per second."""
SIDE_BY_SIDE = 32
"""How many are asked for at once."""
EVERY = 0.02
"""Seconds between two small requests."""
PATIENCE = 180.0


@dataclass(frozen=True, slots=True)
class Observed:
    """A server for some seconds, under whatever it has to do."""

    busy: float  # share of its core
    memory_mib: float
    small_ms: list[float]

    def __str__(self) -> str:
        p99 = quantiles(self.small_ms, n=100, method="inclusive")[98]
        return f"{self.busy:12.0%} {self.memory_mib:12.0f} {median(self.small_ms):12.1f} {p99:12.1f}"


class Crowd:
    """Whoever asks for so many runs, and looks at how the server does."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self._server = server
        self._http = http
        self._url = f"http://127.0.0.1:{server.port}"

    async def begin(self, runs: int) -> list[str]:
        at_once = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one() -> str:
            body = {"input": LONG.order(), "session_id": uuid.uuid4().hex, "options": {"background": True}}
            async with at_once, self._http.post(f"{self._url}/agents/bench/run", json=body) as answer:
                if answer.status != 202:
                    raise WrongAnswer(await answer.text())
                return str((await answer.json())["run_id"])

        return await asyncio.gather(*(one() for _ in range(runs)))

    async def until_active(self, runs: int) -> None:
        """Wait until so many are told tokens, no more and no fewer."""
        while (active := (await self._get("/health"))["runs"]["active"]) != runs:
            if active > runs:
                raise WrongAnswer(f"{active} runs are active")
            await asyncio.sleep(0.1)

    async def status(self, run_id: str) -> str:
        return str((await self._get(f"/runs/{run_id}"))["status"])

    async def observe(self, seconds: float, run_id: str) -> Observed:
        """Ask for one run's record again and again, whether or not the last answer has come."""
        cpu, begun = self._server.cpu_seconds(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            asked = []
            for _ in range(round(seconds / EVERY)):
                asked.append(group.create_task(self._timed(f"/runs/{run_id}")))
                await asyncio.sleep(EVERY)
        busy = (self._server.cpu_seconds() - cpu) / (time.perf_counter() - begun)
        return Observed(busy, self._server.memory_mib(), [each.result() for each in asked])

    async def _timed(self, path: str) -> float:
        asked = time.perf_counter()
        await self._get(path)
        return (time.perf_counter() - asked) * 1e3

    async def _get(self, path: str) -> dict[str, Any]:
        async with self._http.get(self._url + path) as answer:
            if answer.status != 200:
                raise WrongAnswer(await answer.text())
            found: dict[str, Any] = await answer.json()
            return found


async def observed(server: Server, runs: int, seconds: float) -> dict[str, Observed]:
    """Before, with so many running, and with as many waiting behind them."""
    connector = aiohttp.TCPConnector(limit=0)
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession(connector=connector) as http:
        crowd = Crowd(server, http)
        (first,) = await crowd.begin(1)
        await crowd.until_active(1)
        found = {"1 running": await crowd.observe(seconds, first)}
        await crowd.begin(runs - 1)
        await crowd.until_active(runs)
        found[f"{runs:,} running"] = await crowd.observe(seconds, first)
        *_, last = await crowd.begin(runs)
        if await crowd.status(last) != "queued":
            raise WrongAnswer("nothing waits")
        found[f"and {runs:,} waiting"] = await crowd.observe(seconds, first)
        return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.many", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a hundred instead of a thousand, for three seconds each")
    runs, seconds = (100, 3.0) if parser.parse_args().quick else (1000, 15.0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    fake = [sys.executable, "-m", "bench.fake_model", "{port}"]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with serving("fake_model", fake, core=OTHER_CORE, folder=folder, environment={}) as model:
            environment = {
                "OPENAI_BASE_URL": f"http://127.0.0.1:{model.port}/v1",
                "OPENAI_API_KEY": "bench",
                "AI_MODEL": "bench",
                "DATABASE_URL": "",
                "SESSION_DB_PATH": str(folder / "bench.db"),
                "DRAGOMAN_MAX_RUNS": str(runs),
                "DRAGOMAN_SHUTDOWN_GRACE": "0",
                "LOG_LEVEL": "WARNING",
            }
            with serving(
                "server", CONTENDER.command, core=SERVER_CORE, folder=folder, environment=environment
            ) as server:
                found = asyncio.run(observed(server, runs, seconds))
    print(" " * 20 + "".join(f"{title:>13}" for title in ("core busy", "memory, MiB", "small p50 ms", "p99 ms")))
    for what, figures in found.items():
        print(f"{what:<20} {figures}")


if __name__ == "__main__":
    main()

"""``python -m bench.replicas``: what it costs that there are two of them, on one PostgreSQL.

CPU per run of two replicas that share a load, both processes together, against one that has it alone. And the first token
of a run that one plays and the other shows, against one that shows what it plays itself. PostgreSQL's own CPU is not counted.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median, quantiles

import aiohttp
from tests.postgres import local_postgres

from bench.contenders import BY_NAME
from bench.load import Load, Report
from bench.measure import AFTERWARDS, LOAD_TIMEOUT, WrongAnswer
from bench.processes import OTHER_CORE, ROOT, SERVER_CORE, Server, pin, serving
from bench.prompt import Answer, model_delay_us
from dragoman.adapters.sql import schema

CONTENDER = BY_NAME["dragoman"]
CLIENTS = 32
TOKENS = 20
EVERY_MS = 2.0
APART = 0.04
"""Seconds between two runs whose first token is timed."""


@contextlib.contextmanager
def replicas(folder: Path, database: str, model_port: int, names: Sequence[str]) -> Iterator[list[Server]]:
    """Servers on one database, all on the server's core: what counts is their CPU, not their speed."""
    environment = {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1",
        "OPENAI_API_KEY": "bench",
        "AI_MODEL": "bench",
        "DATABASE_URL": database,
        "LOG_LEVEL": "WARNING",
    }
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                serving(name, CONTENDER.command, core=SERVER_CORE, folder=folder, environment=environment)
            )
            for name in names
        ]


def cpu_per_run_ms(servers: Sequence[Server], seconds: float) -> float:
    """Of all servers together, while they share the clients."""
    before = sum(server.cpu_seconds() for server in servers)
    loads = [
        Load(CONTENDER.name, server.port, TOKENS, EVERY_MS, clients=CLIENTS // len(servers), seconds=seconds)
        for server in servers
    ]
    reports = _loaded(loads)
    time.sleep(AFTERWARDS)
    return (sum(server.cpu_seconds() for server in servers) - before) / sum(report.runs for report in reports) * 1e3


def _loaded(loads: Sequence[Load]) -> list[Report]:
    clients = []
    for load in loads:
        command = [sys.executable, "-m", "bench.load", json.dumps(asdict(load))]
        clients.append(subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        pin(clients[-1].pid, OTHER_CORE)
    reports = [Report(**json.loads(client.communicate(timeout=LOAD_TIMEOUT)[0])) for client in clients]
    for report in reports:
        if report.failed:
            raise WrongAnswer(report.failure)
    return reports


async def first_tokens_ms(player: Server, reader: Server, runs: int) -> list[float]:
    """From the request to ``player`` until the first token comes from ``reader``, less the model's own delay."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http, asyncio.TaskGroup() as group:
        streams = []
        for _ in range(runs):
            streams.append(group.create_task(_first_token_ms(http, player, reader)))
            await asyncio.sleep(APART)
    return [stream.result() for stream in streams]


async def _first_token_ms(http: aiohttp.ClientSession, player: Server, reader: Server) -> float:
    body = {
        "input": Answer(40, 25_000).order(),
        "session_id": uuid.uuid4().hex,
        "options": {"background": True},
    }
    asked = time.perf_counter()
    async with http.post(f"http://127.0.0.1:{player.port}/agents/bench/run", json=body) as answer:
        run = await answer.json()
    received, first = b"", 0.0
    async with http.get(f"http://127.0.0.1:{reader.port}/runs/{run['run_id']}/events") as answer:
        async for chunk in answer.content.iter_any():
            received += chunk
            if not first and (delay := model_delay_us(received)) is not None:
                first = (time.perf_counter() - asked) * 1e3 - delay / 1e3
    if not CONTENDER.ended_well(received):
        raise WrongAnswer(received[-600:].decode(errors="replace"))
    return first


def _percentiles(values: Sequence[float]) -> str:
    cut = quantiles(values, n=100)
    return f"{median(values):8.1f} {cut[98]:8.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.replicas", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round")
    quick = parser.parse_args().quick
    rounds, seconds, runs = (1, 3.0, 50) if quick else (5, 4.0, 100)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    fake = [sys.executable, "-m", "bench.fake_model", "{port}"]
    alone: list[float] = []
    shared: list[float] = []
    near: list[float] = []
    far: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name, local_postgres() as postgres:
        folder, urls = Path(name), (postgres.create(), postgres.create())
        for url in urls:
            schema.migrate(url)
        with (
            serving("fake_model", fake, core=OTHER_CORE, folder=folder, environment={}) as model,
            replicas(folder, urls[0], model.port, ["one"]) as one,
            replicas(folder, urls[1], model.port, ["first", "second"]) as two,
        ):
            for servers in (one, two):
                cpu_per_run_ms(servers, 2.0)  # warm
            for number in range(rounds):
                for servers, measured in ((one, alone), (two, shared))[:: -1 if number % 2 else 1]:
                    measured.append(cpu_per_run_ms(servers, seconds))
                near += asyncio.run(first_tokens_ms(two[0], two[0], runs))
                far += asyncio.run(first_tokens_ms(two[0], two[1], runs))
                print(".", end="", file=sys.stderr, flush=True)
    ratio = median(two / one for one, two in zip(alone, shared, strict=True))
    print(f"\nCPU per run, ms: one replica {median(alone):.2f}, two together {median(shared):.2f}; ratio {ratio:.2f}")
    print("first token added, ms         p50      p99")
    print(f"  by the replica that plays{_percentiles(near)}\n  by another               {_percentiles(far)}")


if __name__ == "__main__":
    main()

"""One contender, one round: three loads, and the server's CPU around each of them."""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace

from bench.contenders import Contender
from bench.figures import Measured
from bench.load import Load, Report
from bench.processes import OTHER_CORE, ROOT, Server, pin

LOAD_TIMEOUT = 120.0
AFTERWARDS = 0.3
"""Seconds a server is still watched after a load: what it does once it has answered counts too."""
SHORT = 20
"""Tokens of a short answer."""


class WrongAnswer(Exception):
    """A contender did not answer every run rightly: there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured; every plan measures the same things."""

    rounds: int
    clients: int  # ask as fast as they are answered
    warm_up: float  # seconds
    throughput: float  # seconds
    paced_clients: int  # ask slowly enough that every token arrives, and is passed on, alone
    short: float  # seconds
    long_tokens: int
    arrivals: int


FULL = Plan(rounds=3, clients=32, warm_up=2, throughput=4, paced_clients=8, short=1, long_tokens=220, arrivals=100)
QUICK = Plan(rounds=1, clients=32, warm_up=1, throughput=3, paced_clients=8, short=1, long_tokens=120, arrivals=50)
SMOKE = Plan(rounds=1, clients=1, warm_up=0, throughput=0, paced_clients=1, short=0, long_tokens=40, arrivals=2)


@dataclass(frozen=True, slots=True)
class Sitting:
    """A contender's server, under one plan."""

    plan: Plan
    contender: Contender
    server: Server

    def warm_up(self) -> None:
        self._run(replace(self._throughput(), seconds=self.plan.warm_up))

    def measure(self) -> Measured:
        fast, fast_cpu = self._run(self._throughput())
        short, short_cpu = self._run(self._paced(SHORT, self.plan.short))
        long, long_cpu = self._run(self._paced(self.plan.long_tokens))
        steady, _ = self._run(self._steady())
        cpu_of_the_longer = long_cpu / long.runs - short_cpu / short.runs
        return Measured(
            runs_per_second=fast.runs / fast.seconds,
            server_busy=fast_cpu / fast.seconds,
            cpu_per_run_ms=fast_cpu / fast.runs * 1e3,
            cpu_per_token_us=cpu_of_the_longer / (self.plan.long_tokens - SHORT) * 1e6,
            first_token_ms=steady.first_token_ms,
            bytes_per_token=long.bytes_per_token,
        )

    def _throughput(self) -> Load:
        return replace(self._load(SHORT, every_ms=2), clients=self.plan.clients, seconds=self.plan.throughput)

    def _paced(self, tokens: int, seconds: float = 0.0) -> Load:
        return replace(self._load(tokens, every_ms=10), clients=self.plan.paced_clients, seconds=seconds)

    def _steady(self) -> Load:
        return replace(self._load(40, every_ms=25), arrivals=self.plan.arrivals, interval_ms=40)

    def _load(self, tokens: int, every_ms: float) -> Load:
        return Load(self.contender.name, self.server.port, tokens, every_ms)

    def _run(self, load: Load) -> tuple[Report, float]:
        """The client's report, and the CPU seconds the server has used for it."""
        before = self.server.cpu_seconds()
        with subprocess.Popen(
            [sys.executable, "-m", "bench.load", json.dumps(asdict(load))], cwd=ROOT, stdout=subprocess.PIPE
        ) as client:
            pin(client.pid, OTHER_CORE)
            try:
                output, _ = client.communicate(timeout=LOAD_TIMEOUT)
            except subprocess.TimeoutExpired:
                client.kill()
                raise
        time.sleep(AFTERWARDS)
        cpu = self.server.cpu_seconds() - before
        report = Report(**json.loads(output))
        if report.failed:
            raise WrongAnswer(f"{self.contender.name}: {report.failed} runs failed; the first: {report.failure}")
        return report, cpu

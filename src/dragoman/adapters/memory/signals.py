"""``Signals`` between applications in one process, on one event loop: many replicas, for tests and trials."""

import asyncio
from collections.abc import Collection

from dragoman.ports.signals import Hearer, Signal, SignalKind


class MemorySignals:
    """Those that are given the same ``hearers`` hear each other."""

    def __init__(self, name: str, hearers: dict[str, Hearer]) -> None:
        self._name = name
        self._hearers = hearers

    async def start(self, hearer: Hearer) -> None:
        self._hearers[self._name] = hearer
        hearer.hear(Signal("missed"))

    async def stop(self) -> None:
        self._hearers.pop(self._name, None)

    async def check(self) -> str | None:
        return None

    def send(self, kind: SignalKind, run_ids: Collection[str] = (), *, to: str | None = None) -> None:
        signal = Signal(kind, frozenset(run_ids), self._name)
        asyncio.get_running_loop().call_soon(self._deliver, signal, to)

    def _deliver(self, signal: Signal, to: str | None) -> None:
        for name, hearer in list(self._hearers.items()):
            if name != self._name and to in (name, None):
                hearer.hear(signal)

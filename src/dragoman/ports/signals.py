"""Wake-ups between the processes that share a database. They say that it is time to look, never what will be seen."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, Protocol

SignalKind = Literal[
    "claimable",  # there may be something to claim
    "asked",  # something is asked of these runs, or they were taken away: whoever plays one should look
    "followed",  # the sender wants to hear when the logs of these runs grow, for the next few seconds
    "awaited",  # the same, but only when they end or stop for now
    "grown",  # the logs of these runs have grown
    "missed",  # said by nobody: signals may have been lost up to now, so look at everything
]


@dataclass(frozen=True, slots=True)
class Signal:
    kind: SignalKind
    run_ids: frozenset[str] = frozenset()
    sender: str = ""  # the name of a process, unique per boot


class Hearer(Protocol):
    def hear(self, signal: Signal) -> None:
        """Never waits and raises nothing. What it is told may be out of date, doubled, or about runs it never knew."""
        ...


class Signals(Protocol):
    """A signal may get lost, and then whoever missed it is late, nothing worse: every truth is in the database, and everybody
    who waits for one also looks there now and then. None is sent from within a transaction: it must be sent after what
    it speaks of was stored."""

    async def start(self, hearer: Hearer) -> None:
        """From here on ``hearer`` is told what others send to all, or to this process; never what it has sent itself. Once
        others can be heard, now or later and after every gap, it hears ``missed``."""
        ...

    async def stop(self) -> None:
        """What was sent before is on its way when this returns, if that is possible."""
        ...

    async def check(self) -> str | None:
        """``None`` when others can be heard, else what is wrong, for the operator."""
        ...

    def send(self, kind: SignalKind, run_ids: Collection[str] = (), *, to: str | None = None) -> None:
        """Tell one process, or all others. Never waits and never fails; signals of a moment travel together."""
        ...


class Alone:
    """``Signals`` where there is nobody to hear them: one process has the database for itself."""

    async def start(self, hearer: Hearer) -> None:
        pass

    async def stop(self) -> None:
        pass

    async def check(self) -> str | None:
        return None

    def send(self, kind: SignalKind, run_ids: Collection[str] = (), *, to: str | None = None) -> None:
        pass

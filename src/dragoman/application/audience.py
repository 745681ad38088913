"""Who waits for news of runs: readers here of what is played elsewhere, and readers elsewhere of what is played here."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from time import monotonic
from typing import Literal

from dragoman.ports.signals import Signals

Wish = Literal["followed", "awaited"]

REPEAT = 2.0
"""Seconds after which those who still wait for news say so again."""
KEPT = 3 * REPEAT
"""How long others believe them."""
REMEMBERED = 1000
"""How many runs that ended last are still known, to those who ask a moment too late."""


class Watch:
    """Somebody here who waits for news of a run that may be played anywhere. Nothing between two looks is missed."""

    def __init__(self, audience: "Audience", run_id: str) -> None:
        self._audience = audience
        self._run_id = run_id
        self._news = asyncio.Event()

    def look(self) -> None:
        """Whoever looks at the store after this is told of what comes later."""
        self._news.clear()

    async def news(self, wish: Wish, timeout: float) -> None:
        """Wait until something may have changed since the last look, or for ``timeout`` seconds."""
        self._audience.wish(wish, self._run_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._news.wait()

    def wake(self) -> None:
        self._news.set()


class Audience:
    """Both sides of the same thing. Without other processes it is only a set of watches."""

    def __init__(self, signals: Signals, *, time: Callable[[], float] = monotonic) -> None:
        self._signals = signals
        self._time = time
        self._watches: dict[str, set[Watch]] = {}
        self._said: dict[tuple[Wish, str], float] = {}  # when we last told the others what we wish
        self._rested: dict[str, None] = {}
        self._afar: dict[Wish, _Interest] = {"followed": _Interest(time), "awaited": _Interest(time)}

    # here, about elsewhere ---------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def watch(self, run_id: str) -> Iterator[Watch]:
        watch = Watch(self, run_id)
        watches = self._watches.setdefault(run_id, set())
        watches.add(watch)
        try:
            yield watch
        finally:
            watches.discard(watch)
            if not watches:
                self._watches.pop(run_id, None)

    def watched(self, run_id: str) -> bool:
        """Whether somebody here waits for news of this run, or is about to."""
        return run_id in self._watches

    def wish(self, wish: Wish, run_id: str) -> None:
        now = self._time()
        if now - self._said.get((wish, run_id), -REPEAT) < REPEAT:
            return
        if len(self._said) > 2 * len(self._watches):
            self._said = {said: at for said, at in self._said.items() if now - at < REPEAT}
        self._said[wish, run_id] = now
        self._signals.send(wish, [run_id])

    def wake(self, run_ids: Collection[str]) -> None:
        for run_id in run_ids:
            for watch in self._watches.get(run_id, ()):
                watch.wake()

    def wake_all(self) -> None:
        """News may have been lost, and our wishes, too."""
        self._said.clear()
        self.wake(self._watches)

    # elsewhere, about here ---------------------------------------------------------------------------------------

    def heard(self, wish: Wish, reader: str, run_ids: Collection[str]) -> list[str]:
        """A process wishes for news of some runs. Returns those that were not known to interest it."""
        return self._afar[wish].add(reader, run_ids)

    def answer(self, reader: str, run_ids: Collection[str]) -> None:
        """What we had before it asked is news to it: it may have looked before that was stored."""
        self._signals.send("grown", run_ids, to=reader)

    def has_rested(self, run_id: str) -> bool:
        """Whether a run ended or stopped here a moment ago."""
        return run_id in self._rested

    def followed(self, run_ids: Collection[str]) -> bool:
        """Whether somebody elsewhere follows one of these runs."""
        return self._afar["followed"].any_of(run_ids)

    def tell(self, run_ids: Collection[str], *, resting: Collection[str] = ()) -> None:
        """Tell the processes that want to know: the logs of these runs have grown, and some have ended or stopped for now."""
        self._tell(self._afar["followed"].among(run_ids))
        self._tell(self._afar["awaited"].among(resting))
        self._rested.update(dict.fromkeys(resting))
        while len(self._rested) > REMEMBERED:
            del self._rested[next(iter(self._rested))]

    def _tell(self, wanted: Mapping[str, Collection[str]]) -> None:
        for reader, run_ids in wanted.items():
            self._signals.send("grown", run_ids, to=reader)


class _Interest:
    """Which processes want to hear of which runs, as long as they keep saying so."""

    def __init__(self, time: Callable[[], float]) -> None:
        self._time = time
        self._until: dict[str, dict[str, float]] = {}  # by run and reader
        self._swept = time()

    def add(self, reader: str, run_ids: Collection[str]) -> list[str]:
        """The runs among these that were not known to interest it."""
        now = self._sweep()
        new = [run_id for run_id in run_ids if reader not in self._until.get(run_id, ())]
        for run_id in run_ids:
            self._until.setdefault(run_id, {})[reader] = now + KEPT
        return new

    def any_of(self, run_ids: Collection[str]) -> bool:
        self._sweep()
        return bool(self._until) and not self._until.keys().isdisjoint(run_ids)

    def among(self, run_ids: Collection[str]) -> dict[str, list[str]]:
        """By reader, those of these runs that interest it."""
        wanted: dict[str, list[str]] = {}
        self._sweep()
        if self._until:
            for run_id in run_ids:
                for reader in self._until.get(run_id, ()):
                    wanted.setdefault(reader, []).append(run_id)
        return wanted

    def _sweep(self) -> float:
        """Forget those who no longer say so. Returns the time."""
        now = self._time()
        if now - self._swept < REPEAT:
            return now
        self._swept = now
        for run_id, readers in list(self._until.items()):
            for reader in [reader for reader, until in readers.items() if until < now]:
                del readers[reader]
            if not readers:
                del self._until[run_id]
        return now

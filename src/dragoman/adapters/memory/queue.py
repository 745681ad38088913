"""Who plays what, in memory."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dragoman.adapters.memory.state import State, encoded
from dragoman.domain.events import UNFINISHED, resumed_behind, started
from dragoman.domain.runs import Asked, Run, RunStatus, place, shares
from dragoman.ports.runs import SILENCE, Claim


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class MemoryQueue:
    """``RunQueue``."""

    state: State
    alone: bool = True  # nobody else plays these runs: a player of another name is a dead one
    gone: Callable[[str], bool] = lambda _: False  # whether a player can be seen to have died
    now: Callable[[], datetime] = _now

    async def claim(self, claim: Claim, limit: int) -> Sequence[Run]:
        unfinished = sorted((self.state.runs[run_id] for run_id in self.state.unfinished), key=place)
        held = {run.conversation_id for run in unfinished if run.status is not RunStatus.QUEUED} - {None}
        waiting: defaultdict[str, deque[Run]] = defaultdict(deque)
        for run in unfinished:
            if run.status is RunStatus.QUEUED and run.conversation_id not in held:
                waiting[run.tenant].append(run)
            if run.conversation_id is not None:
                held.add(run.conversation_id)
        playing = Counter(run.tenant for run in unfinished if run.status is RunStatus.IN_PROGRESS)
        taken: list[Run] = []
        while waiting and len(taken) < limit:
            for tenant, share in shares({tenant: playing[tenant] for tenant in waiting}, limit - len(taken)).items():
                runs = [waiting[tenant].popleft() for _ in range(min(share, len(waiting[tenant])))]
                taken += [take(self.state, run, claim) for run in runs]
                playing[tenant] += len(runs)
                if not waiting[tenant]:
                    del waiting[tenant]
        return taken

    async def renew(self, claim: Claim, run_ids: Collection[str]) -> Mapping[str, Asked | None]:
        held = [id for id in run_ids if id in self.state.claims and self.state.claims[id].player == claim.player]
        self.state.claims.update(dict.fromkeys(held, claim))
        return {id: self.state.marks.get(id) for id in held}

    async def abandoned(self, claim: Claim) -> Sequence[Run]:
        return sorted(
            (self.state.runs[id] for id, held in self.state.claims.items() if self._over(held, claim)), key=place
        )

    async def release(self, claim: Claim, runs: Sequence[Run]) -> None:
        for given in runs:
            run, held = self.state.runs.get(given.id), self.state.claims.get(given.id)
            if run is None or held is None or run.attempt != given.attempt:
                continue
            if held.player == claim.player or self._over(held, claim):
                self.state.put(replace(run, status=RunStatus.QUEUED, attempt=run.attempt + 1))

    def _over(self, held: Claim, claim: Claim) -> bool:
        if held.until < self.now() or (self.alone and held.player != claim.player):
            return True
        return held.until < claim.until - SILENCE and self.gone(held.player)

    async def waiting(self) -> int:
        return sum(self.state.runs[run_id].status is RunStatus.QUEUED for run_id in self.state.unfinished)


def take(state: State, run: Run, claim: Claim) -> Run:
    """Make a queued run the claimant's: its input enters the conversation and its log begins, or its log goes on."""
    if run.attempt == 0:
        run = replace(run, base_item=state.enter(run))
    run = replace(run, status=RunStatus.IN_PROGRESS)
    log = state.logs[run.id]
    finished = ((row.position, row.kind) for row in reversed(log) if row.kind not in UNFINISHED)
    log.extend(encoded([resumed_behind(run, next(finished, None)) if run.attempt else started(run)]))
    state.put(run)
    state.claims[run.id] = claim
    return run

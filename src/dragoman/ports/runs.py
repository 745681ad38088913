"""Runs as rows: begun in one transaction, read by their owner, claimed by whoever plays them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from dragoman.domain.identity import Principal
from dragoman.domain.limits import Subject
from dragoman.domain.runs import Asked, CancelMode, Run, RunStatus

IDEMPOTENCY_KEPT = timedelta(hours=24)
"""How long after its run an idempotency key is known. Then it is as good as new."""

LEASE = timedelta(seconds=15)
"""How long a process that cannot be seen to have died, because it froze or its machine is gone, is waited for."""
SILENCE = timedelta(seconds=3)
"""A player that has not renewed its claims for so long, and can be seen to be gone, is not waited for."""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """What a caller sent as ``Idempotency-Key``, where, and a digest of the body it came with."""

    key: str
    route: str  # method and path
    digest: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Who plays a run, unique per boot, and until when unless it says so again."""

    player: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Begun:
    run: Run
    fresh: bool  # False: an earlier request with the same idempotency key began it
    disturbed: Run | None = None  # the run it has interrupted or undone, as that stands now: somebody may be playing it


@dataclass(frozen=True, slots=True)
class RunPage:
    runs: tuple[Run, ...]
    next: str | None


class RunStore(Protocol):
    """Every method is one short transaction. A database that fails raises ``StorageUnavailable``."""

    async def begin(
        self,
        run: Run,
        *,
        claim: Claim | None,
        idempotency: IdempotencyKey | None = None,
        at_most: Mapping[Subject, int] = ...,
    ) -> Begun:
        """Accept a run: after this its message cannot be lost.

        ``run`` is queued. If it has a ``conversation_id``, the owner's conversation named by its ``session_id`` is used, or
        one is created with that id; what comes back names the conversation that holds it. With an idempotency key that is
        known: the run it began, or ``IdempotencyMismatch``. With so many runs queued or in progress of somebody in ``at_most`` as
        stand there, this one not counted: ``TooManyRuns``. With a ``claim``, and nothing before it in its conversation,
        the run is claimed at once, as by ``RunQueue.claim``.

        If something unfinished is before it, ``on_busy`` decides: ``queue``, or nothing said, waits its turn. ``reject``:
        ``ConversationBusy``, and nothing is stored. The others change the run that is being played, or waits for a person,
        or was given back; those that wait between the two stay where they are.

        - ``interrupt`` asks it to stop, or ends it if it waits for a person.
        - ``steer`` asks it to take the message before it asks its model again (``EventLog.absorb``). If it does not come to
          that, the message has its turn as any other. One that waits for a person hears of it when it goes on.
        - ``rollback`` undoes it: it ends ``CANCELLED`` with what its log holds, and its player writes no more. Its items
          move to a branch of their own that says which run superseded it, and its branch ends where it ended before.
        """
        ...

    async def get(self, principal: Principal, run_id: str) -> Run:
        """One run of this principal, or ``NotFound``."""
        ...

    async def ahead(self, run: Run) -> int:
        """How many runs come before a queued one: the unfinished ones before it in its conversation; if there is none, those
        queued before it anywhere."""
        ...

    async def list(
        self,
        principal: Principal,
        *,
        status: RunStatus | None = None,
        agent: str | None = None,
        conversation_id: str | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> RunPage:
        """The principal's runs, newest first; ``after`` is the ``next`` of an earlier page."""
        ...

    async def cancel(self, principal: Principal, run_id: str, mode: CancelMode) -> Run:
        """End a run that has not begun or waits for a person, or leave a mark on any other for its player, the next one if
        it was released. Ended runs raise ``RunEnded``."""
        ...

    async def delete(self, principal: Principal, run_id: str) -> Run:
        """Remove a run with its log, also one that is played: its player must stop. What it said stays in its conversation,
        but for a hidden one, which goes with its last run. Returns what was removed; ``NotFound`` if there is nothing."""
        ...

    async def remove_stateless(self, before: datetime, limit: int) -> int:
        """Remove at most ``limit`` runs without a conversation that ended before then, whoever's they are, with their logs.
        One stays for as long as an idempotency key leads to it. What was used stays in the ledger. Returns how many."""
        ...

    async def remove_expired_keys(self, now: datetime, limit: int) -> int:
        """Remove at most ``limit`` idempotency keys that are not known any more. Returns how many."""
        ...


class RunQueue(Protocol):
    """Who plays what. Claims are exclusive: of any number of players, one gets a run."""

    async def claim(self, claim: Claim, limit: int) -> Sequence[Run]:
        """Take queued runs, oldest first, turn by turn from every tenant that has some, and first from those of which the least
        are in progress; at most one per conversation and none whose conversation has a run unfinished
        before it. In the same transaction each becomes ``in_progress``. In its first attempt its input becomes items at the
        conversation's head, ``base_item`` is the head before that, and its log begins with ``RunStarted``; in a later one its
        log goes on with ``RunResumed``, which discards what was not finished."""
        ...

    async def renew(self, claim: Claim, run_ids: Collection[str]) -> Mapping[str, Asked | None]:
        """Hold on to these runs until ``claim.until``, as far as they are still the player's. Returns those that are, and of
        each what somebody asked of it, perhaps through another process. What its player does not renew is
        abandoned."""
        ...

    async def abandoned(self, claim: Claim) -> Sequence[Run]:
        """Unfinished runs that nobody plays, seen by somebody who could make this claim now: those whose own claim is over;
        those whose player can be seen to have died, once it has not renewed for ``SILENCE``, so that one which only seems
        dead has time to say that it is not; and where no other process can be alive, those of all other players."""
        ...

    async def release(self, claim: Claim, runs: Sequence[Run]) -> None:
        """Queue runs in progress again, for their next attempt and in their old place: one's own, and those that are still
        abandoned. One whose attempt is over meanwhile is left as it is, so of several who release the same run one succeeds,
        and one whose player has just renewed is not taken from it."""
        ...

    async def waiting(self) -> int:
        """How many runs are queued."""
        ...

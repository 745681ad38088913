"""The log of a run: append-only, read from any position."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dragoman.domain.events import Recorded, Steered
from dragoman.domain.identity import Principal
from dragoman.domain.items import NewItem
from dragoman.domain.runs import RunError, RunStatus
from dragoman.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class End:
    """How a run ends, or why it stops for now: written together with its last event."""

    status: RunStatus
    usage: Usage
    items: tuple[NewItem, ...] = ()  # what it adds to the conversation, in order
    error: RunError | None = None
    final_output: Any = None
    response_id: str | None = None
    asked: bool = False  # it has asked for approvals; those that are still pending are withdrawn when it ends


@dataclass(frozen=True, slots=True)
class Append:
    """Some events of one run, in order, and perhaps its end."""

    run_id: str
    attempt: int
    events: tuple[Recorded, ...]
    end: End | None = None


class EventLog(Protocol):
    async def append(self, batch: Sequence[Append]) -> frozenset[str]:
        """Store a batch in one transaction. All of it is durable when this returns; none of it if it raises.

        Whatever belongs to a run that is gone, ended, or being played in another attempt is left out, and the run's id
        is returned: its player must stop. An ``end`` sets the run's status and chains its items to the conversation's
        head in the same transaction, and the model calls that the events tell of enter the usage ledger, each once.
        """
        ...

    async def absorb(self, run_id: str, attempt: int, position: int) -> Steered | None:
        """Let a run that is being played take the messages that steer it, of ``steering``. Their runs end ``COMPLETED``, each
        with ``steered_into`` in its row and its log, and the run's own log says so at ``position``, also if there are none.

        All in one transaction, of which nothing happens twice: what stands at ``position`` already is returned. ``None``,
        and nothing has happened, if the run is gone, ended, or being played in another attempt."""
        ...

    async def read(self, principal: Principal, run_id: str, after: int, limit: int) -> Sequence[Recorded]:
        """Stored events of the principal's run above ``after``, in order; about ``limit`` of them, at least one if there is
        one. Somebody else's run reads as empty."""
        ...

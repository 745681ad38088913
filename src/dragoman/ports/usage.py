"""The ledger of model calls, as it is read. It is written by ``EventLog.append``, from the events themselves."""

from collections.abc import Sequence
from typing import Protocol

from dragoman.domain.identity import Principal
from dragoman.domain.ledger import Entry, GroupBy, Period, Report

MAX_GROUPS = 1000
"""The largest report. What is left out of its groups is still in its total."""


class UsageLedger(Protocol):
    """An entry outlives its run and its conversation; only erasing a person removes theirs."""

    async def report(self, principal: Principal, period: Period, by: GroupBy) -> Report:
        """What the principal's model calls of a period used. Days come in order, any other group by its requests, most
        first."""
        ...

    async def of_run(self, principal: Principal, run_id: str) -> Sequence[Entry]:
        """Every request to a model that the principal's run made, in order; nothing for somebody else's."""
        ...

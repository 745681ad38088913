"""The ledger of model calls in memory."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from dragoman.adapters.memory.state import Charge, State
from dragoman.domain.identity import Principal
from dragoman.domain.ledger import Entry, GroupBy, Period, Report, Sum
from dragoman.domain.usage import money
from dragoman.ports.usage import MAX_GROUPS


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """``UsageLedger``."""

    state: State

    async def report(self, principal: Principal, period: Period, by: GroupBy) -> Report:
        charges = [charge for charge in self._of(principal) if period.since <= charge.at < period.until]
        groups: defaultdict[str | None, list[Entry]] = defaultdict(list)
        for charge in charges:
            groups[_group(charge, by)].append(charge.entry)
        sums = [(name, _sum(entries)) for name, entries in groups.items()]
        if by == "day":
            sums.sort(key=lambda group: group[0] or "")
        else:
            sums.sort(key=lambda group: (-group[1].requests, group[0] or ""))
        return Report(_sum([charge.entry for charge in charges]), tuple(sums[:MAX_GROUPS]))

    async def of_run(self, principal: Principal, run_id: str) -> Sequence[Entry]:
        found = (charge.entry for charge in self._of(principal) if charge.run_id == run_id)
        return sorted(found, key=lambda entry: entry.key)

    def _of(self, principal: Principal) -> Iterable[Charge]:
        whose = (principal.tenant, principal.user)
        return (charge for charge in self.state.ledger.values() if (charge.tenant, charge.owner) == whose)


def _group(charge: Charge, by: GroupBy) -> str | None:
    if by == "day":
        return charge.at.date().isoformat()
    if by == "conversation":
        return charge.conversation_id
    return charge.entry.agent if by == "agent" else charge.entry.model


def _sum(entries: Sequence[Entry]) -> Sum:
    usages = [entry.usage for entry in entries]
    priced = [usage.cost for usage in usages if usage.cost is not None]
    return Sum(
        requests=len(entries),
        failed_requests=sum(entry.status != "answered" for entry in entries),
        estimated_requests=sum(entry.estimated for entry in entries),
        unpriced_requests=len(entries) - len(priced),
        input_tokens=sum(usage.input_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        total_tokens=sum(usage.total_tokens for usage in usages),
        cached_input_tokens=sum(usage.cached_input_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
        cost=money(sum(map(Decimal, priced), Decimal(0))) if priced else None,
    )

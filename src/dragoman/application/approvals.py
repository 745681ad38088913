"""The verbs of an approval: the inbox, deciding, and what happens when nobody does."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from dragoman.application.dispatch import Dispatcher
from dragoman.application.log import LiveLog
from dragoman.application.scheduler import Job
from dragoman.domain.approvals import Approval, ApprovalStatus, Decision
from dragoman.domain.errors import Forbidden, Invalid, NotFound
from dragoman.domain.identity import Principal
from dragoman.domain.text import storable, storable_json
from dragoman.domain.tools import Tool, ToolError
from dragoman.ports.approvals import ApprovalPage, ApprovalStore
from dragoman.ports.clock import Clock
from dragoman.ports.tools import ToolRegistry

BATCH = 100
"""How many approvals expire in one transaction."""


@dataclass(frozen=True, slots=True)
class Approvals:
    store: ApprovalStore
    tools: ToolRegistry
    dispatcher: Dispatcher
    log: LiveLog
    clock: Clock

    async def list(
        self,
        principal: Principal,
        *,
        status: ApprovalStatus | None = None,
        run_id: str | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> ApprovalPage:
        """The inbox: of one's own runs, of what one's scope is asked for, and for an administrator of the whole tenant."""
        return await self.store.list(principal, status=status, run_id=run_id, after=after, limit=limit)

    async def decide(
        self,
        principal: Principal,
        run_id: str,
        approval_id: str,
        decision: Literal["approve", "reject"],
        *,
        arguments: Mapping[str, Any] | None = None,
        message: str | None = None,
    ) -> Approval:
        """Say yes, perhaps with other arguments, or no. When this returns it is stored, and the run goes on somewhere."""
        approval = await self.store.get(principal, run_id, approval_id)
        if not approval.decided_by_right(principal):
            raise Forbidden(approval.scope)
        approved = decision == "approve"
        if arguments is not None:
            if not approved:
                raise Invalid("Only a call that is approved can have other arguments.", field="arguments")
            arguments = storable_json(dict(arguments))
            self._check(principal, approval, arguments)
        said = storable(message) if message else None
        decided = await self.store.decide(
            approval, Decision(approved, principal.user, self.clock.now(), arguments, said)
        )
        self._goes_on([run_id])
        return decided

    def expiry(self, every: timedelta) -> Job:
        """Nobody waits for ever: what is not decided in time counts as refused."""

        async def expire() -> str:
            count = 0
            while runs := await self.store.expire(self.clock.now(), BATCH):
                self._goes_on(runs)
                count += len(runs)
            return f"approvals of {count:,} runs expired"

        return Job("approvals", every, expire)

    def _goes_on(self, run_ids: Collection[str]) -> None:
        self.dispatcher.notify()
        self.log.audience.wake(run_ids)
        self.log.audience.tell(run_ids)

    def _check(self, principal: Principal, approval: Approval, arguments: Mapping[str, Any]) -> None:
        """Changed arguments must fit the tool, and the person must be one who may agree to a call with them. A tool that is not
        of the registry checks them itself when it is called."""
        tool = self._tool(approval.tool)
        if tool is None:
            return
        try:
            read = tool.arguments(arguments)
        except ToolError as error:
            raise Invalid(str(error), field="arguments") from None
        scope = tool.needs_approval(read) if callable(tool.needs_approval) else None
        if isinstance(scope, str) and not principal.may(scope):
            raise Forbidden(scope)

    def _tool(self, name: str) -> Tool | None:
        try:
            return self.tools.get(name)
        except NotFound:
            return None

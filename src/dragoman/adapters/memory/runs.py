"""Runs in memory: begun, read, listed, cancelled."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from dragoman.adapters.memory.busy import ask, disturb
from dragoman.adapters.memory.queue import take
from dragoman.adapters.memory.state import BoundKey, State
from dragoman.domain.conversations import START, Conversation, title_from
from dragoman.domain.errors import ConversationBusy, IdempotencyMismatch, NotFound, RunEnded, TooManyRuns
from dragoman.domain.identity import Principal
from dragoman.domain.ids import branch_id, is_conversation_id
from dragoman.domain.limits import Subject
from dragoman.domain.runs import CancelMode, Run, RunStatus, check_place, place
from dragoman.ports.runs import IDEMPOTENCY_KEPT, Begun, Claim, IdempotencyKey, RunPage

NOBODY: Mapping[Subject, int] = {}
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class MemoryRuns:
    """``RunStore``."""

    state: State

    async def begin(
        self,
        run: Run,
        *,
        claim: Claim | None,
        idempotency: IdempotencyKey | None = None,
        at_most: Mapping[Subject, int] = NOBODY,
    ) -> Begun:
        if idempotency is not None and (earlier := self._bound(run, idempotency)):
            return Begun(earlier, fresh=False)
        self._check_room(run, at_most)
        free, disturbed = True, None
        if run.conversation_id is not None:
            run, free, disturbed = self._enter(run)
        self.state.put(run)
        self.state.logs[run.id] = []
        if idempotency is not None:
            key = (run.tenant, run.owner, idempotency.route, idempotency.key)
            self.state.keys[key] = BoundKey(idempotency.digest, run.id, run.created_at + IDEMPOTENCY_KEPT)
        if claim is not None and free:
            run = take(self.state, run, claim)
        return Begun(run, fresh=True, disturbed=disturbed)

    async def get(self, principal: Principal, run_id: str) -> Run:
        return self.state.run(principal, run_id)

    async def ahead(self, run: Run) -> int:
        there = sum(place(other) < place(run) for other in self.state.unfinished_in(run.conversation_id))
        queued = [self.state.runs[run_id] for run_id in self.state.unfinished]
        return there or sum(o.status is RunStatus.QUEUED and place(o) < place(run) for o in queued)

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
        runs = sorted(
            (
                run
                for run in self.state.runs.values()
                if (run.tenant, run.owner) == (principal.tenant, principal.user)
                and run.conversation_id is not None
                and status in (None, run.status)
                and agent in (None, run.agent)
                and conversation_id in (None, run.conversation_id)
                and (after is None or run.id < after)
            ),
            key=lambda run: run.id,
            reverse=True,
        )
        page = tuple(runs[:limit])
        return RunPage(page, next=page[-1].id if len(runs) > limit else None)

    async def cancel(self, principal: Principal, run_id: str, mode: CancelMode) -> Run:
        run = self.state.run(principal, run_id)
        if run.status.ended:
            raise RunEnded
        return ask(self.state, run, mode)

    async def delete(self, principal: Principal, run_id: str) -> Run:
        run = self.state.run(principal, run_id)
        self.state.drop([run.id])
        self.state.enter_unsaid(run.conversation_id)
        conversation = self.state.conversations.get(run.conversation_id or "")
        empty = all(other.conversation_id != run.conversation_id for other in self.state.runs.values())
        if conversation is not None and conversation.status == "hidden" and empty:
            self.state.forget(conversation)
        return run

    async def remove_stateless(self, before: datetime, limit: int) -> int:
        state, now = self.state, datetime.now(UTC)
        bound = {key.run_id for key in state.keys.values() if key.expires_at > now}
        ended = [run for run in state.runs.values() if run.conversation_id is None and run.id not in bound]
        gone = [run.id for run in ended if run.ended_at is not None and run.ended_at < before][:limit]
        state.drop(gone)
        return len(gone)

    async def remove_expired_keys(self, now: datetime, limit: int) -> int:
        gone = [key for key, bound in self.state.keys.items() if bound.expires_at <= now][:limit]
        for key in gone:
            del self.state.keys[key]
        return len(gone)

    def _bound(self, run: Run, idempotency: IdempotencyKey) -> Run | None:
        """The run that a key belongs to, if it is bound."""
        bound = self.state.keys.get((run.tenant, run.owner, idempotency.route, idempotency.key))
        if bound is None or bound.expires_at <= run.created_at:
            return None
        if bound.digest != idempotency.digest:
            raise IdempotencyMismatch
        return self.state.runs[bound.run_id]

    def _check_room(self, run: Run, at_most: Mapping[Subject, int]) -> None:
        under_way = [
            other
            for other in map(self.state.runs.__getitem__, self.state.unfinished)
            if other.tenant == run.tenant and other.status is not RunStatus.REQUIRES_ACTION
        ]
        for subject, limit in at_most.items():
            same = {
                "tenant": under_way,
                "user": [other for other in under_way if other.owner == run.owner],
                "key": [other for other in under_way if other.key == run.key],
            }
            if len(same[subject.kind]) >= limit:
                raise TooManyRuns

    def _enter(self, run: Run) -> tuple[Run, bool, Run | None]:
        """The run in the conversation it named, made if need be, on its branch; whether nothing is before it there; and the
        run that it has disturbed."""
        state = self.state
        conversation = self._found(run) or _begun_by(run)
        if run.options.on_busy == "reject" and state.unfinished_in(conversation.id):
            raise ConversationBusy
        if (at := run.options.from_item) is not None:
            item = state.item_at(conversation.id, at, field="from_item")
            check_place(run, item.role if item else None)
        if conversation.id not in state.conversations:
            state.keep(conversation)
        state.conversations[conversation.id] = replace(
            conversation,
            status="hidden" if conversation.status == "hidden" else "active",
            title=conversation.title or title_from(run.input),
            agent=conversation.agent or run.agent,
            updated_at=run.created_at,
            last_message_at=run.created_at,
        )
        disturbed = disturb(state, run, conversation.id)
        if disturbed is not None and disturbed.superseded_by:
            run = replace(run, supersedes=disturbed.id)
        branch = conversation.branch if at is None else self._branch_at(conversation, at, run.created_at)
        run = replace(run, conversation_id=conversation.id, session_id=conversation.key, branch=branch)
        before = [*state.unfinished_in(conversation.id), *state.unsaid_in(conversation.id)]
        if before:  # it came after these, whatever the clocks of two machines say
            newest = max(other.created_at for other in before)
            run = replace(run, created_at=max(run.created_at, newest + MICROSECOND))
        return run, not before, disturbed

    def _found(self, run: Run) -> Conversation | None:
        if (name := run.session_id) is None:
            return None
        try:
            return self.state.conversation(Principal(run.owner, run.tenant), name)
        except NotFound:
            if is_conversation_id(name):
                raise
            return None

    def _branch_at(self, conversation: Conversation, at: str, now: datetime) -> str:
        """The branch that ends at a place, if it is idle, else a new one. From now on it is the current one."""
        head = None if at == START else at
        state = self.state
        busy = {run.branch for run in (*state.unfinished_in(conversation.id), *state.unsaid_in(conversation.id))}
        branches = self.state.branches[conversation.id].values()
        idle = [branch.id for branch in branches if branch.head == head and branch.id not in busy]
        branch = conversation.branch if conversation.branch in idle else min(idle, default=None)
        if branch is None:
            return self.state.begin_branch(conversation.id, branch_id(), head, now).id
        self.state.switch(conversation.id, branch)
        return branch


def _begun_by(run: Run) -> Conversation:
    assert run.conversation_id is not None
    return Conversation(
        id=run.conversation_id,
        tenant=run.tenant,
        owner=run.owner,
        key=run.session_id,
        agent=run.agent,
        branch=branch_id(),
        head=None,
        created_at=run.created_at,
        updated_at=run.created_at,
        last_message_at=run.created_at,
        status="hidden" if run.options.hidden else "active",
    )

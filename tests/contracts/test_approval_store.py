"""What every store promises of approvals."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dragoman.domain.approvals import Approval, ApprovalStatus, Decision
from dragoman.domain.errors import AlreadyDecided, NotFound
from dragoman.domain.events import ApprovalDecided, ApprovalRequested, ItemDone, RunCompleted, RunResumed
from dragoman.domain.identity import ORDINARY, Principal, Scope
from dragoman.domain.ids import approval_id
from dragoman.domain.items import tool_call
from dragoman.domain.runs import Run, RunStatus
from dragoman.domain.usage import Usage
from dragoman.ports.events import End
from tests.contracts.talk import ELSEWHERE, SARAH, TOM, Talk

WAITS = End(RunStatus.REQUIRES_ACTION, Usage(), asked=True)
BOSS = Principal("boss", scopes=ORDINARY | {"approvals:write"})
ADMIN = Principal("admin", scopes=ORDINARY | {"admin"})


def asked(call_id: str = "call_1", *, scope: Scope | None = None, expires_in: float | None = None) -> ApprovalRequested:
    expires_at = None if expires_in is None else (datetime.now(UTC) + timedelta(seconds=expires_in)).isoformat()
    return ApprovalRequested(
        approval_id(), call_id, "refund", {"amount": 200}, "chat", "call_0", scope=scope, expires_at=expires_at
    )


def yes(by: str = "sarah", **fields: object) -> Decision:
    return Decision(True, by, datetime.now(UTC), **fields)


async def waiting(talk: Talk, *requests: ApprovalRequested, **fields: object) -> Run:
    """A run that waits for a person."""
    run = await talk.playing(**fields)
    call = ItemDone("tool_called", tool_call("call_1", "refund", '{"amount": 200}'), "chat")
    await talk.write(run, call, *requests, RunCompleted(RunStatus.REQUIRES_ACTION, None, Usage()), end=WAITS)
    return run


async def approvals(talk: Talk, principal: Principal = SARAH, **where: object) -> Sequence[Approval]:
    return (await talk.store.approvals.list(principal, **where)).approvals


async def status(talk: Talk, run: Run) -> tuple[RunStatus, int]:
    found = await talk.store.runs.get(Principal(run.owner, run.tenant), run.id)
    return found.status, found.attempt


async def test_what_is_asked_is_there_with_the_event_that_asks(talk: Talk) -> None:
    run = await talk.playing()
    request = asked(expires_in=60)
    assert await talk.write(run, request)
    (approval,) = await approvals(talk)
    assert approval == Approval(
        id=request.approval_id,
        run_id=run.id,
        tenant=run.tenant,
        owner=run.owner,
        agent="chat",
        tool="refund",
        call_id="call_1",
        arguments={"amount": 200},
        requested_at=datetime.fromisoformat(request.at),
        expires_at=datetime.fromisoformat(request.expires_at or ""),
        path="call_0",
        conversation_id=run.conversation_id,
    )
    assert await talk.store.approvals.get(SARAH, run.id, approval.id) == approval


async def test_a_decision_is_kept_and_queues_the_run_that_waits(talk: Talk) -> None:
    run = await waiting(talk, asked())
    assert await status(talk, run) == (RunStatus.REQUIRES_ACTION, 0)
    (approval,) = await approvals(talk)
    decision = yes(arguments={"amount": 20}, message="less")
    decided = await talk.store.approvals.decide(approval, decision)
    assert decided == replace(
        approval,
        status=ApprovalStatus.APPROVED,
        changed_arguments={"amount": 20},
        message="less",
        decided_by="sarah",
        decided_at=decided.decided_at,
    )
    assert await approvals(talk) == (decided,)
    assert await status(talk, run) == (RunStatus.QUEUED, 1)
    (claimed,) = await talk.store.queue.claim(talk.claim(), 10)
    assert (claimed.id, claimed.attempt) == (run.id, 1)
    resumed = (await talk.log(claimed))[-1].event
    assert isinstance(resumed, RunResumed)
    assert resumed.reason == "decided"


async def test_of_simultaneous_decisions_one_counts(talk: Talk) -> None:
    run = await waiting(talk, asked())
    (approval,) = await approvals(talk)
    clicks = [talk.store.approvals.decide(approval, yes(by=f"user {i}")) for i in range(20)]
    results = await asyncio.gather(*clicks, return_exceptions=True)
    assert sum(isinstance(result, AlreadyDecided) for result in results) == 19
    (counted,) = [result for result in results if isinstance(result, Approval)]
    assert await approvals(talk) == (counted,)
    assert await status(talk, run) == (RunStatus.QUEUED, 1)


async def test_a_decision_that_comes_while_the_run_is_played_queues_it_when_it_would_wait(talk: Talk) -> None:
    run = await talk.playing()
    await talk.write(run, asked())
    (approval,) = await approvals(talk)
    await talk.store.approvals.decide(approval, yes())
    assert await status(talk, run) == (RunStatus.IN_PROGRESS, 0)
    await talk.write(run, RunCompleted(RunStatus.REQUIRES_ACTION, None, Usage()), end=WAITS)
    assert await status(talk, run) == (RunStatus.QUEUED, 1)


async def test_a_decision_that_the_run_knows_wakes_it_no_more(talk: Talk) -> None:
    run = await waiting(talk, asked("call_1"), asked("call_2"))
    _, first = await approvals(talk)
    await talk.store.approvals.decide(first, yes())
    (run,) = await talk.store.queue.claim(talk.claim(), 10)
    known = ApprovalDecided(first.id, first.call_id, ApprovalStatus.APPROVED)
    await talk.write(run, known, RunCompleted(RunStatus.REQUIRES_ACTION, None, Usage()), end=WAITS)
    assert await status(talk, run) == (RunStatus.REQUIRES_ACTION, 1)


async def test_a_run_that_was_asked_to_stop_does_not_begin_to_wait(talk: Talk) -> None:
    run = await talk.playing()
    await talk.store.runs.cancel(SARAH, run.id, "now")
    await talk.write(run, asked(), RunCompleted(RunStatus.REQUIRES_ACTION, None, Usage()), end=WAITS)
    assert await status(talk, run) == (RunStatus.QUEUED, 1)


async def test_who_sees_what(talk: Talk) -> None:
    run = await waiting(talk, asked(), session="a")
    await waiting(talk, asked(scope="approvals:write"), session="b")
    assert [len(await approvals(talk, who)) for who in (SARAH, TOM, ELSEWHERE, BOSS, ADMIN)] == [2, 0, 0, 1, 2]
    approval = (await approvals(talk))[1]
    for stranger in (TOM, ELSEWHERE, BOSS):
        with pytest.raises(NotFound):
            await talk.store.approvals.get(stranger, run.id, approval.id)
    with pytest.raises(NotFound):
        await talk.store.approvals.get(SARAH, "run_other", approval.id)


async def test_the_inbox_comes_in_pages_newest_first(talk: Talk) -> None:
    run = await waiting(talk, *(asked(f"call_{i}") for i in range(5)))
    first = await talk.store.approvals.list(SARAH, limit=3)
    rest = await talk.store.approvals.list(SARAH, limit=3, after=first.next)
    ids = [approval.id for approval in (*first.approvals, *rest.approvals)]
    assert ids == sorted(ids, reverse=True)
    assert (len(ids), rest.next) == (5, None)
    assert [one.id for one in await talk.store.approvals.of_run(run.id)] == ids[::-1]
    await talk.store.approvals.decide(first.approvals[0], yes())
    assert len(await approvals(talk, status=ApprovalStatus.PENDING)) == 4
    assert await approvals(talk, run_id="run_other") == ()


async def test_what_expired_is_refused_and_its_run_goes_on(talk: Talk) -> None:
    run = await waiting(talk, asked(expires_in=-1), asked("call_2", expires_in=1000))
    (late,) = [one for one in await approvals(talk) if one.call_id == "call_1"]
    with pytest.raises(AlreadyDecided):
        await talk.store.approvals.decide(late, yes())
    assert list(await talk.store.approvals.expire(datetime.now(UTC), 10)) == [run.id]
    assert {one.call_id: one.status for one in await approvals(talk)} == {"call_1": "expired", "call_2": "pending"}
    assert await status(talk, run) == (RunStatus.QUEUED, 1)
    assert list(await talk.store.approvals.expire(datetime.now(UTC), 10)) == []


async def test_ending_withdraws_what_is_still_asked(talk: Talk) -> None:
    run = await talk.playing()
    failed = End(RunStatus.FAILED, Usage(), asked=True)
    await talk.write(run, asked(), RunCompleted(RunStatus.CANCELLED, None, Usage()), end=failed)
    (approval,) = await approvals(talk)
    assert approval.status is ApprovalStatus.WITHDRAWN
    with pytest.raises(AlreadyDecided):
        await talk.store.approvals.decide(approval, yes())


async def test_cancelling_a_waiting_run_ends_it_with_what_it_has_done(talk: Talk) -> None:
    run = await waiting(talk, asked())
    cancelled = await talk.store.runs.cancel(SARAH, run.id, "after_turn")
    assert cancelled.status is RunStatus.CANCELLED
    (approval,) = await approvals(talk)
    assert approval.status is ApprovalStatus.WITHDRAWN
    page = await talk.store.sessions.page(SARAH, "s", limit=10)
    assert [item.kind for item in page.items] == ["message", "function_call", "function_call_output"]


async def test_deleting_removes_what_was_asked(talk: Talk) -> None:
    run = await waiting(talk, asked())
    (approval,) = await approvals(talk)
    await talk.store.sessions.delete(SARAH, "s")
    assert await approvals(talk) == ()
    assert await talk.store.approvals.of_run(run.id) == []
    with pytest.raises(NotFound):
        await talk.store.approvals.decide(approval, yes())


async def test_an_append_that_comes_twice_asks_once(talk: Talk) -> None:
    run = await talk.playing()
    request = asked()
    await talk.write(run, request)
    await talk.write(run, request)
    assert len(await approvals(talk)) == 1

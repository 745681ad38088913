"""What a ``RunStore`` removes when nobody needs it any more."""

from datetime import UTC, datetime, timedelta

import pytest

from dragoman.domain.errors import NotFound
from dragoman.domain.runs import RunStatus
from dragoman.ports.runs import IDEMPOTENCY_KEPT, IdempotencyKey
from tests.contracts.talk import SARAH, TOM, Store, Talk

LATER = datetime.now(UTC) + timedelta(days=1)
KEY = IdempotencyKey("k", "POST /chat/run", "digest")


async def test_runs_without_a_conversation_are_removed_when_they_ended_long_ago(talk: Talk, store: Store):
    ended = [await talk.answered(session=None), await talk.answered(session=None, principal=TOM)]
    kept = [
        await talk.answered(),
        await talk.playing(session=None),
        await talk.queued(session=None),
    ]

    assert await store.runs.remove_stateless(datetime.now(UTC) - timedelta(hours=1), 10) == 0
    assert await store.runs.remove_stateless(LATER, 10) == 2

    for run in ended:
        assert await talk.log(run) == []
    with pytest.raises(NotFound):
        await store.runs.get(SARAH, ended[0].id)
    for run in kept:
        assert await store.runs.get(SARAH, run.id)


async def test_they_are_removed_in_batches(talk: Talk, store: Store):
    for _ in range(5):
        await talk.answered(session=None)

    assert [await store.runs.remove_stateless(LATER, 2) for _ in range(4)] == [2, 2, 1, 0]


async def test_a_run_stays_while_an_idempotency_key_leads_to_it(talk: Talk, store: Store):
    run = (await talk.begin("Hello", session=None, key=KEY)).run
    await talk.finish(run)

    assert await store.runs.remove_stateless(LATER, 10) == 0
    again = await talk.begin("Hello", session=None, key=KEY)
    assert (again.fresh, again.run.id, again.run.status) == (False, run.id, RunStatus.COMPLETED)


async def test_expired_keys_are_removed_and_others_stay(talk: Talk, store: Store):
    await talk.begin(talk.run(at=datetime.now(UTC) - IDEMPOTENCY_KEPT), key=KEY)
    young = IdempotencyKey("young", KEY.route, KEY.digest)
    run = (await talk.begin("Hello", session="other", key=young)).run

    assert await store.runs.remove_expired_keys(datetime.now(UTC), 10) == 1
    assert await store.runs.remove_expired_keys(datetime.now(UTC), 10) == 0
    assert (await talk.begin("Hello", session="other", key=young)).run.id == run.id


async def test_keys_are_removed_in_batches(talk: Talk, store: Store):
    for n in range(3):
        await talk.begin(session=f"s{n}", key=IdempotencyKey(f"k{n}", KEY.route, KEY.digest))

    at = datetime.now(UTC) + IDEMPOTENCY_KEPT + timedelta(minutes=1)
    assert [await store.runs.remove_expired_keys(at, 2) for _ in range(3)] == [2, 1, 0]

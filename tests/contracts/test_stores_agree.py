"""Whatever happens to them, all stores tell the same: random histories, driven on each and compared after every step."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test

from dragoman.adapters.memory import MemoryStore
from dragoman.adapters.sql import SqliteEngine, SqlStore
from dragoman.adapters.sql.engine import SERVER
from dragoman.adapters.sql.postgres import PostgresEngine
from dragoman.domain.conversations import Conversation
from dragoman.domain.errors import DragomanError
from dragoman.domain.events import Delta, ItemDone, Recorded, RunCompleted
from dragoman.domain.identity import Principal
from dragoman.domain.ids import conversation_id, run_id
from dragoman.domain.items import Item, NewItem, assistant_message, message
from dragoman.domain.runs import OnBusy, Run, RunOptions, RunStatus
from dragoman.domain.text import storable
from dragoman.domain.usage import Usage
from dragoman.ports.events import Append, End
from dragoman.ports.runs import Begun, Claim, IdempotencyKey, RunPage
from dragoman.ports.sessions import ItemPage
from tests.contracts.talk import Store

OWNERS = [Principal("sarah"), Principal("tom"), Principal("sarah", tenant="elsewhere")]
SESSIONS = ["s", "t"]
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
FAR = datetime(2100, 1, 1, tzinfo=UTC)

owners = st.sampled_from(OWNERS)
sessions = st.sampled_from(SESSIONS)
texts = st.text(max_size=20).map(storable)
EMPTY = ("idempotency_keys", "events", "runs", "items", "conversations")


def empty(tables: tuple[str, ...]) -> Iterator[Any]:
    for table in tables:
        yield f"DELETE FROM {table}", {}


class Stores:
    """All of them, asked one question at a time."""

    def __init__(self, runner: asyncio.Runner, engines: dict[str, SqliteEngine | PostgresEngine]) -> None:
        self._runner = runner
        self._engines = engines
        self._stores: dict[str, Store] = {}

    def clear(self) -> None:
        for engine in self._engines.values():
            self._runner.run(engine.write(SERVER, empty, EMPTY))
        self._stores = {name: SqlStore(engine) for name, engine in self._engines.items()}
        self._stores["memory"] = MemoryStore()

    def all(self, port: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """What all of them answer, with errors told by their code. That it is the same is the test."""

        async def ask(store: Store) -> Any:
            try:
                return await getattr(getattr(store, port), method)(*args, **kwargs)
            except DragomanError as error:
                return error.code

        return self._same(ask)

    def leaf_through(self, owner: Principal, session: str, limit: int) -> None:
        """All pages of a conversation, from the newest to the oldest."""

        async def ask(store: Store) -> Any:
            pages: list[ItemPage] = []
            before = None
            while not pages or (pages[-1].has_more and pages[-1].items):
                try:
                    pages.append(await store.sessions.page(owner, session, limit=limit, before=before))
                except DragomanError as error:
                    return error.code
                before = pages[-1].items[0].id if pages[-1].items else None
            return pages

        self._same(ask)

    def _same(self, ask: Callable[[Store], Coroutine[Any, Any, Any]]) -> Any:
        answers = {name: comparable(self._runner.run(ask(store))) for name, store in self._stores.items()}
        expected = answers["memory"]
        assert answers == dict.fromkeys(answers, expected)
        return expected


def comparable(answer: Any) -> Any:
    """Without the times and the ids of items that each store chooses for itself."""
    match answer:
        case Run():
            known = {"base_item": answer.base_item and "an item", "branch": answer.branch and "a branch"}
            return replace(answer, ended_at=answer.ended_at and FAR, **known)
        case Conversation():
            head = answer.head and "an item"
            return replace(answer, last_message_at=FAR, updated_at=FAR, branch="a branch", head=head)
        case Item():
            return replace(answer, created_at=FAR, id="an item", parent=answer.parent and "an item")
        case Begun():
            return replace(answer, run=comparable(answer.run), disturbed=comparable(answer.disturbed))
        case RunPage():
            return replace(answer, runs=comparable(answer.runs))
        case ItemPage():
            chain = [item.id for item in answer.items][:-1]
            assert [item.parent for item in answer.items][1:] == chain
            return replace(answer, conversation=comparable(answer.conversation), items=comparable(answer.items))
        case list() | tuple():
            return [comparable(each) for each in answer]
    return answer


def machine(stores: Stores) -> type[RuleBasedStateMachine]:
    class Histories(RuleBasedStateMachine):
        playing = Bundle("playing")

        def __init__(self) -> None:
            super().__init__()
            stores.clear()
            self.moments = count()
            self.positions: dict[str, Iterator[int]] = {}
            self.known: list[Run] = []

        @rule(
            target=playing,
            owner=owners,
            session=st.none() | sessions,
            text=texts,
            claimed=st.booleans(),
            on_busy=st.sampled_from([None, *get_args(OnBusy)]),
            key=st.none() | st.sampled_from("kl"),
            late=st.integers(-2, 2),
        )
        def begin(self, owner, session, text, claimed, on_busy, key, late):
            run = Run(
                id=run_id(),
                tenant=owner.tenant,
                owner=owner.user,
                agent="chat",
                provider="scripted",
                conversation_id=conversation_id() if session else None,
                session_id=session,
                input=(message("user", text),),
                created_at=EPOCH + timedelta(seconds=next(self.moments) + late),
                options=RunOptions(on_busy=on_busy),
                context={"text": text},
            )
            claim = Claim("player", FAR) if claimed else None
            idempotency = IdempotencyKey(key, "POST /chat/run", session or "") if key else None
            begun = stores.all("runs", "begin", run, claim=claim, idempotency=idempotency)
            if isinstance(begun, str):
                return None
            if begun.fresh:
                self.known.append(begun.run)
            return begun.run if begun.fresh and begun.run.status is RunStatus.IN_PROGRESS else None

        @rule(target=playing, limit=st.integers(1, 3))
        def claim(self, limit):
            before = stores.all("queue", "waiting")
            taken = stores.all("queue", "claim", Claim("player", FAR), limit)
            assert stores.all("queue", "waiting") == before - len(taken)
            return taken[0] if taken else None

        @rule(run=playing, texts=st.lists(texts, max_size=4), attempt=st.sampled_from([0, 0, 0, 1]))
        def append(self, run, texts, attempt):
            if run is not None:
                events = [Delta("text", text) for text in texts]
                events += [ItemDone("message_output_created", assistant_message("".join(texts)), "chat")]
                stores.all("events", "append", [self._append(run, events, attempt=attempt)])

        @rule(
            runs=st.lists(consumes(playing), min_size=1, max_size=3),
            text=texts,
            status=st.sampled_from([s for s in RunStatus if s.ended] + [RunStatus.REQUIRES_ACTION]),
        )
        def end(self, runs, text, status):
            unique = {run.id: run for run in runs if run is not None}
            item = assistant_message(text)
            stores.all(
                "events",
                "append",
                [
                    self._append(
                        run,
                        [RunCompleted(status, text, Usage(1, 2, 3, 5))],
                        End(status, Usage(1, 2, 3, 5), (NewItem(item, id=f"item_{run.id}"),), final_output={"a": text}),
                    )
                    for run in unique.values()
                ],
            )

        @rule(data=st.data(), owner=owners, mode=st.sampled_from(["now", "after_turn"]))
        def cancel(self, data, owner, mode):
            if self.known:
                run = data.draw(st.sampled_from(self.known))
                stores.all("runs", "cancel", owner, run.id, mode)

        @rule(owner=owners, session=sessions)
        def delete(self, owner, session):
            stores.all("sessions", "delete", owner, session)

        @rule(data=st.data())
        def renew(self, data):
            chosen = data.draw(st.lists(st.sampled_from(self.known), max_size=3)) if self.known else []
            stores.all("queue", "renew", Claim("player", FAR), sorted({run.id for run in chosen}))

        @rule(owner=owners, session=sessions, limit=st.integers(1, 3))
        def leaf_through(self, owner, session, limit):
            stores.leaf_through(owner, session, limit)

        @rule(data=st.data(), after=st.integers(-1, 6), limit=st.integers(1, 4))
        def read_on(self, data, after, limit):
            if self.known:
                run = data.draw(st.sampled_from(self.known))
                stores.all("events", "read", Principal(run.owner, run.tenant), run.id, after, limit)

        @invariant()
        def all_tell_the_same(self):
            for owner in OWNERS:
                stores.all("runs", "list", owner, limit=100)
                for session in SESSIONS:
                    stores.all("sessions", "page", owner, session, limit=100)
            for run in self.known[-3:]:
                stores.all("events", "read", Principal(run.owner, run.tenant), run.id, -1, 100)

        def _append(self, run: Run, events: list[Any], end: End | None = None, attempt: int = 0) -> Append:
            positions = self.positions.setdefault(run.id, count(1))
            return Append(run.id, attempt, tuple(Recorded(next(positions), event) for event in events), end)

    return Histories


@pytest.fixture
def stores(tmp_path: Path, postgres_url: str) -> Iterator[Stores]:
    with asyncio.Runner() as runner:
        engines = {
            "sqlite": SqliteEngine(tmp_path / "store.db"),
            "postgresql": PostgresEngine(postgres_url, pool_size=1),
        }
        for engine in engines.values():
            runner.run(engine.start())
        yield Stores(runner, engines)
        for engine in engines.values():
            runner.run(engine.stop())


def test_all_stores_tell_the_same_whatever_happens(stores: Stores):
    run_state_machine_as_test(
        machine(stores),
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

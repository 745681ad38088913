"""``python -m bench.storage``: what keeping things costs, on SQLite and PostgreSQL, in this process's CPU.

A *simple run* is begun and claimed at once, reads its history, stores twenty deltas and its answer, and ends; 32 go side by
side. A *turn* is a whole run of a scripted agent through the application, in a conversation of 100 and of 10,000 items in
turns. A *page* is the newest fifty items of each. Medians over rounds; PostgreSQL's own CPU is not counted.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from tests.postgres import local_postgres

from dragoman.adapters.sql import SqliteEngine, SqlStore, schema
from dragoman.adapters.sql.postgres import PostgresEngine
from dragoman.asgi import Dragoman
from dragoman.domain.events import Delta, ItemDone, ModelAnswered, Recorded, RunCompleted
from dragoman.domain.identity import LOCAL
from dragoman.domain.ids import conversation_id, run_id
from dragoman.domain.items import NewItem, assistant_message, message
from dragoman.domain.runs import Run, RunStatus
from dragoman.domain.usage import Usage
from dragoman.ports.events import Append, End
from dragoman.ports.runs import Claim
from dragoman.testing import app_with, say

SIDE_BY_SIDE = 32
RUNS = 640
TURNS = 100
ROUNDS = 5
SIZES = {"100": 100, "10,000": 10_000}
COMPLETED = RunCompleted(RunStatus.COMPLETED, "Hello.", Usage())


async def simple_run(store: SqlStore, session: str, added: int = 1) -> None:
    """What a run asks of its store. It adds ``added`` messages to the conversation."""
    now = datetime.now(UTC)
    run = Run(
        id=run_id(),
        tenant=LOCAL.tenant,
        owner=LOCAL.user,
        agent="chat",
        provider="scripted",
        conversation_id=conversation_id(),
        session_id=session,
        input=(message("user", "Hello"),),
        created_at=now,
    )
    run = (await store.runs.begin(run, claim=Claim("bench", now + timedelta(minutes=5)))).run
    await store.sessions.history(LOCAL, run.base_item, 50)
    deltas = tuple(Recorded(n, Delta("text", "word ")) for n in range(1, 21))
    await store.events.append([Append(run.id, 0, deltas)])
    said = assistant_message("word " * 20)
    answer = (
        Recorded(21, ItemDone("message_output_created", said, "chat")),
        Recorded(22, ModelAnswered("chat", "bench", 0, 1, Usage(requests=1))),
        Recorded(23, COMPLETED),
    )
    end = End(RunStatus.COMPLETED, Usage(), tuple(NewItem(said) for _ in range(added)), final_output="Hello.")
    await store.events.append([Append(run.id, 0, answer, end)])


async def cpu_ms(times: int, work: Callable[[], Awaitable[object]]) -> float:
    before = time.process_time()
    for _ in range(times):
        await work()
    return (time.process_time() - before) / times * 1e3


async def of_simple_runs(store: SqlStore) -> float:
    async def some() -> None:
        await asyncio.gather(*(simple_run(store, run_id()) for _ in range(SIDE_BY_SIDE)))

    await some()
    return median([await cpu_ms(RUNS // SIDE_BY_SIDE, some) / SIDE_BY_SIDE for _ in range(ROUNDS)])


async def by_size(work: Callable[[str], Awaitable[object]]) -> dict[str, float]:
    """The same in the small and the large conversation, in turns."""
    rounds: dict[str, list[float]] = {size: [] for size in SIZES}
    for _ in range(ROUNDS):
        for size, measured in rounds.items():
            measured.append(await cpu_ms(TURNS, lambda size=size: work(size)))  # type: ignore[misc]
    return {size: median(measured) for size, measured in rounds.items()}


async def measure(name: str, store: SqlStore) -> None:
    app: Dragoman = app_with({"chat": [say("Hello there.")]}, store=store)
    async with app:
        simple = await of_simple_runs(store)
        for size, items in SIZES.items():
            await simple_run(store, size, added=items)
        turns = await by_size(lambda size: app.run("chat", "Hello", session_id=size))
        pages = await by_size(lambda size: store.sessions.page(LOCAL, size, limit=50))
    print(f"{name}")
    print(f"  simple run      {simple:6.2f} ms of CPU")
    for what, found in (("turn", turns), ("page", pages)):
        small, large = found.values()
        print(f"  {what:<15} {small:6.2f} ms in 100 items, {large:6.2f} ms in 10,000: {large / small:.2f}x")


@contextlib.contextmanager
def stores() -> Iterator[dict[str, SqlStore]]:
    with tempfile.TemporaryDirectory() as folder, local_postgres() as server, server.fresh() as url:
        schema.migrate(url)
        yield {
            "SQLite": SqlStore(SqliteEngine(Path(folder) / "bench.db")),
            "PostgreSQL": SqlStore(PostgresEngine(url)),
        }


def main() -> None:
    with stores() as given:
        for name, store in given.items():
            asyncio.run(measure(name, store))


if __name__ == "__main__":
    main()

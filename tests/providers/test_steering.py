"""What is said to a run while it is played, on either provider: heard before the next model call, and at the same place ever after."""

import asyncio
from dataclasses import replace

import pytest

from dragoman.adapters.memory import MemoryStore
from dragoman.application.runs import StartRun
from dragoman.domain.events import ItemDone, ModelAnswered, Recorded, RunResumed, RunStarted, Steered
from dragoman.domain.identity import LOCAL
from dragoman.domain.items import text_of
from dragoman.domain.runs import Run, RunOptions, RunStatus
from dragoman.domain.tools import Tool
from dragoman.ports.events import Append
from dragoman.ports.runs import Claim
from tests.contracts.talk import Talk
from tests.providers.played import PROVIDERS, logged, played, spec

STEER = RunOptions(on_busy="steer")
PATIENCE = 30.0


class Gate:
    """A tool that a run waits in until the test lets it go."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.calls = 0
        self.tool = Tool("gate", "Waits.", {"type": "object", "properties": {}}, self._wait)

    async def _wait(self) -> str:
        self.calls += 1
        self.reached.set()
        await asyncio.wait_for(self.opened.wait(), PATIENCE)
        return "opened"


async def start(app, text: str, options: RunOptions | None = None) -> Run:
    return await app.application.services.runs.start(LOCAL, StartRun("ann", text, "s", options=options or RunOptions()))


async def heard(app, run: Run) -> None:
    """Wait until the player of a run knows that somebody has said something to it."""
    async with asyncio.timeout(PATIENCE):
        while not app.application.services.player.performances[run.id].addressed:
            await asyncio.sleep(0)


async def ended(app, run: Run) -> Run:
    return await app.application.services.runs.wait(LOCAL, run, PATIENCE)


async def texts(app) -> list[str]:
    page = await app.application.services.conversations.page(LOCAL, "s", limit=50)
    return [text_of(item.content) or item.kind for item in page.items]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_message_is_heard_before_the_next_model_call(provider: str):
    gate = Gate()
    async with played(provider, [gate.tool]) as app:
        first = await start(app, "/call gate {}")
        await gate.reached.wait()
        second = await start(app, "/say Changed.", STEER)
        await heard(app, first)
        gate.opened.set()
        one, two = await ended(app, first), await ended(app, second)
        log = await logged(app, first)

        assert (one.status, one.final_output) == (RunStatus.COMPLETED, "Changed.")
        assert (two.status, two.steered_into, two.final_output) == (RunStatus.COMPLETED, first.id, None)
        assert one.usage.requests == 2
        assert two.usage.requests == 0
        kinds = [type(event) for event in log if isinstance(event, ItemDone | ModelAnswered | Steered)]
        assert kinds == [ItemDone, ModelAnswered, ItemDone, Steered, ItemDone, ModelAnswered]
        assert await texts(app) == [
            "/call gate {}",
            "function_call",
            "function_call_output",
            "/say Changed.",
            "Changed.",
        ]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_message_that_comes_behind_the_last_model_call_has_its_turn(provider: str):
    async with played(provider, []) as app:
        first = await start(app, "/stall 0.05\n/say One.")
        second = await start(app, "/say Two.", STEER)

        assert (await ended(app, first)).status is RunStatus.COMPLETED
        two = await ended(app, second)

        assert two.steered_into is None or two.steered_into == first.id
        assert (await texts(app)).count("/say Two.") == 1
        assert (await texts(app))[-1] == "Two."


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_run_that_was_cancelled_keeps_what_it_has_taken(provider: str):
    gate = Gate()
    async with played(provider, [gate.tool]) as app:
        first = await start(app, "/call gate {}")
        await gate.reached.wait()
        second = await start(app, "/stall 60", STEER)
        await heard(app, first)
        gate.opened.set()
        assert (await ended(app, second)).steered_into == first.id
        await app.application.services.runs.cancel(LOCAL, first.id, "now")

        assert (await ended(app, first)).status is RunStatus.CANCELLED
        assert await texts(app) == ["/call gate {}", "function_call", "function_call_output", "/stall 60"]


async def steered_log(provider: str) -> tuple[Run, list[Recorded]]:
    """A run that was steered twice: the first time towards a second tool call."""
    gate = Gate()
    async with played(provider, [gate.tool]) as app:
        run = await start(app, "/call gate {}")
        await gate.reached.wait()
        gate.reached.clear()
        await start(app, "/call gate {}", STEER)
        await heard(app, run)
        gate.opened.set()
        await gate.reached.wait()
        await ended(app, await start(app, "/say Changed.", STEER))
        run = await ended(app, run)
        assert run.final_output == "Changed."
        return run, list(await app.application.services.runs.events.read(LOCAL, run.id, -1, 1000))


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_replay_hears_at_the_same_places_wherever_the_log_was_cut(provider: str):
    original, log = await steered_log(provider)
    steered = [entry for entry in log if isinstance(entry.event, Steered)]
    assert steered, "it was steered at all"
    for cut in range(1, len(log)):
        store, gate = MemoryStore(), Gate()
        gate.opened.set()
        talk = Talk(store)
        begun = talk.run(session="s", principal=LOCAL, input=original.input, agent="ann")
        run = (
            await store.runs.begin(replace(begun, provider=original.provider), claim=Claim("gone", talk.claim().until))
        ).run
        kept = tuple(entry for entry in log[:cut] if not isinstance(entry.event, RunStarted))
        kept = tuple(entry for entry in kept if entry is not log[-1])
        await store.events.append([Append(run.id, 0, kept)])
        async with played(provider, [gate.tool], spec(gate.tool), store=store) as app:
            again = await ended(app, run)
            replayed = [event for event in await logged(app, run) if not isinstance(event, RunStarted | RunResumed)]
            heard = [event for event in replayed if isinstance(event, Steered)]
            shown = await texts(app)

        assert again.status is RunStatus.COMPLETED, f"cut at {cut}"
        assert heard == [entry.event for entry in kept if isinstance(entry.event, Steered)], "none is asked for again"
        assert shown.count("/say Changed.") == sum("/say Changed." in map(text_of, event.items) for event in heard)
        if len(heard) == len(steered):
            assert again.final_output == "Changed."

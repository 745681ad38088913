"""``dragoman serve --reload``: changed agents play new runs, broken ones change nothing, nobody's stream is dropped."""

import asyncio
from pathlib import Path

import pytest

from dragoman.adapters.memory import MemoryStore
from dragoman.asgi import create_app
from dragoman.cli.reload import Reloader
from dragoman.domain.identity import LOCAL
from dragoman.settings import Settings
from dragoman.sources import find

WAIT = 20.0


@pytest.fixture
def folder(tmp_path: Path):
    (tmp_path / "ann.toml").write_text('instructions = "One."')
    return tmp_path


def built(folder: Path, provider: str = "scripted"):
    settings = Settings.of(agents=(str(folder),), builtin_agents=False, providers=(provider,), demo_speed=0.0)
    found = find(settings.agents)
    return create_app(found.agents, tools=found.tools, settings=settings, store=MemoryStore())


def keys(app):
    return [card.key for card in app.application.services.catalog.list(LOCAL)]


async def test_a_new_file_is_an_agent_of_the_next_run(folder):
    async with built(folder) as app:
        watching = asyncio.create_task(Reloader(app.application, [str(folder)], every=0.01).watch())
        (folder / "ben.toml").write_text('instructions = "Two."')
        async with asyncio.timeout(WAIT):
            while keys(app) != ["ann", "ben"]:
                await asyncio.sleep(0.01)
        watching.cancel()
        assert (await app.run("ben", "/say hello")).final_output == "hello"


@pytest.mark.parametrize("text", ["instrctions = 1", 'tools = ["no_such"]', "= broken"])
async def test_a_broken_file_changes_nothing_and_the_log_says_what_is_wrong(folder, caplog, text):
    async with built(folder) as app:
        (folder / "ann.toml").write_text(text)
        assert not await Reloader(app.application, [str(folder)]).reload()
        assert (await app.run("ann", "/say still here")).final_output == "still here"
        (folder / "ann.toml").write_text('name = "Anna"')
        assert await Reloader(app.application, [str(folder)]).reload()
        assert app.application.services.catalog.find(LOCAL, "ann").name == "Anna"
    assert "the agents were not reloaded" in caplog.text
    assert "ann.toml" in caplog.text


@pytest.mark.parametrize("provider", ["openai", "scripted"])
async def test_changed_python_brings_its_tools_and_its_neighbours_anew(folder, provider):
    words = folder / f"words_for_{provider}.py"  # a name of its own: modules stay loaded
    words.write_text('WORD = "old"\n')
    (folder / "ben.py").write_text(
        f"from {words.stem} import WORD\nfrom dragoman import AgentSpec, tool\n\n"
        '@tool\nasync def word() -> str:\n    """A word."""\n    return WORD\n\n'
        'ben = AgentSpec("ben", "Ben", tools=("word",))\n'
    )
    async with built(folder, provider) as app:
        await app.run("ben", "/call word", session_id="s")
        assert "old" in await said(app)
        words.write_text('WORD = "newer"\n')
        assert await Reloader(app.application, [str(folder)]).reload()
        await app.run("ben", "/call word", session_id="s")
        assert "newer" in await said(app)


async def said(app):
    """The outputs of all tools."""
    listed = await app.application.services.runs.list(LOCAL)
    found = []
    for run in listed.runs:
        recorded = await app.application.services.runs.events.read(LOCAL, run.id, -1, 1000)
        found += [str(entry.event) for entry in recorded]
    return "\n".join(found)


async def test_python_that_raises_changes_nothing(folder, caplog):
    (folder / "ben.py").write_text('from dragoman import AgentSpec\nben = AgentSpec("ben", "Ben")\n')
    async with built(folder) as app:
        (folder / "ben.py").write_text("raise RuntimeError('oh no')\n")
        assert not await Reloader(app.application, [str(folder)]).reload()
        assert sorted(keys(app)) == ["ann", "ben"]
    assert "oh no" in caplog.text

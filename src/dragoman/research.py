"""Research for Python code, without a server: the same agents, the same searches, the same settings.

    report = await ResearchManager().run("AI trends 2024")

Nothing is kept. Code that wants to come back to a research, or to go on after a crash, asks a server.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dragoman.adapters.memory import MemoryStore
from dragoman.application.runs import StartRun
from dragoman.bootstrap import Application, build
from dragoman.domain.errors import RunFailure
from dragoman.domain.events import Progress, RunCompleted
from dragoman.domain.identity import LOCAL
from dragoman.domain.runs import Run, RunError, RunOptions
from dragoman.domain.usage import Usage
from dragoman.ports.signals import Alone
from dragoman.settings import Settings

__all__ = ["Progress", "ResearchFailed", "ResearchManager", "ResearchReport"]

AGENT = "research"
Watch = Callable[[Progress], None]


class ResearchFailed(Exception):
    """There is no report; ``error`` says why, with a stable code."""

    def __init__(self, error: RunError) -> None:
        self.error = error
        super().__init__(error.message)


@dataclass(frozen=True, slots=True)
class ResearchReport:
    short_summary: str
    markdown_report: str
    follow_up_questions: tuple[str, ...]
    searches: tuple[dict[str, Any], ...]
    sources: tuple[dict[str, Any], ...]
    status: str  # completed, or incomplete where a limit was reached first
    usage: Usage


class ResearchManager:
    """``settings`` are those of the environment unless given; ``agents`` may replace the planner, the searcher or the writer."""

    def __init__(
        self, *, settings: Settings | None = None, agents: Sequence[Any] = (), watch: Watch = lambda _: None
    ) -> None:
        self._settings = settings
        self._agents = agents
        self._watch = watch

    async def run(
        self,
        query: str,
        *,
        max_searches: int | None = None,
        depth: int | None = None,
        budget: Decimal | float | str | None = None,
        max_seconds: float | None = None,
    ) -> ResearchReport:
        """Research one question. ``ResearchFailed`` if there is no report."""
        settings = self._settings or Settings.load()
        wishes = {
            "max_searches": max_searches,
            "depth": depth,
            "budget": None if budget is None else str(budget),
            "max_seconds": max_seconds,
        }
        options = RunOptions(workflow={name: value for name, value in wishes.items() if value is not None})
        application = build(settings, agents=self._agents, store=MemoryStore(), signals=Alone())
        await application.start()
        try:
            return _report(await self._played(application, StartRun(AGENT, query, options=options)))
        finally:
            await application.stop()

    async def _played(self, application: Application, start: StartRun) -> Run:
        runs = application.services.runs
        run = await runs.start(LOCAL, start)
        async for batch in runs.follow(LOCAL, run):
            for entry in batch:
                if isinstance(entry.event, Progress):
                    self._watch(entry.event)
                elif isinstance(entry.event, RunCompleted):
                    break
        return await runs.wait(LOCAL, run)


def _report(run: Run) -> ResearchReport:
    if not isinstance(run.final_output, dict):
        raise ResearchFailed(run.error or RunError(RunFailure.code, RunFailure.message))
    made = run.final_output
    return ResearchReport(
        short_summary=made["short_summary"],
        markdown_report=made["markdown_report"],
        follow_up_questions=tuple(made["follow_up_questions"]),
        searches=tuple(made["searches"]),
        sources=tuple(made["sources"]),
        status=run.status.value,
        usage=run.usage,
    )

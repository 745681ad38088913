"""``dragoman research``: one question, one report, no server."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dragoman.research import Progress, ResearchReport


def research(
    question: Annotated[str, typer.Argument(help="What to find out.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Write the report into this file.")] = None,
    max_searches: Annotated[int | None, typer.Option(min=1, max=20, help="The most searches.")] = None,
    depth: Annotated[int | None, typer.Option(min=1, max=3, help="How often to search for what is missing.")] = None,
    budget: Annotated[float | None, typer.Option(min=0, help="What it may cost, in USD.")] = None,
    max_seconds: Annotated[float | None, typer.Option(min=1, help="How long it may take.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything, for machines.")] = False,
) -> None:
    """Research a question with the configured model and search, and print the report."""
    from dragoman.research import ResearchFailed, ResearchManager

    with _Display() as display:
        manager = ResearchManager(watch=display.show)
        wishes = {"max_searches": max_searches, "depth": depth, "budget": budget, "max_seconds": max_seconds}
        try:
            report = asyncio.run(manager.run(question, **wishes))  # type: ignore[arg-type]
        except ResearchFailed as failed:
            typer.echo(f"There is no report ({failed.error.code}). {failed.error.message}", err=True)
            raise typer.Exit(1) from None
    text = _written(report) if as_json else report.markdown_report
    if out is None:
        typer.echo(text)
    else:
        out.write_text(text + "\n", "utf-8")
        typer.echo(f"{len(report.sources)} sources, {_searches(report)}; written to {out}", err=True)


class _Display:
    """Where the work is, on the terminal's other channel, so that the report can be piped."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task("planning the searches", total=None)

    def __enter__(self) -> "_Display":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, event: "Progress") -> None:
        if event.source != "research":
            return
        self._progress.update(self._task, description=event.message[:60])
        if event.total is not None:
            self._progress.update(self._task, completed=event.done, total=event.total)


def _searches(report: "ResearchReport") -> str:
    done = sum(search["status"] == "done" for search in report.searches)
    return f"{done} of {len(report.searches)} searches made"


def _written(report: "ResearchReport") -> str:
    return json.dumps(asdict(report), indent=2, ensure_ascii=False)

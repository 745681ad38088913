"""``dragoman agents``: which agents there are, what each is, and what cannot be right about them."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dragoman.sources.check import Checker

app = typer.Typer(name="agents", help="List, show and check agents.", no_args_is_help=True, rich_markup_mode=None)

Sources = Annotated[list[str] | None, typer.Argument(help="Files, folders or modules with agents (DRAGOMAN_AGENTS).")]


@app.command("list")
def list_agents(agents: Sources = None) -> None:
    """List the agents that a server would have, and where they come from."""
    for key, agent in sorted((checker := _checker(agents)).agents.items()):
        place = checker.found.places.get(id(agent))
        typer.echo(f"{key:<16}  {agent.name:<24}  {'built in' if place is None else place}")


@app.command("show")
def show_agent(
    key: Annotated[str, typer.Argument(help="Its key.")],
    agents: Sources = None,
) -> None:
    """Show all that an agent was declared with."""
    checker = _checker(agents)
    if key not in checker.agents:
        typer.echo(f"There is no agent {key!r}. There are: {', '.join(sorted(checker.agents))}.", err=True)
        raise typer.Exit(1)
    agent = checker.agents[key]
    place = checker.found.places.get(id(agent))
    lines = {"key": key, "from": "built in" if place is None else str(place), **_shown(agent, checker)}
    for name, value in lines.items():
        if value not in (None, "", [], {}):
            typer.echo(f"{name:<16}{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")


@app.command("check")
def check_agents(agents: Sources = None) -> None:
    """Look for tools, hand-offs, models and MCP servers that do not exist, and for what else cannot be right. Exit code 1 if
    there is something."""
    checker = _checker(agents)
    problems = checker.problems()
    for problem in problems:
        typer.echo(str(problem))
    if problems:
        raise typer.Exit(1)
    typer.echo(f"{len(checker.agents)} agents, nothing wrong.")


def _checker(agents: list[str] | None) -> "Checker":
    from dragoman.bootstrap import checker
    from dragoman.settings import Settings, WrongSettings
    from dragoman.sources import find

    settings = Settings.load(agents=tuple(agents) if agents else None)
    try:
        return checker(settings, find(settings.agents))
    except WrongSettings as error:
        typer.echo(str(error))
        raise typer.Exit(1) from None


def _shown(agent: Any, checker: "Checker") -> dict[str, Any]:
    from dragoman.domain.agents import AgentSpec

    if isinstance(agent, AgentSpec):
        return _of_spec(agent)
    keys = {id(known): key for key, known in checker.agents.items()}
    return {
        "name": agent.name,
        "description": agent.handoff_description,
        "instructions": agent.instructions if isinstance(agent.instructions, str) else "(computed)",
        "model": agent.model if isinstance(agent.model, str | None) else type(agent.model).__name__,
        "tools": [tool.name for tool in agent.tools],
        "handoffs": [keys.get(id(target), getattr(target, "name", str(target))) for target in agent.handoffs],
    }


def _of_spec(spec: Any) -> dict[str, Any]:
    from dataclasses import asdict, fields

    from dragoman.domain.agents import AgentSpec

    default = AgentSpec(spec.key, spec.name)
    shown: dict[str, Any] = {}
    for field in fields(spec):
        value = getattr(spec, field.name)
        if field.name != "key" and (value != getattr(default, field.name) or field.name == "name"):
            shown[field.name] = value
    if isinstance(spec.output, type):
        shown["output"] = f"{spec.output.__module__}:{spec.output.__qualname__}"
    for name in ("settings", "habits"):
        if name in shown:
            shown[name] = {key: value for key, value in asdict(shown[name]).items() if value is not None}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in shown.items()}

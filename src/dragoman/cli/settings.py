"""``dragoman settings``: what can be set, what is set, and where that came from."""

from typing import Annotated

import typer


def settings(
    template: Annotated[bool, typer.Option("--template", help="Print a commented .env instead.")] = False,
) -> None:
    """Show all settings with their meaning, value and source. Secrets are masked."""
    from dragoman.settings import Settings, shown

    if template:
        typer.echo(_template(list(shown())))
        return
    for setting in shown(Settings.load()):
        names = ", ".join((setting.name, *setting.also))
        typer.echo(f"{names} = {setting.value or '(unset)'}  [{setting.source}]\n    {setting.about}")


def _template(settings: list) -> str:  # type: ignore[type-arg]
    blocks = (f"# {s.about}\n# {s.name}={s.value or s.example}" for s in settings)
    return "# Settings of Dragoman. Remove the '#' in front of a name to set it.\n\n" + "\n\n".join(blocks)

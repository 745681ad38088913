"""``dragoman runs``: list, show, follow, cancel and replay runs, in the configured database or through a server."""

from dragoman.cli.runs.commands import app

__all__ = ["app"]

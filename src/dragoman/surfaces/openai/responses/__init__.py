"""The Responses API: a response is a run, under another name and told in other events."""

from dragoman.surfaces.openai.responses.routes import responses_router

__all__ = ["responses_router"]

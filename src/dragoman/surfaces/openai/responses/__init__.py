"""The Responses API: a response is a run, under another name and told in other events."""

from dragoman.surfaces.openai.responses.routes import responses_router
from dragoman.surfaces.openai.responses.socket import socket_router

__all__ = ["responses_router", "socket_router"]

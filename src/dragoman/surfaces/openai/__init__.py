"""The OpenAI API over the same agents, runs and conversations: what official clients, front ends and SDKs already speak."""

from fastapi import APIRouter

from dragoman.application.services import Services
from dragoman.surfaces.http.deps import Given
from dragoman.surfaces.http.stream import SILENCE
from dragoman.surfaces.openai.chat.routes import chat_router
from dragoman.surfaces.openai.conversations import conversations_router
from dragoman.surfaces.openai.errors import as_openai_error, unknown_router
from dragoman.surfaces.openai.models import models_router
from dragoman.surfaces.openai.responses import responses_router, socket_router

ENVELOPES = {"v1": as_openai_error}


def openai_routers(services: Services, *, silence: float = SILENCE) -> list[APIRouter]:
    """All routes under ``/v1``, in the order in which they must be asked."""
    given = Given(services, silence)
    return [
        models_router(given),
        responses_router(given),
        socket_router(given),
        chat_router(given),
        conversations_router(given),
        unknown_router(),
    ]

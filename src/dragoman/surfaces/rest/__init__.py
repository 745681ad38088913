"""The native API: agents, conversations, runs, and their logs as JSON and server-sent events."""

from fastapi import APIRouter

from dragoman.application.services import Services
from dragoman.surfaces.http.deps import Given
from dragoman.surfaces.http.stream import SILENCE
from dragoman.surfaces.rest.admin import admin_router
from dragoman.surfaces.rest.agents import agent_router, agents_router, catalogue_router, root_router
from dragoman.surfaces.rest.approvals import approvals_router
from dragoman.surfaces.rest.conversations import conversations_router
from dragoman.surfaces.rest.people import people_router
from dragoman.surfaces.rest.research import research_router
from dragoman.surfaces.rest.runs import runs_router
from dragoman.surfaces.rest.threads import threads_router
from dragoman.surfaces.rest.tools import tools_router
from dragoman.surfaces.rest.usage import usage_router


def native_routers(services: Services, *, silence: float = SILENCE) -> list[APIRouter]:
    """All native routes, in the order in which they must be asked."""
    given = Given(services, silence)
    return [
        catalogue_router(given),
        research_router(given),
        agents_router(given),
        threads_router(given),
        conversations_router(given),
        runs_router(given),
        tools_router(given),
        approvals_router(given),
        usage_router(given),
        people_router(given),
        admin_router(given),
        root_router(given),
    ]


def create_agent_routes(services: Services, key: str, prefix: str, *, silence: float = SILENCE) -> APIRouter:
    """The routes of one agent under a prefix, for an application that has its own."""
    return agent_router(Given(services, silence), key, prefix)

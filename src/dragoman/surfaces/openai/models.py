"""Models, as this protocol calls what answers: the agents and, where the operator allows it, models without any agent."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends

from dragoman.application.catalog import Catalog
from dragoman.domain.agents import AgentCard
from dragoman.domain.errors import NotFound
from dragoman.domain.identity import Principal
from dragoman.surfaces.http.deps import Caller, Given, Verbs, give, needs
from dragoman.surfaces.http.responses import JSONResponse
from dragoman.surfaces.openai.errors import ModelNotFound

CREATED = 1_735_689_600
"""The wire wants to know when a model was made. Agents do not: the same moment for all, on every replica."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What plays a request: an agent, with another model than its own if the request named a plain one."""

    agent: AgentCard
    model: str | None = None


def choose(catalog: Catalog, principal: Principal, name: str) -> Chosen:
    """What a request's ``model`` names. An agent comes before a plain model of the same name."""
    try:
        return Chosen(catalog.find(principal, name))
    except NotFound:
        if name not in catalog.plain_models:
            raise ModelNotFound(name) from None
    return Chosen(catalog.find(principal, catalog.plain_agent), name)


async def list_models(verbs: Verbs, caller: Caller) -> JSONResponse:
    return JSONResponse({"object": "list", "data": list(_models(verbs.catalog, caller))})


async def retrieve_model(verbs: Verbs, caller: Caller, model: str) -> JSONResponse:
    return JSONResponse(_model(model, choose(verbs.catalog, caller, model)))


def _models(catalog: Catalog, principal: Principal) -> Iterator[dict[str, Any]]:
    cards = {card.key: card for card in catalog.list(principal) if card.key != catalog.plain_agent}
    for key, card in cards.items():
        yield _model(key, Chosen(card))
    for name in catalog.plain_models:
        if name not in cards:
            yield _model(name, choose(catalog, principal, name))


def _model(name: str, chosen: Chosen) -> dict[str, Any]:
    """``name`` and ``description`` are ours: front ends show them where they find them."""
    model = {"id": name, "object": "model", "created": CREATED}
    if chosen.model is not None:
        return {**model, "owned_by": "endpoint", "name": name}
    card = chosen.agent
    return {**model, "owned_by": "dragoman", "name": card.name, "description": card.description}


def models_router(given: Given) -> APIRouter:
    router = APIRouter(include_in_schema=False, dependencies=[Depends(give(given)), needs("runs:read")])
    router.add_api_route("/v1/models", list_models)
    router.add_api_route("/v1/models/{model:path}", retrieve_model)
    return router

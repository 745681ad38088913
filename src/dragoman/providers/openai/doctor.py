"""Is a model endpoint what it should be? It is reached, asked for its models, and made to say one word.

The word comes through the same client as in a run, so what works here works there.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import aiohttp
from agents import ModelSettings, ModelTracing

from dragoman.domain.errors import DragomanError, ModelBroken, ModelRateLimited, ModelRefused, ModelUnavailable
from dragoman.domain.events import DeltaKind
from dragoman.providers.openai.agents.models.direct import DirectModel, Request
from dragoman.providers.openai.agents.models.router import Router
from dragoman.providers.openai.config import ModelEndpoint, TimeLimits

SHOWN = 5
"""Names of models in a finding; an endpoint may have hundreds."""


@dataclass(frozen=True, slots=True)
class Finding:
    fine: bool
    text: str  # what was found, and if it is not fine, what to do


async def examine(endpoint: ModelEndpoint, models: Sequence[str]) -> AsyncIterator[Finding]:
    """``models`` are those that are used here; without any, the first that is listed is tried."""
    limits = endpoint.limits or TimeLimits()
    finding, listed = await _listing(endpoint, limits)
    yield finding
    if not finding.fine:
        return
    tried = models or [name for name in endpoint.models if not set(name) & set("*?[")][:1] or listed[:1]
    if not tried:
        yield Finding(True, "no model was tried: none is configured here, and none is listed")
    router = Router([endpoint], limits=limits, retries=0)
    try:
        for model in tried:
            yield await _word(router, endpoint, model, listed)
    finally:
        await router.aclose()


async def _listing(endpoint: ModelEndpoint, limits: TimeLimits) -> tuple[Finding, list[str]]:
    url = f"{endpoint.base_url.partition('?')[0].rstrip('/')}/models"
    timeout = aiohttp.ClientTimeout(total=limits.silence, connect=limits.connect)
    headers = {"authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.get(url, headers={**headers, **endpoint.headers}, params=endpoint.query) as answer,
        ):
            names = _names(await answer.json(content_type=None)) if answer.status == 200 else []
            return _reached(endpoint, answer.status, names), names
    except TimeoutError:
        return Finding(False, f"nothing answers at {endpoint.base_url} in time; is it the right address?"), []
    except aiohttp.ClientError:
        return Finding(False, f"nothing answers at {endpoint.base_url}; is it running, is base_url right?"), []
    except ValueError:
        return Finding(
            False, f"{url} answers with something that is no JSON; does base_url end where the API begins?"
        ), []


def _reached(endpoint: ModelEndpoint, status: int, names: Sequence[str]) -> Finding:
    place = f"reached {endpoint.base_url}"
    if status == 200:
        more = ", …" if len(names) > SHOWN else ""
        return Finding(True, f"{place}; it lists {len(names)} models: {', '.join(names[:SHOWN])}{more}")
    if status in (401, 403):
        return Finding(False, f"{place}, and it does not accept the key ({status}); check the key of {endpoint.name!r}")
    if status in (404, 405):
        return Finding(True, f"{place}; it does not list its models ({status})")
    if status == 429:
        return Finding(False, f"{place}, and it limits our rate (429); try again later, or check its quota")
    return Finding(False, f"{place}, and it answers with {status}; is it well, is base_url right?")


def _names(listing: object) -> list[str]:
    data = listing.get("data") if isinstance(listing, Mapping) else None
    return (
        [str(model["id"]) for model in data if isinstance(model, Mapping) and "id" in model]
        if isinstance(data, list)
        else []
    )


class _FirstWord:
    """A listener who has heard enough."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    def begin_call(self, output: int, call_id: str, tool: str) -> None:  # noqa: ARG002
        self.heard.set()

    def say(self, kind: DeltaKind, text: str, output: int) -> None:  # noqa: ARG002
        self.heard.set()


async def _word(router: Router, endpoint: ModelEndpoint, model: str, listed: Sequence[str]) -> Finding:
    asked = router.get_model(f"{endpoint.name}:{model}")
    assert isinstance(asked, DirectModel)
    request = Request("Answer with one word.", "Hello", ModelSettings(), [], None, [], ModelTracing.DISABLED)
    listener, begun = _FirstWord(), time.monotonic()
    answering = asyncio.ensure_future(asked.answer(request, listener))
    hearing = asyncio.ensure_future(listener.heard.wait())
    try:
        await asyncio.wait({answering, hearing}, return_when=asyncio.FIRST_COMPLETED)
        if listener.heard.is_set():
            return Finding(True, f"{model}: the first token came after {time.monotonic() - begun:.2f} s")
        await answering
    except DragomanError as error:
        return Finding(False, f"{model}: {_advice(error, endpoint, model, listed)}")
    finally:
        for task in (answering, hearing):
            task.cancel()
        await asyncio.gather(answering, hearing, return_exceptions=True)
    return Finding(False, f"{model}: it answers with nothing")


def _advice(error: DragomanError, endpoint: ModelEndpoint, model: str, listed: Sequence[str]) -> str:
    match error:
        case ModelRefused():
            unlisted = f" it lists no {model!r};" if listed and model not in listed else ""
            return f"it refuses the request;{unlisted} check the model's name, the key's rights and the account's quota"
        case ModelRateLimited():
            return "it limits our rate; try again later, or name a fallback"
        case ModelUnavailable():
            return "it does not answer in time, or reports a failure of its own; is it overloaded, are the timeouts too short?"
        case ModelBroken():
            other = "chat" if endpoint.spoken == "responses" else "responses"
            return f"its answer makes no sense in the dialect {endpoint.spoken!r}; if it speaks the other: dialect = {other!r}"
    return error.detail

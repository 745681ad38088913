"""From a request for a response to a run: which agent, where it goes on, and what is kept of it."""

from dataclasses import replace
from typing import NamedTuple

from dragoman.application.runs import StartRun
from dragoman.application.services import Services
from dragoman.domain.errors import Conflict, Invalid, NotFound
from dragoman.domain.identity import Principal
from dragoman.domain.items import Content, message
from dragoman.domain.runs import Run
from dragoman.ports.runs import IdempotencyKey
from dragoman.surfaces.openai.models import choose
from dragoman.surfaces.openai.responses.bodies import InputBody, ResponseBody
from dragoman.surfaces.openai.responses.ids import ResponseNotFound, run_id


class ResponseUnfinished(Conflict):
    """``previous_response_id`` names one that is still being made."""

    code = "conversation_busy"
    message = "The previous response is not finished yet."
    retryable = True


MANY = 1000
"""Items that are told of a conversation where its memory is not counted in items."""


class Remembered(NamedTuple):
    """A response that nothing keeps but the connection that it was made over."""

    id: str
    items: list[Content]


async def start(
    verbs: Services,
    caller: Principal,
    body: ResponseBody,
    idempotency: IdempotencyKey | None = None,
    trace: str | None = None,
    *,
    remembered: Remembered | None = None,
) -> Run:
    asked = await to_domain(verbs, caller, body, remembered)
    return await verbs.runs.start(caller, replace(asked, idempotency=idempotency, trace=trace))


async def to_domain(verbs: Services, caller: Principal, body: ResponseBody, remembered: Remembered | None) -> StartRun:
    _check(body)
    chosen = choose(verbs.catalog, caller, body.model)
    options = replace(body.options(), model=chosen.model)
    given = body.items()
    session_id, kept = None, body.store is not False and verbs.runs.sessions_enabled
    if body.conversation_name is not None:
        session_id = (await verbs.conversations.get(caller, body.conversation_name)).id
        options = replace(options, echo={**options.echo, "conversation": {"id": session_id}})
    elif remembered is not None and body.previous_response_id == remembered.id:
        given = [*remembered.items, *as_items(given)]
        options = replace(options, hidden=kept)
    elif body.previous_response_id is not None:
        previous = await previous_run(verbs, caller, body.previous_response_id)
        if kept:
            session_id = previous.conversation_id
            options = replace(options, from_item=await verbs.conversations.end_of(caller, previous))
        else:
            given = [*await said_until(verbs, caller, previous), *as_items(given)]
    elif kept:
        options = replace(options, hidden=True)
    return StartRun(
        agent=chosen.agent.key,
        input=given,
        session_id=session_id,
        options=replace(options, echo={**options.echo, "store": kept}),
        new_conversation=kept and session_id is None,
    )


def _check(body: ResponseBody) -> None:
    if body.conversation is not None and body.previous_response_id is not None:
        raise Invalid("Name a conversation or a previous response, not both.", field="previous_response_id")
    if body.store is False and body.conversation is not None:
        raise Invalid("A response in a conversation is stored.", field="store")
    if body.store is False and body.background:
        raise Invalid("A response in the background is stored.", field="store")


def as_items(given: str | list[Content]) -> list[Content]:
    return [message("user", given)] if isinstance(given, str) else given


async def previous_run(verbs: Services, caller: Principal, response_id: str) -> Run:
    """A response that another may follow: stored, and at its end."""
    try:
        run = await verbs.runs.get(caller, run_id(response_id))
    except NotFound:
        run = None
    if run is None or run.conversation_id is None:
        raise ResponseNotFound(f"There is no stored response {response_id!r}.", field="previous_response_id")
    if not run.status.ended:
        raise ResponseUnfinished
    return run


async def said_until(verbs: Services, caller: Principal, run: Run) -> list[Content]:
    """What was said up to the end of a run, as an input."""
    items = await verbs.conversations.until(caller, run, verbs.player.memory.limit or MANY)
    return [item.content for item in items if item.kind in KEPT]


KEPT = frozenset({"message", "function_call", "function_call_output"})


async def whole_input(verbs: Services, caller: Principal, body: InputBody, given: list[Content]) -> list[Content]:
    """An input with what precedes it, as a model would see it."""
    if body.previous_response_id is not None:
        return [*await said_until(verbs, caller, await previous_run(verbs, caller, body.previous_response_id)), *given]
    if body.conversation_name is not None:
        page = await verbs.conversations.page(caller, body.conversation_name, limit=verbs.player.memory.limit or MANY)
        return [*(item.content for item in page.items), *given]
    return given

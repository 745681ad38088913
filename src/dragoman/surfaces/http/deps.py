"""What routes are given: the verbs, the caller, the idempotency key. Everything hangs on the request, nothing is global."""

import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer, SecurityScopes
from starlette.requests import Request
from starlette.responses import Response

from dragoman.application.limits import refusal
from dragoman.application.services import Services
from dragoman.domain.errors import Forbidden, Invalid
from dragoman.domain.identity import Principal, Scope
from dragoman.ports.runs import IdempotencyKey
from dragoman.surfaces.http import problems
from dragoman.surfaces.http.stream import SILENCE


@dataclass(frozen=True, slots=True)
class Given:
    """What a group of routes works with."""

    services: Services
    silence: float = SILENCE


def give(given: Given) -> Callable[[Request], Coroutine[Any, Any, None]]:
    """A dependency for a whole router. It runs before those of its routes, which find the verbs on the request."""

    async def provide(request: Request) -> None:
        request.state.given = given

    return provide


async def given(request: Request) -> Given:
    found: Given = request.state.given
    return found


async def services(request: Request) -> Services:
    return (await given(request)).services


async def caller(request: Request) -> Principal:
    """Who asks; found out once per request."""
    known = getattr(request.state, "principal", None)
    if isinstance(known, Principal):
        return known
    authenticator = (await services(request)).authenticator
    found = await authenticator.authenticate(request.headers.get("authorization"))
    request.state.principal = found
    await _count(request, found)
    return found


BEARER = HTTPBearer(scheme_name="bearer", description="A JWT or an API key.", auto_error=False)
"""For the OpenAPI document; ``caller`` reads the header."""


async def admit(
    required: SecurityScopes,
    caller: Annotated[Principal, Depends(caller)],
    _: Annotated[object, Depends(BEARER)],
) -> None:
    for scope in required.scopes:
        if not caller.may(scope):  # type: ignore[arg-type]
            raise Forbidden(scope)


def needs(scope: Scope) -> Any:
    """A dependency of a route: who calls it must have this scope."""
    return Security(admit, scopes=[scope])


async def _count(request: Request, principal: Principal) -> None:
    """Count the request, if anybody does. Where the caller stands goes into the headers of the answer."""
    if (limiter := (await services(request)).limiter) is None:
        return
    request.state.standing = standing = await limiter.admit(principal)
    if standing is not None and standing.refused:
        raise refusal(standing)


async def trace(request: Request) -> str | None:
    found: str | None = getattr(request.state, "trace", None)
    return found


async def idempotency(
    request: Request,
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Makes repeating this request safe for 24 hours: the same key and body give the same run.",
            examples=["0b8f5c1e-order-17"],
        ),
    ] = None,
) -> IdempotencyKey | None:
    """The key, bare or as the quoted string that the draft standard wants, with a digest of all it stands for."""
    if idempotency_key is None:
        return None
    key = idempotency_key.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not 1 <= len(key) <= 255 or not key.isascii() or not key.isprintable():
        raise Invalid("An Idempotency-Key has 1 to 255 printable ASCII characters.", field="Idempotency-Key")
    route = f"{request.method} {request.url.path}"
    digest = hashlib.sha256(route.encode() + b"\0" + await request.body()).hexdigest()
    return IdempotencyKey(key, route, digest)


Verbs = Annotated[Services, Depends(services)]
Caller = Annotated[Principal, Depends(caller)]
Trace = Annotated[str | None, Depends(trace)]
Idempotency = Annotated[IdempotencyKey | None, Depends(idempotency)]
Setting = Annotated[Given, Depends(given)]


class NativeRoute(APIRoute):
    """A route that answers its errors as problems, in whichever application it is mounted."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        original = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await original(request)
            except problems.HANDLED as error:
                return await problems.handle(request, error)

        return answer

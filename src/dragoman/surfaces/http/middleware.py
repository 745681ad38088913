"""What surrounds every request: its id, its trace, its log lines and its measures; and the guard of a local server."""

import ipaddress
import logging
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fastapi import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dragoman.application.logging import log_fields
from dragoman.domain.ids import request_id as new_request_id
from dragoman.domain.limits import Standing
from dragoman.surfaces.http import problems
from dragoman.surfaces.http.metrics import HttpMetrics

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
Header = tuple[bytes, bytes]
SAFE: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
PRIVATE: Header = (b"cache-control", b"no-store")
QUIET = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines; worth a line only to those who debug."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may talk to this server at all.

    With ``hosts``, only peers on this machine that address it by one of these names: a web page that points its own
    name at our address (DNS rebinding) is refused. With ``json_only``, a body must say that it is JSON, which no
    cross-site form can.
    """

    hosts: frozenset[str] | None = None
    json_only: bool = False


class Surroundings:
    """The outermost layer: gives each request its id and the envelope of its errors, logs and measures it, and turns a fault
    of ours into a 500. ``envelopes`` are those of protocols that have their own, by the first segment of their paths."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics, envelopes: Mapping[str, problems.Envelope]) -> None:
        self._app = app
        self._metrics = metrics
        self._envelopes = envelopes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, trace = _identify(scope)
        state = scope.setdefault("state", {})
        state["request_id"], state["trace"] = request_id, trace
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if envelope := self._envelopes.get(path.partition("/")[2].partition("/")[0]):
            state["envelope"] = envelope
        began = time.perf_counter()
        status, waited = 0, 0.0

        async def answer(message: Message) -> None:
            nonlocal status, waited
            if message["type"] == "http.response.start":
                status, waited = message["status"], time.perf_counter() - began
                headers = _answered(message.get("headers", ()), request_id)
                message["headers"] = [*headers, *_rate_limit(state.get("standing"))]
            await send(message)

        with log_fields(request=request_id, trace=trace):
            try:
                await self._app(scope, receive, answer)
            except Exception:
                if status:  # too late for another answer: the server breaks the connection off
                    raise
                logger.exception("a request failed through a fault of ours")
                await problems.of_status(scope, 500)(scope, receive, answer)
            finally:
                self._metrics.observe(scope, status, waited)
                _log(scope, status, time.perf_counter() - began)


def _rate_limit(standing: Standing | None) -> list[tuple[bytes, bytes]]:
    """For whoever wants to pace himself."""
    if standing is None:
        return []
    return [
        (b"ratelimit-limit", b"%d" % standing.limit),
        (b"ratelimit-remaining", b"%d" % standing.remaining),
        (b"ratelimit-reset", b"%d" % standing.reset),
    ]


class LocalOnly:
    """Refuses whoever is not meant by ``Access``."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or (status := self._refusal(scope)) is None:
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await problems.of_status(scope, status)(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, scope: Scope) -> int | None:
        headers = dict(scope["headers"])
        hosts = self._access.hosts
        if hosts is not None and not (_is_local(scope.get("client")) and _name(headers.get(b"host", b"")) in hosts):
            return 403
        if self._access.json_only and scope.get("method") in ("POST", "PUT", "PATCH", "DELETE"):
            return _refused_body(headers)
        return None


class BodyLimit:
    """Refuses bodies above so many bytes, announced or streamed."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if announced.isdigit() and int(announced) > self._limit:
            await problems.of_status(scope, 413)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise HTTPException(413)
            return message

        await self._app(scope, counted, send)


def _refused_body(headers: dict[bytes, bytes]) -> int | None:
    kind = headers.get(b"content-type")
    if kind is None:
        has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        return 415 if has_body else None
    essence = kind.split(b";")[0].strip().lower()
    is_json = essence == b"application/json" or (essence.startswith(b"application/") and essence.endswith(b"+json"))
    return None if is_json else 415


def _is_local(client: tuple[str, int] | None) -> bool:
    if client is None:  # a Unix socket
        return True
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _name(host: bytes) -> str:
    """The name in a ``Host`` header, without its port."""
    name = host.decode("latin-1").lower()
    if name.startswith("["):
        return name.partition("]")[0].removeprefix("[")
    return name.partition(":")[0]


def _identify(scope: Scope) -> tuple[str, str | None]:
    request_id, trace = None, None
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"traceparent" and _TRACEPARENT.fullmatch(value):
            trace = value.decode()
    return request_id or new_request_id(), trace


def _answered(headers: Iterable[Header], request_id: str) -> list[Header]:
    """The headers of every answer. Nothing is to be kept by whoever passes it on, unless the answer says otherwise."""
    found = [*headers, (b"x-request-id", request_id.encode()), *SAFE]
    return found if any(name == b"cache-control" for name, _ in found) else [*found, PRIVATE]


def _log(scope: Scope, status: int, seconds: float) -> None:
    level = logging.DEBUG if scope["path"] in QUIET else logging.INFO
    if logger.isEnabledFor(level):
        fields = {
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": round(seconds * 1000, 1),
        }
        logger.log(level, "request", extra=fields)

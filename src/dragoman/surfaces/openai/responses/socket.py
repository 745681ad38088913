"""The WebSocket transport: one response after the other over one connection.

It remembers the latest response if that was not stored, so that the next may go on from it without anything being kept.
"""

import logging
from typing import Any
from urllib.parse import urlsplit

import orjson
from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from dragoman.domain.errors import DragomanError, Interrupted, Invalid
from dragoman.domain.identity import Principal
from dragoman.surfaces.http import problems
from dragoman.surfaces.http.deps import Given
from dragoman.surfaces.openai.errors import as_openai_error
from dragoman.surfaces.openai.responses.bodies import ResponseBody
from dragoman.surfaces.openai.responses.starting import Remembered, start
from dragoman.surfaces.openai.responses.telling import Telling

logger = logging.getLogger(__name__)

CREATE = "response.create"
POLICY_VIOLATION = 1008

_BODY = TypeAdapter(ResponseBody)


def socket_router(given: Given) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    async def converse(socket: WebSocket) -> None:
        caller = await _admitted(given, socket)
        if caller is None:
            await socket.close(POLICY_VIOLATION)
            return
        await socket.accept()
        socket.scope.setdefault("state", {})["envelope"] = as_openai_error
        try:
            await _Talk(given, socket, caller).run()
        except WebSocketDisconnect:
            logger.debug("a client has gone")

    router.add_api_websocket_route("/v1/responses", converse)
    return router


async def _admitted(given: Given, socket: WebSocket) -> Principal | None:
    """Who connects, if they may. A web page may open a socket to any server, so one of another place is refused."""
    origin = socket.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != socket.headers.get("host"):
        return None
    try:
        caller = await given.services.authenticator.authenticate(socket.headers.get("authorization"))
    except DragomanError:
        return None
    return caller if caller.may("runs:write") else None


class _Talk:
    def __init__(self, given: Given, socket: WebSocket, caller: Principal) -> None:
        self._verbs = given.services
        self._socket = socket
        self._caller = caller
        self._latest: Remembered | None = None

    async def run(self) -> None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            remembered, self._latest = self._latest, None  # whatever fails, it is not gone on from any more
            try:
                await self._answer(_read(message), remembered)
            except (DragomanError, RequestValidationError) as error:
                await self._fail(error)

    async def _answer(self, body: ResponseBody, remembered: Remembered | None) -> None:
        run = await start(self._verbs, self._caller, body, remembered=remembered)
        telling = Telling(run)
        async for batch in self._verbs.runs.follow(self._caller, run):
            for told in telling.tell(batch):
                await self._socket.send_text(told.data.decode())
        if telling.ended is None:
            raise Interrupted
        if run.conversation_id is None:
            self._latest = Remembered(telling.ended["id"], [*run.input, *telling.output])

    async def _fail(self, error: DragomanError | RequestValidationError) -> None:
        scope = self._socket.scope
        if isinstance(error, DragomanError):
            answer = problems.of_error(scope, error)
        else:
            answer = problems.of_fields(scope, error)
        told = {"type": "error", "status": answer.status_code, **orjson.loads(bytes(answer.body))}
        await self._socket.send_text(orjson.dumps(told).decode())


def _read(message: Any) -> ResponseBody:
    """A request, as a message of this transport brings it."""
    try:
        content = orjson.loads(message.get("text") or message.get("bytes") or "")
    except orjson.JSONDecodeError:
        raise Invalid("A message is JSON.") from None
    if not isinstance(content, dict) or content.pop("type", None) != CREATE:
        raise Invalid(f"A message has the type {CREATE}.", field="type")
    try:
        body = _BODY.validate_python(content)
    except ValidationError as error:
        found = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(found) from None
    return body

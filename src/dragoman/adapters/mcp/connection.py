"""One connection to an MCP server. A task of its own opens it, waits, and closes it: its scopes must not change tasks."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from mcp import MCPError, StdioServerParameters
from mcp.client.client import Client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import CONNECTION_CLOSED, ToolListChangedNotification
from mcp_types import Tool as RemoteTool

from dragoman.adapters.mcp.server import McpServer, Secrets
from dragoman.adapters.mcp.tools import named, text_of
from dragoman.domain.errors import DragomanError, UrlRefused
from dragoman.domain.tools import Tool, ToolContext, ToolError
from dragoman.ports.web import UrlGuard

logger = logging.getLogger(__name__)

PROBE = 30.0
"""Seconds between two looks at whether it still answers, and which tools it has."""
SLOWEST = 60.0
"""Seconds between two attempts to connect, at most."""
FIRST = 0.5
TROUBLES = 5
"""Calls that time out one after another before the connection is opened anew."""
PAGES = 100

BROKE = "the connection broke"
GONE = "The connection to {server} broke during the call; whether it took effect is unknown."
UNREACHABLE = "{server} is not reachable at the moment. Go on without it, or try again later."


class Broken(Exception):
    """The connection is over."""


class Watched:
    """A stream of messages that says when it has ended."""

    def __init__(self, inner: Any, ended: Callable[[], None]) -> None:
        self._inner = inner
        self._ended = ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def __aenter__(self) -> "Watched":
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self._inner.__aexit__(*error)

    def __aiter__(self) -> "Watched":
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._inner.__anext__()
        except StopAsyncIteration:
            self._ended()
            raise


class Connection:
    def __init__(self, server: McpServer, secrets: Secrets, guard: UrlGuard, *, first: float = FIRST) -> None:
        self.server = server
        self.tools: Sequence[Tool] = ()  # those that are known; they stay while it is away
        self.trouble: str | None = "not connected yet"
        self.connects = 0
        self.used_at = 0.0
        self._secrets = secrets
        self._guard = guard
        self._first = first
        self._client: Client | None = None
        self._listed: Sequence[RemoteTool] = ()
        self._look = asyncio.Event()  # something has happened that the owner should look at
        self._broken = asyncio.Event()
        self._tried = asyncio.Event()  # whether there was a first attempt, good or bad
        self._up = asyncio.Event()
        self._timeouts = 0
        self._owner: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._owner = asyncio.get_running_loop().create_task(self._hold(), name=f"mcp {self.server.name}")

    async def stop(self) -> None:
        if self._owner is not None:
            owner, self._owner = self._owner, None
            owner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await owner

    @property
    def connected(self) -> bool:
        return self._client is not None

    async def known(self) -> Sequence[Tool]:
        """Its tools, once the first attempt to connect is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.server.connect_timeout):
                await self._tried.wait()
        return self.tools

    # The owner -------------------------------------------------------------------------------------------------------

    async def _hold(self) -> None:
        failures = 0
        while True:
            before = self.connects
            try:
                await self._one()
            except UrlRefused as refused:
                self.trouble = f"{refused.detail} Say allow_private = true if it may be one."
            except Exception as error:
                self.trouble = f"it does not answer ({_kind(error)})"
            self._tried.set()
            failures = 1 if self.connects > before else failures + 1
            logger.warning("the MCP server %s: %s", self.server.name, self.trouble)
            await asyncio.sleep(min(SLOWEST, self._first * 2 ** min(failures - 1, 10)))

    async def _one(self) -> None:
        """Connect, and stay until it breaks."""
        self._broken.clear()
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(self.server.connect_timeout):
                client = await stack.enter_async_context(self._opened())
                await self._list(client)
            self._client, self.trouble, self._timeouts = client, None, 0
            self.connects += 1
            self._tried.set()
            self._up.set()
            try:
                await self._stay(client)
            finally:
                self._client, self.trouble = None, BROKE
                self._up.clear()
                self._broken.set()

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[Client]:
        server = self.server
        if server.command is not None:
            parameters = StdioServerParameters(
                command=server.command, args=list(server.args), env=dict(self._secrets.env), cwd=server.cwd
            )
            async with self._spoken(stdio_client(parameters, errlog=sys.__stderr__ or sys.stderr)) as client:
                yield client
            return
        assert server.url is not None
        if not server.allow_private:
            await self._guard.check(server.url)
        async with create_mcp_http_client(headers=dict(self._secrets.headers)) as http:
            async with self._spoken(streamable_http_client(server.url, http_client=http)) as client:
                yield client

    def _spoken(self, transport: Any) -> Client:
        return Client(self._watched(transport), message_handler=self._heard, cache=None)

    @contextlib.asynccontextmanager
    async def _watched(self, transport: Any) -> AsyncIterator[Any]:
        """The same, whose end is noticed even when nobody asks for anything."""
        async with transport as (reading, writing):
            yield Watched(reading, self._end), writing

    async def _heard(self, message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._look.set()
        elif isinstance(message, Exception):
            self._end()

    async def _stay(self, client: Client) -> None:
        while not self._broken.is_set():
            self._look.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE):
                    await self._look.wait()
            if not self._broken.is_set():
                async with asyncio.timeout(self.server.connect_timeout):
                    await self._list(client)

    def _end(self) -> None:
        self._broken.set()
        self._look.set()

    async def _list(self, client: Client) -> None:
        listed: list[RemoteTool] = []
        cursor: str | None = None
        for _ in range(PAGES):
            page = await client.list_tools(cursor=cursor)
            listed.extend(page.tools)
            cursor = page.next_cursor
            if not cursor:
                break
        if listed != self._listed:
            self._listed = listed
            allowed = [remote for remote in listed if self.server.allows(remote.name)]
            self.tools = [self._tool(name, remote) for name, remote in named(self.server.name, allowed)]

    # Its tools -------------------------------------------------------------------------------------------------------

    def _tool(self, name: str, remote: RemoteTool) -> Tool:
        hints = remote.annotations
        again = hints is not None and bool(hints.read_only_hint or hints.idempotent_hint)

        async def call(context: ToolContext, /, **arguments: Any) -> str:
            return await self.call(context, remote.name, arguments, again=again)

        return Tool(
            name=name,
            description=remote.description or "",
            parameters={"type": "object", "properties": {}, **remote.input_schema},
            call=call,
            read=_as_they_are,
            takes_context=True,
            timeout=self.server.timeout,
            concurrency=self.server.concurrency,
            needs_approval=self.server.asks(remote.name),
        )

    async def call(self, context: ToolContext, tool: str, arguments: Mapping[str, Any], *, again: bool) -> str:
        """One call. It is made once more after the connection broke only if the server says that this does no harm."""
        try:
            return await self._called(context, tool, arguments)
        except Broken:
            if not again:
                raise ToolError(GONE.format(server=self.server.name)) from None
        try:
            async with asyncio.timeout(self.server.connect_timeout):
                await self._up.wait()
            return await self._called(context, tool, arguments)
        except (Broken, TimeoutError):
            raise ToolError(UNREACHABLE.format(server=self.server.name)) from None

    async def _called(self, context: ToolContext, tool: str, arguments: Mapping[str, Any]) -> str:
        client = self._client
        if client is None:
            raise ToolError(UNREACHABLE.format(server=self.server.name))

        async def report(progress: float, total: float | None, message: str | None) -> None:
            context.report(message or tool, int(progress), None if total is None else int(total))

        meta: Any = {"dragoman/idempotency_key": context.idempotency_key}
        asked = asyncio.ensure_future(
            client.call_tool(tool, dict(arguments), progress_callback=report, meta=meta),
        )
        over = asyncio.ensure_future(self._broken.wait())
        try:
            await asyncio.wait({asked, over}, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise Broken
            result = asked.result()
        except asyncio.CancelledError:
            self._timeouts += 1
            if self._timeouts >= TROUBLES:
                self._end()
            raise
        except MCPError as error:
            if error.error.code == CONNECTION_CLOSED:
                self._end()
                raise Broken from None
            raise ToolError(f"{self.server.name}: {error.error.message}") from None
        except (ToolError, Broken, DragomanError):
            raise
        except Exception:
            self._end()
            raise Broken from None
        finally:
            for task in (asked, over):
                task.cancel()
            await asyncio.gather(asked, over, return_exceptions=True)
        self._timeouts = 0
        text = text_of(result)
        if result.is_error:
            raise ToolError(text or f"{tool} failed.")
        return text


def _as_they_are(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The server knows its schema best, and says what is wrong."""
    return given


def _kind(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return type(error).__name__

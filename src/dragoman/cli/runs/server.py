"""Runs of a server, over its native HTTP interface."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from dragoman.cli.refusals import Refused
from dragoman.cli.runs.source import Record

PAGE = 100
PATIENCE = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
AGAIN = 1.0
"""Seconds before a stream that broke off is taken up again."""
TERMINAL = frozenset({"stream_complete", "error"})


@dataclass(frozen=True, slots=True)
class ServerRuns:
    """``Source``: the runs of whoever the key belongs to."""

    http: aiohttp.ClientSession
    url: str

    def approvals(self, filters: Mapping[str, str], limit: int) -> AsyncIterator[Record]:
        return self._paged("approvals", filters, limit)

    async def decide(self, approval: Record, decision: Mapping[str, Any]) -> Record:
        path = f"/runs/{approval['run_id']}/approvals/{approval['approval_id']}"
        decided: Record = await self._ask("POST", path, json=decision)
        return decided

    def list(self, filters: Mapping[str, str], limit: int) -> AsyncIterator[Record]:
        return self._paged("runs", filters, limit)

    async def _paged(self, what: str, filters: Mapping[str, str], limit: int) -> AsyncIterator[Record]:
        after: str | None = ""
        while limit > 0 and after is not None:
            query = {**filters, "limit": str(min(limit, PAGE)), **({"after": after} if after else {})}
            page = await self._ask("GET", f"/{what}", params=query)
            for record in page[what]:
                yield record
            limit -= len(page[what])
            after = page["next"]

    async def show(self, run_id: str) -> Record:
        run: Record = await self._ask("GET", f"/runs/{run_id}")
        return run

    async def cancel(self, run_id: str, *, now: bool) -> Record:
        run: Record = await self._ask("POST", f"/runs/{run_id}/cancel", json={"mode": "now" if now else "after_turn"})
        return run

    async def follow(self, run_id: str) -> AsyncIterator[Record]:
        """Whenever the stream breaks off, it is taken up where it was, from whichever replica answers."""
        await self.show(run_id)
        after = -1
        while True:
            try:
                headers = {"Last-Event-ID": str(after)}
                async with self.http.get(f"{self.url}/runs/{run_id}/events", headers=headers) as answer:
                    if answer.status == 204:
                        return
                    await check(answer)
                    async for event in _events(answer):
                        yield event
                        after = event["id"]
                        if event["type"] in TERMINAL:
                            return
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError):
                pass
            except Refused as refused:
                if not refused.retryable:
                    raise
            await asyncio.sleep(AGAIN)

    async def _ask(self, method: str, path: str, **given: Any) -> Any:
        try:
            async with self.http.request(method, self.url + path, **given) as answer:
                await check(answer)
                return await answer.json()
        except aiohttp.ClientConnectionError as error:
            raise Refused(f"{self.url} cannot be reached.") from error


async def check(answer: aiohttp.ClientResponse) -> None:
    if answer.status < 400:
        return
    try:
        problem = orjson.loads(await answer.read())
        detail = f"{problem['detail']} ({problem['code']})"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        detail = f"The server answered {answer.status}."
    raise Refused(detail, retryable=answer.status >= 500)


async def _events(answer: aiohttp.ClientResponse) -> AsyncIterator[Record]:
    """The events of a stream of server-sent events."""
    position, data = -1, b""
    async for line in answer.content:
        name, _, value = line.rstrip(b"\r\n").partition(b": ")
        if name == b"id":
            position = int(value)
        elif name == b"data":
            data = value
        elif not name and data:
            yield {"id": position, **orjson.loads(data)}
            data = b""

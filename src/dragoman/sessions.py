"""Conversations for code that uses the Agents SDK without the server: a ``Session`` over the same database.

    async with dragoman.sessions.open("user_sarah_123") as session:
        result = await Runner.run(agent, "Hello", session=session)

It satisfies the SDK's protocol without importing the SDK. A server may be running beside it. While one of its runs is in
progress in the conversation, nothing can be added (``ConversationBusy``).
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from dragoman.adapters.sql.engine import Engine
from dragoman.adapters.sql.shelf import ALL, SqlShelf
from dragoman.application.runs import checked_session_id
from dragoman.application.transfer import flaw
from dragoman.bootstrap import shared_engine
from dragoman.domain.errors import Invalid
from dragoman.domain.identity import LOCAL, Principal
from dragoman.domain.items import Content
from dragoman.domain.text import storable_json
from dragoman.ports.transfer import Entry
from dragoman.settings import Settings

__all__ = ["ConversationSession", "open"]

AGENT = "chat"


def open(
    key: str,
    *,
    user: str = LOCAL.user,
    tenant: str = LOCAL.tenant,
    url: str | None = None,
    agent: str = AGENT,
    limit: int | None = None,
) -> "ConversationSession":
    """The conversation that requests call ``session_id``: ``key``. It is made with its first item, and is then ``agent``'s.

    ``url`` is the database, as in ``DATABASE_URL``; without it, the one that the settings name. ``limit`` is how many of the
    newest items the Runner is given. Close it, or use it with ``async with``.
    """
    settings = Settings.load(database_url=url)
    checked_session_id(key)
    return ConversationSession(key, shared_engine(settings), Principal(user, tenant), agent=agent, limit=limit)


class ConversationSession:
    """The SDK's ``Session``. Its database is opened when it is first used."""

    session_settings: Any = None  # the SDK's own settings object, if somebody sets one

    def __init__(self, key: str, engine: Engine, principal: Principal, *, agent: str, limit: int | None) -> None:
        self.session_id = key
        self._engine = engine
        self._shelf = SqlShelf(engine, principal, agent)
        self._limit = limit
        self._opening = asyncio.Lock()
        self._started = False

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """The newest items, oldest first: all, or so many."""
        wanted = self._wanted(limit)
        shelf = await self._open()
        kept = await shelf.read(self.session_id, ALL if wanted is None or wanted < 0 else wanted)
        return [entry.content for entry in kept.entries]

    async def add_items(self, items: Sequence[Any]) -> None:
        if items:
            entries = [Entry(_item(item)) for item in items]
            await (await self._open()).append(self.session_id, entries)

    async def pop_item(self) -> Any:
        """Take the newest item away and return it, if there is one."""
        return await (await self._open()).pop(self.session_id)

    async def clear_session(self) -> None:
        """Really gone, with its runs, as by ``DELETE`` over HTTP."""
        await (await self._open()).clear(self.session_id)

    async def close(self) -> None:
        async with self._opening:
            if self._started:
                self._started = False
                await self._engine.stop()

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _open(self) -> SqlShelf:
        async with self._opening:
            if not self._started:
                await self._engine.start()
                self._started = True
        return self._shelf

    def _wanted(self, limit: int | None) -> int | None:
        chosen = getattr(self.session_settings, "limit", None)
        return next((each for each in (limit, chosen, self._limit) if each is not None), None)


def _item(given: Any) -> Content:
    """In the form in which all items are kept."""
    content = storable_json(dict(given))
    content.setdefault("type", "message")
    if reason := flaw(content):
        raise Invalid(f"This cannot be kept in a conversation: {reason}.", field="items")
    return content  # type: ignore[no-any-return]

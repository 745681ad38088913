"""API keys: looked up by their id, remembered for a moment so that not every request asks the database."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import timedelta

from dragoman.domain.errors import InvalidToken, StorageUnavailable, TokenExpired
from dragoman.domain.identity import Principal
from dragoman.domain.keys import ApiKey, id_in
from dragoman.ports.clock import Clock
from dragoman.ports.keys import KeyStore

FRESH = 5.0
"""Seconds for which a key is not looked up again: how long a revoked one may still be good."""
COARSE = timedelta(minutes=10)
"""How far behind the time of a key's last use may be, so that using it is not writing."""
MAX_KNOWN = 10_000


class ApiKeys:
    """``Verifier`` of API keys."""

    def __init__(self, store: KeyStore, clock: Clock, *, fresh: float = FRESH) -> None:
        self._store = store
        self._clock = clock
        self._fresh = fresh
        self._known: dict[str, tuple[ApiKey | None, float]] = {}  # by id, with when it was looked up; oldest first

    async def verify(self, token: str) -> Principal:
        key_id = id_in(token)
        key = None if key_id is None else await self._find(key_id)
        if key is None or not key.fits(token) or key.revoked_at is not None:
            raise InvalidToken
        if key.expired(self._clock.now()):
            raise TokenExpired
        await self._remember_use(key)
        return key.principal

    async def _find(self, key_id: str) -> ApiKey | None:
        now = asyncio.get_running_loop().time()
        key, looked_up = self._known.get(key_id, (None, float("-inf")))
        if now - looked_up >= self._fresh:
            key = await self._store.find(key_id)
            self._know(key_id, key, now)
        return key

    def _know(self, key_id: str, key: ApiKey | None, at: float) -> None:
        self._known.pop(key_id, None)
        self._known[key_id] = key, at
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    async def _remember_use(self, key: ApiKey) -> None:
        now = self._clock.now()
        if key.last_used_at is not None and now - key.last_used_at < COARSE:
            return
        _, looked_up = self._known[key.id]
        self._known[key.id] = replace(key, last_used_at=now), looked_up
        with contextlib.suppress(StorageUnavailable):  # who may come in does not depend on it
            await self._store.used(key.id, now)

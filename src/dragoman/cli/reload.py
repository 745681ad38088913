"""``dragoman serve --reload``: when a file with agents or tools changes, new runs get what is in it now. Streams and runs that
are under way notice nothing."""

import asyncio
import logging
import sys
from collections.abc import Sequence

from dragoman.bootstrap import Application, refuse_mistakes
from dragoman.domain.errors import DragomanError
from dragoman.settings import WrongSettings
from dragoman.sources import Found, find, python, watched

logger = logging.getLogger(__name__)

LOOK = 0.5
"""Seconds between two looks at the files."""


class Reloader:
    """Made right after the sources were read: what changes from then on is noticed."""

    def __init__(self, application: Application, sources: Sequence[str], *, every: float = LOOK) -> None:
        self.application = application
        self.sources = sources
        self._every = every
        self._seen = watched(sources)

    async def watch(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            now = await asyncio.to_thread(watched, self.sources)
            if now != self._seen:
                self._seen = now
                await self.reload()

    async def reload(self) -> bool:
        """Whether the new ones are served. If they are broken, the log says how, and all stays as it was."""
        try:
            found = await asyncio.to_thread(self._found)
            self.application.replace_agents(found)
        except (WrongSettings, DragomanError) as error:
            logger.error("the agents were not reloaded: %s", error)  # noqa: TRY400 - a sentence, not a traceback
        except Exception:
            logger.exception("the agents were not reloaded")
        else:
            logger.info("the agents were reloaded: %s", ", ".join(self.application.agents))
            return True
        return False

    def _found(self) -> Found:
        """What the sources bring now. The modules that were there come back if that fails."""
        before = python.forget(list(self.sources))
        try:
            found = find(self.sources)
            refuse_mistakes(self.application.settings, found)
        except BaseException:
            sys.modules.update(before)
            raise
        return found

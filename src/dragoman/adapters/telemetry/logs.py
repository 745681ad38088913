"""Sends every log line of the process through structlog, with the fields of the work it belongs to.

Our own code and the libraries use the standard ``logging``; this is only its formatter. The text of messages is never
logged at INFO or above, which is a matter of what is passed to the loggers, not of filters here.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any, Literal

import structlog

from dragoman.application.logging import current_log_fields

QUIET = ("httpx", "httpx2", "openai", "openai.agents", "asyncio", "alembic", "psycopg.pool")
"""Libraries that speak at INFO about what is not news here."""

_OWN = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


def configure(level: str, style: Literal["text", "json"]) -> None:
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        _add_fields,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    final: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
        if style == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                pad_event_to=0,
                exception_formatter=structlog.dev.plain_traceback,  # the pretty one takes seconds
            )
        ]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"  # our middleware writes the access log


def _add_fields(_logger: Any, _method: str, event: dict[str, Any]) -> Mapping[str, Any]:
    record: logging.LogRecord = event["_record"]
    for name, value in {**current_log_fields(), **record.__dict__}.items():
        if name not in _OWN and not name.startswith("_") and value is not None:
            event.setdefault(name, value)
    return event

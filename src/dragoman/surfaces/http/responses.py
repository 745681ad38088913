"""JSON as this server writes it."""

import json
from dataclasses import asdict, is_dataclass
from typing import Any

import orjson
from fastapi.responses import JSONResponse as FastAPIJSONResponse


def dump(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # an integer above 64 bits, or more levels than orjson goes down: rare, but valid JSON
        return json.dumps(value, default=_plain, ensure_ascii=False, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value.isoformat()


class JSONResponse(FastAPIJSONResponse):
    def render(self, content: Any) -> bytes:
        return dump(content)

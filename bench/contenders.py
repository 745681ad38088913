"""The servers that are compared: how each is started, asked and read. A new one is one more entry in the table."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Contender:
    name: str
    what: str
    command: tuple[str, ...]
    path: str
    delta: bytes  # what marks a frame that carries tokens
    end: bytes  # what marks the frame of a run that ended well
    environment: Mapping[str, str] = field(default_factory=dict)

    model: str = ""  # of a protocol that chooses the agent by it

    def body(self, text: str, session_id: str) -> bytes:
        asked = (
            {"model": self.model, "input": text, "stream": True}
            if self.model
            else {"input": text, "session_id": session_id}
        )
        return json.dumps(asked).encode()

    def ended_well(self, answer: bytes | bytearray) -> bool:
        return self.end in answer


_RAW_RESPONSE = b'"event_type":"response.output_text.delta"'
_COMPLETED = b'"status":"completed"'
_PYTHON = sys.executable
_SERVE = (_PYTHON, "-m", "dragoman", "serve", "bench/agent.py")

CONTENDERS = (
    Contender(
        "baseline",
        "FastAPI, Runner.run_streamed, stock model, SDK SQLiteSession",
        (_PYTHON, "-m", "bench.baseline", "{port}"),
        "/stream",
        delta=b'"type": "delta"',
        end=b'"type": "done"',
    ),
    Contender(
        "stock model",
        "dragoman serve on SQLite, with the baseline's model",
        _SERVE,
        "/agents/bench/stream",
        delta=_RAW_RESPONSE,
        end=_COMPLETED,
        environment={"DRAGOMAN_MODEL_CLIENT": "sdk"},
    ),
    Contender(
        "dragoman",
        "dragoman serve on SQLite, as it comes: with its own model",
        _SERVE,
        "/agents/bench/stream",
        delta=_RAW_RESPONSE,
        end=_COMPLETED,
    ),
    Contender(
        "responses",
        "the same over the Responses API",
        _SERVE,
        "/v1/responses",
        delta=b'"type":"response.output_text.delta"',
        end=b'"type":"response.completed"',
        model="bench",
    ),
    Contender(
        "in memory",
        "the same, its stores in memory: the difference is what storing costs",
        (_PYTHON, "-m", "bench.in_memory", "{port}"),
        "/agents/bench/stream",
        delta=_RAW_RESPONSE,
        end=_COMPLETED,
    ),
    Contender(
        "relay",
        "aiohttp writes our frames; no agent, nothing stored",
        (_PYTHON, "-m", "bench.relay", "{port}"),
        "/stream",
        delta=_RAW_RESPONSE,
        end=_COMPLETED,
    ),
)
BY_NAME = {contender.name: contender for contender in CONTENDERS}

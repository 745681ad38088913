"""Examples for the OpenAPI document."""

from dragoman.domain.events import Delta, Recorded, RunCompleted, RunStarted
from dragoman.domain.runs import RunStatus
from dragoman.domain.usage import Usage
from dragoman.surfaces.rest.wire import frames, wire_events

_RUN_ID = "run_01jd4w4fcs7kse2mzz7hn3g8p5"
_CONVERSATION_ID = "conv_01jd4w4fct0d9v1w6x2y8z3a4b"
_SESSION_ID = "user_sarah_123"
_USAGE = Usage(1, 12, 4, 16, cost="0.000031", models=("gpt-5-mini",))

RUN = {
    "run_id": _RUN_ID,
    "conversation_id": _CONVERSATION_ID,
    "session_id": _SESSION_ID,
    "agent": "chat",
    "status": "completed",
    "final_output": "Hi Sarah!",
    "response_id": "resp_68f1",
    "success": True,
    "error": None,
    "usage": {
        "requests": 1,
        "input_tokens": 12,
        "output_tokens": 4,
        "total_tokens": 16,
        "cached_input_tokens": 0,
        "reasoning_tokens": 0,
        "cost": "0.000031",
        "currency": "USD",
        "models": ["gpt-5-mini"],
    },
}
QUEUED = {**RUN, "status": "queued", "final_output": None, "response_id": None, "success": False, "ahead": 2}
RECORD = {
    **RUN,
    "metadata": {},
    "created_at": "2026-11-20T09:30:00+00:00",
    "ended_at": "2026-11-20T09:30:02+00:00",
    "superseded_by": None,
}
RUNS = {"runs": [RECORD], "next": None}

REPORT = {
    "short_summary": "A run is replayed from its log.",
    "markdown_report": "# Surviving a crash\n\nA run is replayed from its log. [1]\n\n## Sources\n\n1. [Runs](doc:runs.md)",
    "follow_up_questions": ["What happens to tool calls in flight?"],
    "searches": [
        {"query": "crash recovery", "reason": "The heart of it.", "status": "done", "seconds": 1.2, "code": None}
    ],
    "sources": [
        {"number": 1, "title": "Runs", "url": "doc:runs.md", "quote": "", "used_in": ["Surviving a crash"]},
    ],
    **{name: RUN[name] for name in ("run_id", "conversation_id", "session_id", "status", "error", "usage")},
}

INFO = {
    "name": "Chat",
    "agent_name": "chat",
    "description": "Talks, and remembers.",
    "model": "gpt-5-mini",
    "tools": [{"name": "current_time", "description": "The time, anywhere."}],
    "tools_count": 1,
    "handoffs": [],
    "handoffs_count": 0,
    "capabilities": {"streaming": True},
    "endpoints": {
        "run": "/chat/run",
        "stream": "/chat/stream",
        "info": "/chat/info",
        "session": "/chat/session/{session_id}",
    },
    "session_config": {
        "sessions_enabled": True,
        "history_limit": 50,
        "history_tokens": None,
        "history_outputs": None,
        "history_summary": False,
        "on_busy": "queue",
        "on_disconnect": "continue",
    },
}
AGENTS = {"agents": [INFO]}
APPROVAL = {
    "approval_id": "appr_01jd4w4fcs7kse2mzz7hn3g8p5",
    "run_id": _RUN_ID,
    "conversation_id": _CONVERSATION_ID,
    "agent": "support",
    "tool": "refund",
    "call_id": "call_1",
    "arguments": {"amount": 200},
    "status": "approved",
    "scope": None,
    "requested_at": "2026-11-20T09:30:00+00:00",
    "expires_at": "2026-11-27T09:30:00+00:00",
    "changed_arguments": {"amount": 20},
    "message": None,
    "decided_by": "sarah",
    "decided_at": "2026-11-20T09:31:00+00:00",
}
APPROVALS = {"approvals": [APPROVAL], "next": None}
TOOLS = {
    "tools": [
        {
            "name": "refund",
            "description": "Give a customer money back.",
            "parameters": {
                "type": "object",
                "properties": {"amount": {"type": "number"}},
                "required": ["amount"],
                "additionalProperties": False,
            },
            "needs_approval": "sometimes",
            "timeout": 120.0,
            "concurrency": None,
            "agents": ["support"],
        }
    ]
}

_MESSAGE = {"type": "message", "status": "completed", "run_id": _RUN_ID, "created_at": "2026-11-20T09:30:00+00:00"}
MESSAGES = [
    {"id": "item_01jd4w4fcu", "parent": None, "role": "user", "content": "I am Sarah.", **_MESSAGE},
    {
        "id": "item_01jd4w4fcv",
        "parent": "item_01jd4w4fcu",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "Hi Sarah!", "annotations": []}],
        **_MESSAGE,
    },
]
SESSION = {
    "session_id": _SESSION_ID,
    "conversation_id": _CONVERSATION_ID,
    "messages": MESSAGES,
    "message_count": 2,
    "has_more": False,
    "before": None,
}

_BRANCH_ID = "branch_01jd4w4fcs7kse2mzz7hn3g8p5"
_OTHER_BRANCH_ID = "branch_01jd4x9ab27kse2mzz7hn3g8p5"
CONVERSATION = {
    "conversation_id": _CONVERSATION_ID,
    "session_id": _SESSION_ID,
    "title": "I am Sarah.",
    "agent": "chat",
    "status": "active",
    "tags": ["school"],
    "metadata": {},
    "hold": False,
    "branch": _BRANCH_ID,
    "created_at": "2026-11-20T09:30:00+00:00",
    "updated_at": "2026-11-20T09:30:02+00:00",
    "last_message_at": "2026-11-20T09:30:02+00:00",
}
CONVERSATIONS = {"conversations": [CONVERSATION], "next": None}
ITEMS = {
    "conversation_id": _CONVERSATION_ID,
    "branch": _BRANCH_ID,
    "items": MESSAGES,
    "has_more": False,
    "before": None,
}
BRANCH = {
    "branch_id": _BRANCH_ID,
    "head": "item_01jd4w4fcv",
    "preview": "Hi Sarah!",
    "current": True,
    "superseded_by": None,
    "created_at": "2026-11-20T09:30:00+00:00",
}
BRANCHES = {"branches": [BRANCH], "next": None}
COMPARISON = {
    "common": MESSAGES[0],
    "branches": [
        {"branch_id": _BRANCH_ID, "items": [MESSAGES[1]]},
        {"branch_id": _OTHER_BRANCH_ID, "items": []},
    ],
}

CHAT = {"response": "What is it you dislike?", "thread_id": _CONVERSATION_ID, "domain": "career", "run_id": _RUN_ID}
_THREAD = {
    "thread_id": _CONVERSATION_ID,
    "assistant_id": "career",
    "domain": "career",
    "is_active": True,
    "title": "I dislike my job.",
    "metadata": {},
    "last_message_at": "2026-11-20T09:30:02+00:00",
    "created_at": "2026-11-20T09:30:00+00:00",
}
THREADS = {"threads": [_THREAD], "next": None}
THREAD = {**_THREAD, "messages": MESSAGES, "has_more": False, "before": None}

_LOG = [
    Recorded(0, RunStarted(_RUN_ID, "chat", _CONVERSATION_ID, _SESSION_ID)),
    Recorded(1, Delta("text", "Hi")),
    Recorded(4, RunCompleted(RunStatus.COMPLETED, "Hi Sarah!", _USAGE, 1, _SESSION_ID)),
]
STREAM = frames(_LOG).decode()
PAGE = {"events": [{"id": position, **event} for position, event in wire_events(_LOG[:2])], "next": 1}

_KEY = {
    "key_id": "key_01jd4w4fcs7kse2mzz7hn3g8p5",
    "user": "alice",
    "name": "nightly job",
    "scopes": ["runs:write"],
    "created_at": "2026-11-20T12:00:00Z",
    "created_by": "boss",
    "expires_at": "2027-02-18T12:00:00Z",
    "last_used_at": None,
    "revoked_at": None,
}
NEW_KEY = {"key": "dgm_01jd4w4fcs7kse2mzz7hn3g8p5_…", **_KEY}
KEYS = {"keys": [_KEY], "next": None}
REVOKED_KEY = {**_KEY, "revoked_at": "2026-11-21T08:00:00Z"}
AUDIT = {
    "entries": [
        {
            "id": "audit_01jd4w4fcs7kse2mzz7hn3g8p5",
            "at": "2026-11-20T12:00:00Z",
            "actor": "boss",
            "key_id": None,
            "action": "key.created",
            "target": "key_01jd4w4fcs7kse2mzz7hn3g8p5",
            "detail": {"user": "alice", "name": "nightly job", "scopes": ["runs:write"]},
        }
    ],
    "next": None,
}

HOLD = {"conversation_id": _CONVERSATION_ID, "user": "alice", "hold": True}
ERASED = {
    "user": "alice",
    "removed": {
        "events": 118,
        "idempotency_keys": 2,
        "approvals": 1,
        "usage": 14,
        "notes": 2,
        "runs": 12,
        "items": 31,
        "conversations": 3,
        "spending": 1,
        "requests": 1,
        "api_keys": 1,
    },
    "renamed": 4,
    "pseudonym": "erased_01jd4w4fcs7kse2mzz7hn3g8p5",
}

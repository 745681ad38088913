"""Prefixed ids that sort by the time they were made and carry 80 random bits: ``run_01jd…``.

They are ULIDs in lower case behind a prefix: 48 bits of milliseconds, then the random part.
"""

import re
import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 26
_CONVERSATION_ID = re.compile(rf"conv_[{_ALPHABET}]{{{_LENGTH}}}")


def new_id(prefix: str) -> str:
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    letters = [_ALPHABET[(number >> shift) & 31] for shift in range(5 * (_LENGTH - 1), -1, -5)]
    return f"{prefix}_{''.join(letters)}"


def run_id() -> str:
    return new_id("run")


def conversation_id() -> str:
    return new_id("conv")


def branch_id() -> str:
    return new_id("branch")


def item_id() -> str:
    return new_id("item")


def key_id() -> str:
    return new_id("key")


def audit_id() -> str:
    return new_id("audit")


def approval_id() -> str:
    return new_id("appr")


def request_id() -> str:
    return new_id("req")


def is_conversation_id(name: str) -> bool:
    """Whether this is an id, and not a name that an owner may choose."""
    return bool(_CONVERSATION_ID.fullmatch(name))

"""What a person has told about themselves, read from what they said."""

import re
from collections.abc import Sequence

_END = r"(?=[.!?\n]|,? and (?:my|i|please|what)\b|$)"
_FACT = re.compile(rf"\bmy ([a-z][a-z ]{{0,40}}?) (?:is|are) (?:called )?([^.!?\n]+?){_END}", re.IGNORECASE)
_NAME = re.compile(rf"\b(?:i am called|i'm called|call me) ([^.!?,\n]+?){_END}", re.IGNORECASE)
_PLACE = re.compile(rf"\bi live in ([^.!?,\n]+?){_END}", re.IGNORECASE)
_NOTE = re.compile(
    r"\b(?:remember|note|keep in mind)(?: that| this)?[:,]? +([^?\n]+?)[.!]?$", re.IGNORECASE | re.MULTILINE
)
_QUESTION = re.compile(r"^\s*(?:what|who|when|where|how|do|does|did|can|could|is|are|tell)\b", re.IGNORECASE)

_ASKED = re.compile(
    r"\b(?:what(?:'s| is| are)|who is|tell me|do you (?:know|remember)) my ([a-z][a-z ]*)", re.IGNORECASE
)
_ASKED_NAME = re.compile(r"\bwho am i\b|\bwhat am i called\b", re.IGNORECASE)
_ASKED_PLACE = re.compile(r"\bwhere do i live\b", re.IGNORECASE)
_ASKED_ALL = re.compile(
    r"\bwhat (?:did|have) i (?:tell|told|say|said|ask)|\bwhat do you (?:know|remember) about me\b|\bwhat do you remember\b",
    re.IGNORECASE,
)


def told(texts: Sequence[str]) -> dict[str, str]:
    """Facts by what they are about, the latest word on each."""
    facts: dict[str, str] = {}
    for text in texts:
        facts.update(_facts(text))
    return facts


def sentences(transcript: str) -> list[str]:
    """The lines of a transcript, or of a summary, that tell something."""
    lines = (
        line.removeprefix("user:").removeprefix(FACT).strip() for line in transcript.splitlines() if _is_said(line)
    )
    return [FACT + line for line in lines if _facts(line)]


FACT = "- "


def _is_said(line: str) -> bool:
    return line.startswith(("user:", FACT))


def new_facts(text: str) -> dict[str, str]:
    """What this one message tells; a question tells nothing."""
    return _facts(text)


def asked_for(text: str) -> str | None:
    """What a message wants to hear back: a name of a fact, ``*`` for all, or nothing."""
    if _ASKED_ALL.search(text):
        return "*"
    if _ASKED_NAME.search(text):
        return "name"
    if _ASKED_PLACE.search(text):
        return "home"
    if match := _ASKED.search(text):
        return _key(match[1])
    return None


def _facts(text: str) -> dict[str, str]:
    facts: dict[str, str] = {}
    if not _QUESTION.search(text):
        facts.update((_key(about), value.strip()) for about, value in _FACT.findall(text))
    facts.update(("name", value.strip()) for value in _NAME.findall(text))
    facts.update(("home", value.strip()) for value in _PLACE.findall(text))
    for note in _NOTE.findall(text):
        if not _FACT.search(note):
            facts[f"note: {note.strip().lower()}"] = note.strip()
    return facts


def _key(about: str) -> str:
    return " ".join(about.lower().split())

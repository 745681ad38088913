"""Thoughts inside the text: local servers send ``<think>…</think>`` before the answer, cut anywhere."""

from typing import Literal

OPENING, CLOSING = "<think>", "</think>"

Piece = tuple[Literal["text", "reasoning"], str]


class Thoughts:
    """Tells thoughts from text. Only what an answer begins with counts: later, the tag is something it talks about."""

    __slots__ = ("_held", "_state")

    def __init__(self) -> None:
        self._held = ""  # what may still become a tag
        self._state: Literal["before", "opened", "thinking", "closed", "speaking"] = "before"

    @property
    def over(self) -> bool:
        """Everything from here on is text."""
        return self._state == "speaking"

    def split(self, text: str) -> list[Piece]:
        text, self._held = self._held + text, ""
        if self._state == "speaking":
            return [("text", text)]
        if self._state == "closed":
            return self._speak(text)
        if self._state == "before":
            return self._begin(text)
        return self._think(text)

    def rest(self) -> list[Piece]:
        """What was held back when the answer ended: no tag after all."""
        held, self._held = self._held, ""
        if not held:
            return []
        return [("text" if self._state == "before" else "reasoning", held)]

    def _begin(self, text: str) -> list[Piece]:
        said = text.lstrip()
        if said.startswith(OPENING):
            self._state = "opened"
            return self._think(said.removeprefix(OPENING))
        if OPENING.startswith(said):
            self._held = text
            return []
        self._state = "speaking"
        return [("text", text)]

    def _think(self, text: str) -> list[Piece]:
        if self._state == "opened" and not (text := text.lstrip()):
            return []
        self._state = "thinking"
        thought, closing, said = text.partition(CLOSING)
        if closing:
            self._state = "closed"
            return [*_piece(thought), *self._speak(said)]
        held = next((n for n in range(len(CLOSING) - 1, 0, -1) if text.endswith(CLOSING[:n])), 0)
        self._held = text[len(text) - held :]
        return _piece(text[: len(text) - held])

    def _speak(self, text: str) -> list[Piece]:
        """The blank lines around a thought belong to nobody."""
        if not (said := text.lstrip()):
            return []
        self._state = "speaking"
        return [("text", said)]


def _piece(thought: str) -> list[Piece]:
    return [("reasoning", thought)] if thought else []

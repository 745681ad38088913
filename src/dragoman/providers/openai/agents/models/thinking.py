"""Thoughts inside the text: local servers send ``<think>…</think>`` before the answer, cut anywhere."""

from typing import Literal

OPENING, CLOSING = "<think>", "</think>"

Piece = tuple[Literal["text", "reasoning"], str]


class Thoughts:
    """Tells thoughts from text. Only what an answer begins with counts: later, the tag is something it talks about."""

    __slots__ = ("_held", "_state")

    def __init__(self) -> None:
        self._held = ""  # what may still become a tag
        self._state: Literal["before", "thinking", "after", "speaking"] = "before"

    @property
    def over(self) -> bool:
        """Everything from here on is text."""
        return self._state == "speaking"

    def split(self, text: str) -> list[Piece]:
        text, self._held = self._held + text, ""
        if self._state == "before":
            return self._begin(text)
        if self._state == "thinking":
            return self._think(text)
        if self._state == "after":
            return self._speak(text)
        return [("text", text)]

    def rest(self) -> list[Piece]:
        """What was held back when the answer ended: no tag after all."""
        held, self._held = self._held, ""
        if not held or self._state == "after":
            return []
        return [("reasoning" if self._state == "thinking" else "text", held)]

    def _begin(self, text: str) -> list[Piece]:
        said = text.lstrip()
        if said.startswith(OPENING):
            self._state = "thinking"
            return self._think(said.removeprefix(OPENING).lstrip())
        if OPENING.startswith(said):
            self._held = text
            return []
        self._state = "speaking"
        return [("text", text)]

    def _think(self, text: str) -> list[Piece]:
        thought, closing, said = text.partition(CLOSING)
        if closing:
            self._state = "after"
            return [*_piece(thought), *self._speak(said)]
        held = next((n for n in range(len(CLOSING) - 1, 0, -1) if text.endswith(CLOSING[:n])), 0)
        self._held = text[len(text) - held :]
        return _piece(text[: len(text) - held])

    def _speak(self, text: str) -> list[Piece]:
        """The blank lines between thought and answer belong to neither."""
        if not (said := text.lstrip()):
            return []
        self._state = "speaking"
        return [("text", said)]


def _piece(thought: str) -> list[Piece]:
    return [("reasoning", thought)] if thought else []

"""Long texts, a page at a time."""

from dragoman.domain.tools import ToolError

PAGE = 20_000
"""Characters that a tool gives a model at once."""


def page_of(text: str, start: int) -> str:
    """The page of a text that begins at a character, with a note on how to go on."""
    if start < 0 or (start and start >= len(text)):
        raise ToolError(f"The text has {len(text):,} characters; begin between 0 and its end.")
    end = start + PAGE
    if end >= len(text):
        return text[start:] or "The text is empty."
    return (
        f"{text[start:end]}\n[These are the characters {start:,} to {end:,} of {len(text):,}. Go on with start={end}.]"
    )

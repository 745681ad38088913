"""Text is made storable where it enters, once, so that no database refuses it later."""

from typing import Any

from dragoman.domain.errors import Invalid


def storable(text: str) -> str:
    """Without NUL (PostgreSQL refuses it) and without lone surrogates (UTF-8 has none)."""
    if "\0" in text:
        text = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


MAX_DEPTH = 100
"""How deep JSON may be nested; what is deeper, some parser or database down the way refuses."""
WHOLE_NUMBERS = range(-(2**63), 2**64)
"""Those that JSON parsers agree on. A larger one becomes what most of them make of it: the nearest float."""


def storable_json(value: Any, *, depth: int = MAX_DEPTH) -> Any:
    """The same for every string, keys included, inside a JSON value. ``Invalid`` if it is nested too deep, or a number is
    too large for any."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, int) and value not in WHOLE_NUMBERS:
        try:
            return float(value)
        except OverflowError as error:
            raise Invalid("A number is too large for JSON.") from error
    if not isinstance(value, dict | list | tuple):
        return value
    if not depth:
        raise Invalid(f"JSON may be nested {MAX_DEPTH} levels deep.")
    if isinstance(value, dict):
        return {storable(str(key)): storable_json(inner, depth=depth - 1) for key, inner in value.items()}
    return [storable_json(inner, depth=depth - 1) for inner in value]

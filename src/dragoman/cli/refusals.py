"""How commands end that an operator, or a server, does not let have their way."""

import contextlib
from collections.abc import Iterator

import typer


class Refused(Exception):
    """What a server says instead of an answer, in words for the operator."""

    def __init__(self, detail: str, *, retryable: bool = False) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retryable = retryable


@contextlib.contextmanager
def told_refusals() -> Iterator[None]:
    """What an operator did wrong, or a server refuses, is told as it is."""
    from dragoman.domain.errors import DragomanError

    try:
        yield
    except (DragomanError, Refused) as error:
        typer.echo(error.detail, err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None

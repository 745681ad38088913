"""What a stream says while its run waits in the queue."""

from collections.abc import Awaitable, Callable

from dragoman.application.runs import Runs
from dragoman.domain.identity import Principal
from dragoman.domain.runs import Run
from dragoman.surfaces.rest.wire import queued_frame


def waiting(runs: Runs, caller: Principal, run: Run) -> Callable[[], Awaitable[bytes]]:
    """The frame that says how many runs are ahead at this moment; empty when the run waits no more."""
    known: Run | None = run

    async def frame() -> bytes:
        nonlocal known
        current, known = known or await runs.get(caller, run.id), None
        ahead = await runs.ahead(current)
        return b"" if ahead is None else queued_frame(ahead)

    return frame

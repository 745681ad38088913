"""A summary that cannot be had costs a run nothing but what is older than its memory."""

from dragoman.application.remembering import with_summary
from dragoman.domain.errors import ModelUnavailable
from dragoman.domain.items import message
from dragoman.domain.memory import Older, as_told, summary_item
from dragoman.ports.runtime import Turn


class Silent:
    """A ``Recorder`` to which nothing may be said."""

    def show(self, event):
        raise AssertionError(event)

    def record(self, *events):
        raise AssertionError(events)


async def test_a_run_goes_on_without_a_summary_and_with_the_one_before():
    async def ask(text):
        assert "user: long ago" in text
        raise ModelUnavailable

    before, now = summary_item("They met.", "item_1"), message("user", "just now")
    for earlier, told in ((None, (now,)), (before, (as_told(before), now))):
        older = Older((message("user", "long ago"),), "item_9", earlier)
        turn = Turn(run=None, principal=None, history=(now,), input=(), older=older)
        assert (await with_summary(turn, Silent(), ask)).history == told

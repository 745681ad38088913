"""Taking conversations elsewhere: what is new is added, what is known is recognised, what went on by itself is left alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.application.transfer import Transferred, flaw, transfer
from dragoman.domain.errors import ConversationBusy, Invalid
from dragoman.domain.items import UNANSWERED, Content, complete_pairs, message, tool_call, tool_output
from dragoman.ports.transfer import Entry, Kept

HELLO, ANSWER, MORE = message("user", "Hello"), message("assistant", "Hi."), message("user", "More")
CALL, OUTPUT, LATE = tool_call("c1", "f", "{}"), tool_output("c1", "1"), tool_output("c1", UNANSWERED)


@dataclass
class MemoryShelf:
    held: dict[str, list[Content]] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    busy: bool = False

    async def keys(self) -> Sequence[str]:
        return list(self.held)

    async def read(self, key: str) -> Kept:
        held = self.held.get(key, [])
        found = tuple(Entry(content, id=f"row {n}") for n, content in enumerate(held, 1))
        return Kept(found, self.unreadable, str(len(held)) if held else None)

    async def extend(self, key: str, kept: Kept, keep: int, entries: Sequence[Entry]) -> None:
        if self.busy:
            raise ConversationBusy
        assert kept.version == (await self.read(key)).version
        self.held[key] = [*self.held.get(key, [])[:keep], *(entry.content for entry in entries)]


async def take(source: list[Content], target: MemoryShelf, **options: bool) -> Transferred:
    (done,) = [done async for done in transfer(MemoryShelf({"s": source}), lambda key: (target, key), **options)]
    return done


async def test_a_new_conversation_is_taken_whole_and_a_second_time_nothing_is():
    target = MemoryShelf()
    done = await take([HELLO, ANSWER], target)
    assert (done.result, done.added, done.complete) == ("new", 2, True)
    again = await take([HELLO, ANSWER], target)
    assert (again.result, again.added, again.known) == ("already there", 0, 2)
    assert target.held == {"s": [HELLO, ANSWER]}


async def test_what_was_said_since_is_added_at_the_end():
    target = MemoryShelf({"s": [HELLO, ANSWER]})
    done = await take([HELLO, ANSWER, MORE], target)
    assert (done.result, done.added, done.known) == ("continued", 1, 2)
    assert target.held["s"] == [HELLO, ANSWER, MORE]


async def test_a_conversation_that_has_moved_on_there_is_left_alone():
    target = MemoryShelf({"s": [HELLO, ANSWER, MORE]})
    done = await take([HELLO, ANSWER], target)
    assert (done.result, done.complete) == ("already there", True)
    done = await take([HELLO, ANSWER, message("user", "Else")], target)
    assert (done.result, done.known, done.complete) == ("moved on", 2, False)
    assert target.held["s"] == [HELLO, ANSWER, MORE]


async def test_orphans_are_repaired_and_the_real_output_replaces_what_stood_in_for_it():
    target = MemoryShelf()
    done = await take([tool_output("c0", "x"), HELLO, CALL], target)
    assert (done.result, done.added, done.repaired) == ("new", 3, 2)
    assert target.held["s"] == [HELLO, CALL, LATE]
    done = await take([tool_output("c0", "x"), HELLO, CALL, OUTPUT, ANSWER], target)
    assert (done.result, done.added, done.known, done.repaired) == ("continued", 2, 2, 0)
    assert target.held["s"] == [HELLO, CALL, OUTPUT, ANSWER]


async def test_what_is_no_item_is_skipped_and_said():
    target = MemoryShelf()
    nonsense: list[Content] = [
        {"type": "message"},
        {"type": "function_call", "call_id": "c"},
        {"type": 7},
        {"role": "user", "content": [1]},
        {"role": "assistant", "content": [{"type": "output_text", "text": 5}]},
    ]
    done = await take([HELLO, *nonsense, ANSWER], target)
    assert target.held["s"] == [HELLO, ANSWER]
    assert [line.split(":")[0] for line in done.skipped] == [f"row {n}" for n in range(2, 7)]
    assert not done.complete


async def test_a_dry_run_says_the_same_and_does_nothing():
    target = MemoryShelf()
    done = await take([HELLO, CALL], target, dry_run=True)
    assert (done.result, done.added, done.repaired) == ("new", 3, 1)
    assert target.held == {}


async def test_a_conversation_somebody_is_at_work_in_is_left_for_the_next_time():
    done = await take([HELLO], MemoryShelf(busy=True))
    assert (done.result, done.complete) == ("busy", False)


@pytest.mark.parametrize("name", ["a/b", "x" * 256])
async def test_a_name_that_cannot_be_one_here_is_refused(name: str):
    source = MemoryShelf({name: [HELLO], "s": [HELLO]})
    target = MemoryShelf()
    done = [each async for each in transfer(source, lambda key: (target, key))]
    assert [each.result for each in done] == ["refused", "new"]


async def test_a_name_without_an_owner_is_refused():
    def nobody(key: str) -> tuple[MemoryShelf, str]:
        raise Invalid("Whose is it?")

    (done,) = [each async for each in transfer(MemoryShelf({"s": [HELLO]}), nobody)]
    assert (done.result, done.reason) == ("refused", "Whose is it?")


CALL_IDS = st.sampled_from(["c1", "c2"])
ITEMS = st.one_of(
    st.builds(message, st.just("user"), st.sampled_from("abc")),
    st.builds(tool_call, CALL_IDS, st.just("f"), st.just("{}")),
    st.builds(tool_output, CALL_IDS, st.sampled_from(["1", "2"])),
)


@given(st.lists(ITEMS, max_size=12), st.lists(st.integers(0, 12), max_size=4))
async def test_however_often_a_growing_source_is_taken_the_target_ends_with_what_it_says_repaired(
    source: list[Content], moments: list[int]
):
    target = MemoryShelf()
    for length in [*sorted(moments), len(source)]:
        done = await take(source[:length], target)
        assert done.complete
    assert target.held.get("s", []) == complete_pairs(source)
    assert not any(flaw(content) for content in target.held.get("s", []))

"""``SessionStore``: history as a tree. Branches grow at their heads, whatever else happens to the conversation."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from dragoman.domain.conversations import START, Branch, Change
from dragoman.domain.errors import Invalid, NotFound
from dragoman.domain.events import RunCompleted
from dragoman.domain.ids import item_id
from dragoman.domain.items import NewItem, assistant_message, message, text_of
from dragoman.domain.runs import Run, RunOptions, RunStatus
from dragoman.domain.usage import Usage
from dragoman.ports.events import End
from tests.contracts.conftest import STORES
from tests.contracts.talk import SARAH, TOM, Store, Talk


def at(place: str | None) -> RunOptions:
    return RunOptions(from_item=place)


async def items(store: Store, branch: str | None = None, session: str = "s"):
    return (await store.sessions.page(SARAH, session, limit=1000, branch=branch)).items


async def texts(store: Store, branch: str | None = None) -> list[str]:
    return [text_of(item.content) for item in await items(store, branch)]


async def branches(store: Store) -> list[Branch]:
    return list((await store.sessions.branches(SARAH, "s", limit=100)).branches)


async def test_a_conversation_begins_with_one_branch(talk: Talk, store: Store):
    run = await talk.answered("Hello", "Hi!")

    (branch,) = await branches(store)
    conversation = await store.sessions.find(SARAH, "s")
    assert (branch.id, branch.current, branch.preview) == (run.branch, True, "Hi!")
    assert branch.head == conversation.head == (await items(store))[-1].id
    assert conversation.branch == branch.id


async def test_after_a_fork_the_next_message_goes_on_from_there_and_nothing_was_copied(talk: Talk, store: Store):
    first = await talk.answered("One", "1")
    await talk.answered("Two", "2")
    trunk = await items(store)

    fork = await store.sessions.fork(SARAH, "s", trunk[1].id)
    assert (fork.head, fork.preview, fork.current) == (trunk[1].id, "1", True)
    await talk.answered("Other", "o")

    assert await texts(store) == ["One", "1", "Other", "o"]
    assert await texts(store, first.branch) == ["One", "1", "Two", "2"]
    assert (await items(store))[:2] == trunk[:2]
    assert {(b.id, b.current, b.preview) for b in await branches(store)} == {
        (fork.id, True, "o"),
        (first.branch, False, "2"),
    }


async def test_a_message_is_edited_by_beginning_where_it_began(talk: Talk, store: Store):
    await talk.answered("One", "1")
    await talk.answered("Two", "2")
    edited = (await items(store))[2]

    run = await talk.answered("Three", "3", options=at(edited.parent))

    assert run.base_item == edited.parent
    assert await texts(store) == ["One", "1", "Three", "3"]


async def test_the_first_message_is_edited_by_beginning_at_the_start(talk: Talk, store: Store):
    first = await talk.answered("One", "1")

    run = await talk.answered("Uno", "I", options=at(START))

    assert run.base_item is None
    assert await texts(store) == ["Uno", "I"]
    assert await texts(store, first.branch) == ["One", "1"]
    comparison = await store.sessions.compare(SARAH, "s", None, first.branch, limit=10)
    assert comparison.common is None
    assert [text_of(item.content) for item in comparison.other_items] == ["One", "1"]


async def test_an_answer_is_given_again_by_beginning_at_its_message_without_another(talk: Talk, store: Store):
    first = await talk.answered("One", "1")
    question = (await items(store))[0]

    again = await talk.begin(talk.run(input=(), options=at(question.id)))
    await talk.finish(again.run, "I")

    assert again.run.base_item == question.id
    assert await texts(store) == ["One", "I"]
    assert await texts(store, first.branch) == ["One", "1"]
    assert (await items(store))[0] == question


async def test_only_a_users_message_is_answered_again(talk: Talk, store: Store):
    await talk.answered("One", "1")
    answer = (await items(store))[1]

    for place in (answer.id, START):
        with pytest.raises(Invalid) as refused:
            await talk.begin(talk.run(input=(), options=at(place)))
        assert refused.value.field == "from_item"
    assert len(await branches(store)) == 1


async def test_beginning_at_the_head_of_an_idle_branch_goes_on_with_it(talk: Talk, store: Store):
    first = await talk.answered("One", "1")
    head = (await items(store))[-1].id
    second = await talk.answered("Two", "2", options=at(START))

    assert (await talk.answered("More", options=at(head))).branch == first.branch
    assert (await store.sessions.find(SARAH, "s")).branch == first.branch
    assert {branch.id for branch in await branches(store)} == {first.branch, second.branch}


async def test_at_the_head_of_a_branch_that_is_about_to_grow_another_one_begins(talk: Talk, store: Store):
    going = await talk.playing("One")
    question = (await items(store))[0].id
    waiting = (await talk.begin("Two", options=at(question))).run

    assert waiting.branch != going.branch
    await talk.finish(going, "1")
    (claimed,) = await store.queue.claim(talk.claim(), 1)
    await talk.finish(claimed, "2")
    assert claimed.base_item == question
    assert await texts(store, going.branch) == ["One", "1"]
    assert await texts(store, waiting.branch) == ["One", "Two", "2"]


async def test_a_run_stays_on_its_branch_wherever_its_owner_goes(talk: Talk, store: Store):
    first = await talk.answered("One", "1")
    going = await talk.playing("Two")
    waiting = (await talk.begin("Three")).run
    fork = await store.sessions.fork(SARAH, "s", (await items(store))[0].id)

    await talk.finish(going, "2")
    (claimed,) = await store.queue.claim(talk.claim(), 1)
    assert claimed.id == waiting.id
    await talk.finish(claimed, "3")

    assert await texts(store, first.branch) == ["One", "1", "Two", "2", "Three", "3"]
    assert await texts(store) == ["One"]
    assert (await store.sessions.find(SARAH, "s")).branch == fork.id
    await talk.answered("Four", "4")
    assert await texts(store) == ["One", "Four", "4"]


async def test_switching_decides_where_new_messages_go(talk: Talk, store: Store):
    first = await talk.answered("One", "1")
    await talk.answered("Other", "o", options=at(START))

    switched = await store.sessions.change(SARAH, "s", Change(branch=first.branch))

    assert (switched.branch, switched.head) == (first.branch, (await items(store, first.branch))[-1].id)
    await talk.answered("Two", "2")
    assert await texts(store) == ["One", "1", "Two", "2"]


async def test_two_branches_are_compared_from_where_they_part(talk: Talk, store: Store):
    first = await talk.answered("One", "1")
    await talk.answered("Two", "2")
    trunk = await items(store)
    fork = await store.sessions.fork(SARAH, "s", trunk[1].id)
    await talk.answered("Other", "o")
    mine = await items(store)

    here = await store.sessions.compare(SARAH, "s", None, first.branch, limit=10)
    there = await store.sessions.compare(SARAH, "s", first.branch, fork.id, limit=1)
    same = await store.sessions.compare(SARAH, "s", fork.id, fork.id, limit=10)

    assert (here.branch, here.other) == (fork.id, first.branch)
    assert (here.common, here.items, here.other_items) == (trunk[1], mine[2:], trunk[2:])
    assert (there.common, there.items, there.other_items) == (trunk[1], trunk[3:], mine[3:])
    assert (same.common, same.items, same.other_items) == (mine[-1], (), ())


async def test_branches_are_listed_newest_first_in_pages(talk: Talk, store: Store):
    await talk.answered()
    head = (await items(store))[-1].id
    for _ in range(4):
        await store.sessions.fork(SARAH, "s", head)

    seen: list[str] = []
    after = None
    for expected in (2, 2, 1):
        page = await store.sessions.branches(SARAH, "s", after=after, limit=2)
        assert len(page.branches) == expected
        seen += [branch.id for branch in page.branches]
        after = page.next
    assert after is None
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 5


async def test_a_branch_that_ends_with_a_tools_output_shows_the_last_message(talk: Talk, store: Store):
    run = await talk.playing("Look it up")
    output = {"type": "function_call_output", "call_id": "c", "output": "42"}
    completed = RunCompleted(RunStatus.CANCELLED, None, Usage())
    await talk.write(run, completed, end=End(RunStatus.CANCELLED, Usage(), (NewItem(output),)))

    assert [branch.preview for branch in await branches(store)] == ["Look it up"]


async def test_what_is_not_in_the_conversation_is_refused_and_changes_nothing(talk: Talk, store: Store):
    await talk.answered()
    other = await talk.answered(session="other")
    foreign = (await items(store, session="other"))[0].id
    before = await store.sessions.find(SARAH, "s")

    for place in (foreign, item_id(), "", "x"):
        for ask, field_name in (
            (store.sessions.fork(SARAH, "s", place), "at"),
            (talk.begin(options=at(place)), "from_item"),
            (store.sessions.change(SARAH, "s", Change(branch=place or "x", title="New")), "branch"),
            (store.sessions.page(SARAH, "s", limit=5, branch=other.branch), "branch"),
            (store.sessions.compare(SARAH, "s", other.branch, before.branch, limit=5), "branch"),
            (store.sessions.compare(SARAH, "s", None, other.branch, limit=5), "other"),
        ):
            with pytest.raises(Invalid) as refused:
                await ask
            assert refused.value.field == field_name
    with pytest.raises(Invalid):
        await talk.begin(session="new", options=at(foreign))
    with pytest.raises(NotFound):
        await store.sessions.find(SARAH, "new")
    assert await store.sessions.find(SARAH, "s") == before
    assert len(await branches(store)) == 1


async def test_what_is_withheld_is_read_by_its_owner_and_by_no_model(talk: Talk, store: Store):
    run = await talk.playing("One")
    said = (NewItem(assistant_message("bad"), "blocked"), NewItem(assistant_message("old"), "superseded"))
    said = (*said, NewItem(assistant_message("half"), "incomplete"))
    await talk.write(run, RunCompleted(RunStatus.COMPLETED, "", Usage()), end=End(RunStatus.COMPLETED, Usage(), said))
    head = (await items(store))[-1].id

    async def history(limit: int) -> list[str]:
        return [text_of(item.content) for item in await store.sessions.history(SARAH, head, limit)]

    assert await texts(store) == ["One", "bad", "old", "half"]
    assert [await history(limit) for limit in (1, 2, 9)] == [["half"], ["One", "half"], ["One", "half"]]


async def test_of_many_who_begin_at_one_place_each_has_a_branch(talk: Talk, store: Store):
    await talk.answered("One", "1")
    question = (await items(store))[0].id

    begun = await asyncio.gather(*(talk.begin(f"m{i}", options=at(question)) for i in range(12)))
    while runs := [b.run for b in begun if b.run.status is RunStatus.IN_PROGRESS] or await claimed(talk, store):
        begun = []
        for run in runs:
            await talk.finish(run, "answer")

    assert len(await branches(store)) == 13
    for branch in await branches(store):
        assert len(await texts(store, branch.id)) in (2, 3)


async def claimed(talk: Talk, store: Store) -> list[Run]:
    return list(await store.queue.claim(talk.claim(), 100))


# The tree, compared with a simple model


@dataclass
class Model:
    """Branches as plain lists of texts, and who is on which."""

    paths: dict[str, list[str]] = field(default_factory=dict)
    current: str = ""
    playing: Run | None = None
    waiting: list[Run] = field(default_factory=list)  # those that were cancelled meanwhile too
    cancelled: set[str] = field(default_factory=set)

    @property
    def alive(self) -> list[Run]:
        return [run for run in self.waiting if run.id not in self.cancelled]

    def settle(self) -> None:
        """What was cancelled while it waited is said when nothing is before it any more."""
        while not self.playing and self.waiting and self.waiting[0].id in self.cancelled:
            run = self.waiting.pop(0)
            self.paths[run.branch] += [text_of(content) for content in run.input]

    def place(self, text: str) -> list[str]:
        """The path that ends with a text; every text is said once."""
        return next(path[: path.index(text) + 1] for path in self.paths.values() if text in path)

    def idle(self, path: list[str]) -> list[str]:
        busy = {run.branch for run in (*self.waiting, self.playing) if run}
        return [branch for branch, found in self.paths.items() if found == path and branch not in busy]


def machine(store: Store, runner: asyncio.Runner):
    class Trees(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.talk = Talk(store)
            self.count = 0
            self.ids: dict[str, str] = {}  # of items, by their text
            self.model = Model()
            with contextlib.suppress(NotFound):
                self.do(store.sessions.delete(SARAH, "s"))

        def do(self, asked):
            return runner.run(asked)

        def new_text(self) -> str:
            self.count += 1
            return f"text {self.count}"

        def place(self, data) -> str | None:
            """Where something begins: a text that was said, the start, or nowhere in particular."""
            return data.draw(st.sampled_from([None, START, *self.ids]))

        def enter(self, run: Run) -> None:
            self.model.playing = run
            self.model.paths[run.branch] += [text_of(content) for content in run.input]

        @rule(data=st.data(), claim=st.booleans(), again=st.booleans())
        def begin(self, data, claim, again):
            model, text, place = self.model, self.new_text(), self.place(data)
            again = again and place in self.ids
            options = at(self.ids.get(place, place) if place else None)
            run = self.talk.run(input=() if again else (message("user", text),), options=options)
            try:
                run = self.do(self.talk.begin(run, claimed=claim)).run
            except Invalid:
                assert again
                assert place in self.answers
                return
            assert not (again and place in self.answers)
            if place is None:
                assert run.branch == (model.current or run.branch)
                model.paths.setdefault(run.branch, [])
            else:
                path = [] if place == START else model.place(place)
                if idle := model.idle(path):
                    assert run.branch == (model.current if model.current in idle else min(idle))
                else:
                    assert run.branch not in model.paths or not model.paths
                    if not model.paths:
                        model.paths[run.branch] = []
                    model.paths[run.branch] = list(path)
            model.current = run.branch
            free = claim and not model.playing and not model.waiting
            assert (run.status is RunStatus.IN_PROGRESS) == free
            if free:
                self.enter(run)
            else:
                model.waiting.append(run)

        @rule()
        def claim(self):
            runs = self.do(store.queue.claim(self.talk.claim(), 5))
            if self.model.waiting and not self.model.playing:
                (run,) = runs
                assert run.id == self.model.waiting.pop(0).id
                self.enter(run)
            else:
                assert not runs

        @precondition(lambda self: self.model.playing)
        @rule()
        def finish(self):
            run, text = self.model.playing, self.new_text()
            self.do(self.talk.finish(run, text))
            self.model.paths[run.branch].append(text)
            self.model.playing = None
            self.model.settle()

        @precondition(lambda self: self.model.alive)
        @rule(data=st.data())
        def cancel(self, data):
            run = data.draw(st.sampled_from(self.model.alive))
            self.do(store.runs.cancel(SARAH, run.id, "now"))
            self.model.cancelled.add(run.id)
            self.model.settle()

        @precondition(lambda self: self.model.paths)
        @rule(data=st.data())
        def fork(self, data):
            place = self.place(data) or START
            branch = self.do(store.sessions.fork(SARAH, "s", self.ids.get(place, place)))
            self.model.paths[branch.id] = [] if place == START else self.model.place(place)
            self.model.current = branch.id

        @precondition(lambda self: self.model.paths)
        @rule(data=st.data())
        def switch(self, data):
            branch = data.draw(st.sampled_from(sorted(self.model.paths)))
            self.do(store.sessions.change(SARAH, "s", Change(branch=branch)))
            self.model.current = branch

        @precondition(lambda self: self.model.paths)
        @rule(data=st.data())
        def compare(self, data):
            one, other = (data.draw(st.sampled_from(sorted(self.model.paths))) for _ in range(2))
            found = self.do(store.sessions.compare(SARAH, "s", one, other, limit=1000))
            pairs = zip(self.model.paths[one], self.model.paths[other], strict=False)
            shared = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
            if shared is None:
                shared = min(len(self.model.paths[one]), len(self.model.paths[other]))
            assert [text_of(item.content) for item in found.items] == self.model.paths[one][shared:]
            assert [text_of(item.content) for item in found.other_items] == self.model.paths[other][shared:]
            said = found.common and text_of(found.common.content)
            assert said == (self.model.paths[one][shared - 1] if shared else None)

        @precondition(lambda self: self.model.paths)
        @rule(sure=st.integers(0, 4))
        def delete(self, sure):
            if sure == 0:
                unfinished = self.do(store.sessions.delete(SARAH, "s"))
                assert len(unfinished) == len(self.model.alive) + bool(self.model.playing)
                self.model = Model()

        @invariant()
        def the_tree_is_as_it_should_be(self):
            self.ids, self.answers = {}, set()
            if not self.model.paths:
                with pytest.raises(NotFound):
                    self.do(store.sessions.find(SARAH, "s"))
                return
            found = {branch.id: branch for branch in self.do(branches(store))}
            assert set(found) == set(self.model.paths)
            assert [branch.id for branch in found.values() if branch.current] == [self.model.current]
            for branch, path in self.model.paths.items():
                held = self.do(items(store, branch))
                assert [text_of(item.content) for item in held] == path
                assert found[branch].preview == (path[-1] if path else "")
                assert list(self.do(store.sessions.history(SARAH, found[branch].head, 1000))) == list(held)
                self.ids |= {text_of(item.content): item.id for item in held}
                self.answers |= {text_of(item.content) for item in held if item.role != "user"}

    return Trees


@pytest.mark.parametrize("kind", STORES)
def test_the_tree_is_what_a_simple_model_says(kind: str, request: pytest.FixtureRequest):
    with asyncio.Runner() as runner:
        opened = STORES[kind](request)
        store = runner.run(opened.__aenter__())
        try:
            run_state_machine_as_test(
                machine(store, runner),
                settings=settings(
                    max_examples=40 if kind == "memory" else 15,
                    stateful_step_count=30,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(opened.__aexit__(None, None, None))


async def test_somebody_elses_items_are_no_place_to_begin(talk: Talk, store: Store):
    await talk.answered("Secret")
    secret = (await items(store))[0].id

    with pytest.raises(Invalid):
        await talk.begin(principal=TOM, options=at(secret), at=datetime.now(UTC))

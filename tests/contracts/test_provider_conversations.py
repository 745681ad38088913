"""``ProviderConversations``: what a model's provider keeps is trusted where it is known to be what we keep, and nowhere else."""

from dataclasses import replace

import pytest

from dragoman.domain.events import RunCompleted
from dragoman.domain.items import NewItem, assistant_message, message, tool_call, tool_output
from dragoman.domain.runs import Run, RunOptions, RunStatus
from dragoman.domain.usage import Usage
from dragoman.ports.events import End
from tests.contracts.talk import SARAH, Store, Talk


async def begun(talk: Talk, id: str = "theirs_1") -> Run:
    """A run in progress that has opened a conversation at the provider."""
    run = await talk.playing("Hello")
    assert await talk.store.provider_conversations.resume(run) is None
    await talk.store.provider_conversations.begin(run, id)
    return run


async def test_a_run_goes_on_where_one_ended_well(store: Store, talk: Talk):
    await talk.finish(await begun(talk))
    second = await talk.playing("And?")
    assert await store.provider_conversations.resume(second) == "theirs_1"
    await talk.finish(second)
    assert await store.provider_conversations.resume(await talk.playing("More")) == "theirs_1"


@pytest.mark.parametrize("status", [RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.INCOMPLETE])
async def test_never_where_one_ended_otherwise(store: Store, talk: Talk, status: RunStatus):
    await talk.finish(await begun(talk), status=status)
    assert await store.provider_conversations.resume(await talk.playing("And?")) is None


async def test_a_run_that_resumed_and_failed_leaves_nothing_to_trust(store: Store, talk: Talk):
    await talk.finish(await begun(talk))
    second = await talk.playing("And?")
    await store.provider_conversations.resume(second)
    await talk.finish(second, status=RunStatus.FAILED)
    assert await store.provider_conversations.resume(await talk.playing("More")) is None


async def test_a_run_that_did_without_is_not_known_to_the_provider(store: Store, talk: Talk):
    await talk.finish(await begun(talk))
    await talk.answered("Without", "W")
    third = await talk.playing("And?")
    assert await store.provider_conversations.resume(third) is None
    await store.provider_conversations.begin(third, "theirs_2")
    await talk.finish(third)
    assert await store.provider_conversations.resume(await talk.playing("More")) == "theirs_2"


async def test_a_run_from_an_earlier_place_is_not(store: Store, talk: Talk):
    first = await begun(talk)
    await talk.finish(first)
    second = await talk.playing("Left")
    assert await store.provider_conversations.resume(second) == "theirs_1"
    await talk.finish(second)
    answer = (await store.sessions.page(SARAH, "s", limit=4)).items[1]
    again = await talk.playing("Right", options=RunOptions(from_item=answer.id))
    assert again.base_item == answer.id
    assert await store.provider_conversations.resume(again) is None


async def test_an_output_that_the_model_never_saw_is_not(store: Store, talk: Talk):
    run = await begun(talk)
    items = (NewItem(tool_call("c1", "f", "{}")), NewItem(tool_output("c1", "1")))
    end = End(RunStatus.COMPLETED, Usage(), items, final_output="1")
    assert await talk.write(run, RunCompleted(RunStatus.COMPLETED, "1", Usage()), end=end)
    assert await store.provider_conversations.resume(await talk.playing("And?")) is None


async def test_nor_is_a_place_in_the_middle_of_what_a_run_said(store: Store, talk: Talk):
    run = await begun(talk)
    items = (NewItem(assistant_message("One")), NewItem(assistant_message("Two")))
    end = End(RunStatus.COMPLETED, Usage(), items, final_output="Two")
    assert await talk.write(run, RunCompleted(RunStatus.COMPLETED, "Two", Usage()), end=end)
    middle = (await store.sessions.page(SARAH, "s", limit=3)).items[1]
    again = await talk.playing("And?", options=RunOptions(from_item=middle.id))
    assert await store.provider_conversations.resume(again) is None


async def test_another_conversation_has_none(store: Store, talk: Talk):
    await talk.finish(await begun(talk))
    assert await store.provider_conversations.resume(await talk.playing("Hello", session="other")) is None


async def test_neither_has_one_that_was_deleted(store: Store, talk: Talk):
    run = await begun(talk)
    await store.sessions.delete(SARAH, "s")
    await store.provider_conversations.begin(replace(run, input=(message("user", "x"),)), "theirs_2")
    assert await store.provider_conversations.resume(await talk.playing("Hello")) is None


async def test_what_was_taken_up_again_after_a_crash_is_not_trusted(store: Store, talk: Talk):
    await store.queue.release(talk.claim(), [await begun(talk)])
    (again,) = await store.queue.claim(talk.claim(), 1)
    await talk.finish(again)
    assert await store.provider_conversations.resume(await talk.playing("And?")) is None

"""The oracle: what real endpoints send, played to our client and to the SDK's. Both must leave the same log.

Where ours differs on purpose, ``DIFFERENT`` says why and what it leaves instead.
"""

import itertools
from pathlib import Path

import pytest
from agents import Agent, function_tool

from dragoman.domain.errors import ModelBroken, ModelRateLimited, ModelUnavailable
from dragoman.domain.events import Delta
from dragoman.domain.runs import RunStatus
from tests.providers.openai.models.server import Server, chunk, events, reply
from tests.providers.openai.stage import stage

DIALOGUES = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parent / "dialogues").glob("*.sse"))}
LAST = {
    "chat": reply(*events(chunk({"content": "So be it."}), chunk({}, "stop"), "[DONE]")),
    "responses": reply(DIALOGUES["responses-vllm-text"]),
}

SO_BE_IT = ("text", 0, None, None, "So be it.")


@function_tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"21 °C in {city}"


async def told(name, client, packets=None):
    """What a dialogue leaves: the run and its log, without what is different each time."""
    dialect = name.partition("-")[0]
    agent = Agent(name="Ann", instructions="Be kind.", tools=[get_weather])
    async with Server(reply(*(packets or [DIALOGUES[name]])), LAST[dialect]) as server:
        endpoint = server.endpoint(dialect, client=client)
        async with stage(agent, endpoint=endpoint, model="m", max_retries=0, idle_timeout=5.0) as theatre:
            return summary(await theatre.play("ann", "Hi"))


def summary(played):
    names = {}

    def settled(call_id):
        """Call ids that an endpoint left out are made up, and so are those of one that repeats them."""
        return names.setdefault(call_id, f"call {len(names)}") if call_id and call_id.startswith("call_0") else call_id

    deltas = [event for event in played.events if isinstance(event, Delta)]
    merged = [
        (*key[:2], settled(key[2]), key[3], "".join(delta.text for delta in group))
        for key, group in itertools.groupby(deltas, lambda d: (d.kind, d.output, d.call_id, d.tool))
    ]
    items = [(e.name, {**e.item, "call_id": settled(e.item.get("call_id"))}, e.failed) for e in played.items]
    first = played.answers[:1]
    return {
        "deltas": merged,
        "items": items,
        "usage": [(a.usage.input_tokens, a.usage.output_tokens, a.usage.cached_input_tokens) for a in first],
        "reasoning tokens": [a.usage.reasoning_tokens for a in first],
        "truncated": [a.truncated for a in first],
        "estimated": [a.estimated for a in first],
        "response id": [a.response_id for a in first],
        "outcome": played.outcome and (played.outcome.status, played.outcome.final_output),
        "error": type(played.error),
    }


WORDS_FOR_NOTHING = "The endpoint's content filter withheld the answer."


def asked(output, call_id, city, tool="get_weather"):
    return ("arguments", output, call_id, tool, f'{{"city":"{city}"}}')


DIFFERENT = {
    "chat-llamacpp-think": (
        "thoughts inside the text are told from the answer",
        {
            "deltas": [("reasoning", 0, None, None, "Hm, easy."), ("text", 1, None, None, "Four.")],
            "outcome": (RunStatus.COMPLETED, "Four."),
            "items": ...,
        },
    ),
    "chat-vllm-both-reasonings": (
        "thoughts that are sent twice are shown once",
        {"deltas": [("reasoning", 0, None, None, "Hm."), ("text", 1, None, None, "Four")], "items": ...},
    ),
    "chat-llamacpp-text-without-usage": (
        "what an endpoint does not count is estimated, and marked so",
        {"usage": ..., "estimated": [True]},
    ),
    "responses-proxy-without-usage": (
        "what an endpoint does not count is estimated, and marked so",
        {"usage": ..., "estimated": [True]},
    ),
    "chat-azure-filtered-at-once": (
        "our words for it",
        {
            "deltas": [("refusal", 0, None, None, WORDS_FOR_NOTHING)],
            "outcome": (RunStatus.COMPLETED, WORDS_FOR_NOTHING),
            "items": ...,
        },
    ),
    "chat-azure-filtered-later": (
        "an answer that a filter cut short is incomplete, as in Responses",
        {"truncated": [True], "outcome": (RunStatus.INCOMPLETE, "How to make")},
    ),
    "chat-ollama-two-tools-index-0": (
        "two calls under one index are two calls",
        {"deltas": [asked(0, "call_a", "Paris"), asked(1, "call_b", "Lima"), SO_BE_IT], "items": ...},
    ),
    "chat-gemini-tools-without-index": (
        "two calls under no index are two calls",
        {
            "deltas": [asked(0, "function-call-1", "Rome"), asked(1, "function-call-2", "Oslo"), SO_BE_IT],
            "items": ...,
        },
    ),
    "chat-proxy-names-in-pieces": (
        "names in pieces are put together",
        {"deltas": [asked(0, "call_1", "Rome"), SO_BE_IT], "items": ...},
    ),
    "chat-vllm-changing-ids": ("a call keeps the id that it was shown under", {"items": ...}),
    "chat-openrouter-error-first": ("a numbered error means what the number means", {"error": ModelRateLimited}),
    "chat-openrouter-error-later": ("a numbered error means what the number means", {"error": ModelUnavailable}),
    "chat-vllm-error-later": ("a numbered error means what the number means", {"error": ModelUnavailable}),
}
"""By dialogue: why ours differs, and what it leaves instead (``...``: something else, looked at elsewhere)."""


@pytest.mark.parametrize("name", DIALOGUES)
async def test_both_clients_leave_the_same_log(name):
    ours, theirs = await told(name, "fast"), await told(name, "sdk")
    _, instead = DIFFERENT.get(name, ("", {}))
    for aspect, expected in instead.items():
        assert ours[aspect] != theirs[aspect], f"{aspect} is no difference any more"
        assert expected is ... or ours[aspect] == expected
        del ours[aspect], theirs[aspect]
    assert ours == theirs


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("name", DIALOGUES)
async def test_it_does_not_matter_where_packets_are_cut(name, size):
    body = DIALOGUES[name]
    packets = [body[i : i + size] for i in range(0, len(body), size)]
    assert await told(name, "fast", packets) == await told(name, "fast")


async def test_calls_without_an_index_are_told_apart_by_their_ids():
    items = (await told("chat-gemini-tools-without-index", "fast"))["items"]
    calls = [item for name, item, _ in items if name == "tool_called"]
    assert [(call["call_id"], call["arguments"]) for call in calls] == [
        ("function-call-1", '{"city":"Rome"}'),
        ("function-call-2", '{"city":"Oslo"}'),
    ]
    assert calls[0]["provider_data"]["thought_signature"] == "c2lnbmVk"


async def test_a_stream_that_is_cut_is_a_broken_answer_and_keeps_what_was_shown():
    left = await told("chat-proxy-cut", "fast")
    assert left["error"] is ModelBroken
    assert left["deltas"] == [("text", 0, None, None, "Hello wor")]

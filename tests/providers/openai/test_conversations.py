"""With ``DRAGOMAN_CONVERSATION_STATE=provider`` the endpoint keeps conversations, too: it is sent what is new, as long as it
knows all the rest, and ours is whole whatever it knows."""

import contextlib
from dataclasses import replace

import pytest
from agents import Agent, GuardrailFunctionOutput, function_tool, handoff, output_guardrail
from agents.testing import ScriptedModel, assistant_message
from pydantic import SecretStr

import dragoman
from dragoman.adapters.memory import MemoryStore
from dragoman.domain.identity import LOCAL
from dragoman.domain.items import text_of
from dragoman.domain.memory import Memory
from dragoman.domain.runs import RunOptions
from dragoman.endpoints import read_models
from dragoman.settings import Settings, WrongSettings
from tests.contracts.talk import Talk
from tests.providers.openai.keeper import Keeper, called, said


@function_tool
def double(number: int) -> int:
    return 2 * number


@output_guardrail
async def harmless(context, agent, output):
    return GuardrailFunctionOutput(None, tripwire_triggered=False)


CHAT = Agent(name="Chat", tools=[double])


@pytest.fixture
async def keeper():
    async with Keeper().serving() as server:
        yield server


@pytest.fixture(params=["fast", "sdk"])
def client(request):
    return request.param


@contextlib.asynccontextmanager
async def serving(keeper, *agents, client="fast", store=None, state="provider"):
    settings = Settings.of(
        openai_api_key=SecretStr("key"),
        openai_base_url=keeper.url,
        dialect="responses",
        client=client,
        model="openai:m",
        conversation_state=state,
        model_retries=0,
    )
    async with dragoman.create_app(agents or (CHAT,), settings=settings, store=store or MemoryStore()) as app:
        yield app


def sent(keeper, number=-1):
    """What a request for a response held: the conversation, and its input in short."""
    body = keeper.asked[number]
    return body.get("conversation"), [item.get("content") or item["type"] for item in body["input"]]


async def texts(app, session="s"):
    page = await app.application.services.conversations.page(LOCAL, session, limit=100)
    return [text_of(item.content) or item.kind for item in page.items]


async def test_each_run_sends_only_what_is_new(keeper, client):
    async with serving(keeper, client=client) as app:
        await app.run("chat", "Hello", session_id="s")
        second = await app.run("chat", "And?", session_id="s")
        assert sent(keeper, 0) == ("conv_1", ["Hello"])
        assert sent(keeper, 1) == ("conv_1", ["And?"])
        assert second.final_output == "I heard: Hello; And?"
        assert keeper.heard("conv_1") == await texts(app)
    assert list(keeper.conversations) == ["conv_1"]


async def test_a_tool_s_output_is_sent_alone(keeper, client):
    keeper.answers = [[called("c1", "double", number=21)], [said("It is 42.")]]
    async with serving(keeper, client=client) as app:
        run = await app.run("chat", "Twice 21?", session_id="s")
        assert run.final_output == "It is 42."
        assert sent(keeper, 1) == ("conv_1", ["function_call_output"])
        after = await app.run("chat", "Thanks", session_id="s")
        assert after.final_output == "I heard: Twice 21?; Thanks"
        assert await texts(app) == [
            "Twice 21?",
            "function_call",
            "function_call_output",
            "It is 42.",
            "Thanks",
            "I heard: Twice 21?; Thanks",
        ]


async def test_hand_offs_stay_in_the_same_conversation(keeper, client):
    tutor = Agent(name="Tutor")
    keeper.answers = [[called("c1", "transfer_to_tutor")], [said("I am the tutor.")]]
    async with serving(keeper, Agent(name="Desk", handoffs=[tutor]), tutor, client=client) as app:
        run = await app.run("desk", "Help", session_id="s")
        assert run.final_output == "I am the tutor."
        again = await app.run("tutor", "More", session_id="s")
    assert again.final_output == "I heard: Help; More"
    assert [body["conversation"] for body in keeper.asked] == ["conv_1"] * 3


async def test_conversations_and_stateless_runs_are_apart(keeper, client):
    async with serving(keeper, client=client) as app:
        await app.run("chat", "Mine", session_id="s", user="sarah")
        other = await app.run("chat", "Hello", session_id="s", user="tom")
        stateless = await app.run("chat", "Nobody's")
    assert other.final_output == "I heard: Hello"
    assert stateless.final_output == "I heard: Nobody's"
    assert [body.get("conversation") for body in keeper.asked] == ["conv_1", "conv_2", None]


async def test_another_branch_gets_a_conversation_of_its_own_seeded_with_ours(keeper, client):
    async with serving(keeper, client=client) as app:
        await app.run("chat", "Hello", session_id="s")
        answer = (await app.application.services.conversations.page(LOCAL, "s", limit=1)).items[0]
        await app.run("chat", "Left", session_id="s")
        edited = await app.run("chat", "Right", session_id="s", options=RunOptions(from_item=answer.id))
        assert sent(keeper) == ("conv_2", ["Hello", "I heard: Hello", "Right"])
        assert edited.final_output == "I heard: Hello; Right"
        await app.run("chat", "On", session_id="s")
        assert sent(keeper) == ("conv_2", ["On"])


async def test_after_a_failure_the_endpoint_s_memory_is_not_trusted(keeper, client):
    async with serving(keeper, client=client) as app:
        await app.run("chat", "Hello", session_id="s")
        keeper.break_off = True
        failed = await app.run("chat", "Broken", session_id="s")
        assert failed.status == "failed"
        assert keeper.heard("conv_1")[-1].startswith("I heard")  # of which we know nothing
        again = await app.run("chat", "Again", session_id="s")
        assert again.final_output == "I heard: Hello; Broken; Again"
        assert sent(keeper) == ("conv_2", ["Hello", "I heard: Hello", "Broken", "Again"])


async def test_a_conversation_that_is_gone_over_there_is_opened_anew(keeper, client):
    async with serving(keeper, client=client) as app:
        await app.run("chat", "Hello", session_id="s")
        del keeper.conversations["conv_1"]
        keeper.conversations["conv_9"] = []
        again = await app.run("chat", "Again", session_id="s")
        assert again.final_output == "I heard: Hello; Again"
        assert await texts(app) == ["Hello", "I heard: Hello", "Again", "I heard: Hello; Again"]


async def test_it_is_found_again_by_another_process(keeper, client):
    store = MemoryStore()
    for text in ("Hello", "And?"):
        async with serving(keeper, client=client, store=store) as app:
            await app.run("chat", text, session_id="s")
    assert sent(keeper) == ("conv_1", ["And?"])


async def test_what_was_added_without_it_is_made_up_for(keeper, client):
    store = MemoryStore()
    for state in ("provider", "local", "provider"):
        async with serving(keeper, client=client, store=store, state=state) as app:
            last = await app.run("chat", state, session_id="s")
    assert last.final_output == "I heard: provider; local; provider"
    assert [body.get("conversation") for body in keeper.asked] == ["conv_1", None, "conv_2"]


async def test_a_run_with_a_limit_of_its_own_does_without(keeper):
    async with serving(keeper) as app:
        await app.run("chat", "Hello", session_id="s")
        forgetful = await app.run("chat", "And?", session_id="s", options=RunOptions(history=Memory(limit=0)))
    assert forgetful.final_output == "I heard: And?"
    assert keeper.asked[-1].get("conversation") is None


async def test_a_model_at_another_endpoint_is_given_the_whole_history(keeper, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with Keeper().serving() as other:
        (tmp_path / "dragoman.toml").write_text(
            f'[endpoints.other]\nbase_url = "{other.url}"\ndialect = "responses"\napi_key = "none"\n'
        )
        agents = Agent(name="Chat"), Agent(name="Elsewhere", model="other:m")
        async with serving(keeper, *agents) as app:
            await app.run("chat", "Hello", session_id="s")
            await app.run("elsewhere", "There", session_id="s")
            last = await app.run("chat", "Here", session_id="s")
        assert sent(other) == (None, ["Hello", "I heard: Hello", "There"])
    assert last.final_output == "I heard: Hello; There; Here"
    assert other.conversations == {}


def elsewhere(*steps):
    return Agent(name="Chat", model=ScriptedModel(list(steps)))


@pytest.mark.parametrize(
    "agent",
    [
        Agent(name="Chat", output_guardrails=[harmless]),
        Agent(name="Chat", handoffs=[Agent(name="Other", output_guardrails=[harmless])]),
        Agent(name="Chat", handoffs=[elsewhere()]),
        Agent(name="Chat", handoffs=[handoff(CHAT)]),
    ],
    ids=["a guardrail", "a guardrail behind a hand-off", "a model elsewhere", "a hand-off to somewhere"],
)
async def test_an_agent_that_cannot_rely_on_it_does_without(keeper, agent):
    async with serving(keeper, agent) as app:
        for text in ("Hello", "And?"):
            run = await app.run("chat", text, session_id="s")
    assert run.final_output == "I heard: Hello; And?"
    assert keeper.conversations == {}


async def test_an_agent_with_a_model_of_its_own_is_given_the_whole_history(keeper):
    model = ScriptedModel([[assistant_message("One")], [assistant_message("Two")]])
    async with serving(keeper, Agent(name="Chat", model=model)) as app:
        for text in ("Hello", "And?"):
            await app.run("chat", text, session_id="s")
    assert len(model.calls[1].input) == 3


async def test_an_endpoint_that_keeps_no_conversations_is_named(keeper):
    keeper.url = keeper.url.removesuffix("/v1") + "/nowhere"
    async with serving(keeper) as app:
        run = await app.run("chat", "Hello", session_id="s")
    assert (run.status, run.error.code) == ("failed", "model_refused")
    assert "DRAGOMAN_CONVERSATION_STATE=local" in run.error.message


@pytest.mark.parametrize(
    ("environment", "fine"),
    [
        ({"OPENAI_API_KEY": "k"}, True),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "AI_MODEL": "m"}, False),
        ({"OPENROUTER_API_KEY": "k", "AI_MODEL": "m", "DRAGOMAN_MODEL_DIALECT": "responses"}, True),
        ({}, False),
    ],
)
def test_it_needs_an_endpoint_that_speaks_responses(environment, fine, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENROUTER_API_KEY", "AI_MODEL", "DRAGOMAN_MODEL_DIALECT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**environment, "DRAGOMAN_CONVERSATION_STATE": "provider"}.items():
        monkeypatch.setenv(name, value)
    with contextlib.nullcontext() if fine else pytest.raises(WrongSettings, match="DRAGOMAN_CONVERSATION_STATE"):
        assert read_models(Settings.load()).endpoints


async def test_a_later_attempt_has_the_whole_history_and_leaves_nothing_to_trust(keeper, client):
    """Its process died while the endpoint had begun to answer; another one takes the run up again."""
    store = MemoryStore()
    talk = Talk(store)
    async with serving(keeper, client=client, store=store) as app:
        await app.run("chat", "Hello", session_id="s")
    run = talk.run("Broken", principal=LOCAL)
    run = (await store.runs.begin(replace(run, provider="openai"), claim=talk.claim("died"))).run
    assert await store.provider_conversations.resume(run) == "conv_1"
    keeper.conversations["conv_1"].append({"role": "user", "content": "Broken"})
    await store.queue.release(talk.claim(), [run])
    async with serving(keeper, client=client, store=store) as app:
        services = app.application.services
        again = await services.runs.wait(LOCAL, await services.runs.get(LOCAL, run.id), timeout=10)
        assert again.final_output == "I heard: Hello; Broken"
        assert sent(keeper) == (None, ["Hello", "I heard: Hello", "Broken"])
        await app.run("chat", "On", session_id="s")
        assert sent(keeper)[0] == "conv_2"

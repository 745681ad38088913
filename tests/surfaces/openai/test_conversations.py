"""Conversations with the official client in strict validation: the same as those of the native routes."""

import openai
import pytest

from dragoman.domain.identity import Principal
from dragoman.providers.scripted.script import call, say
from tests.surfaces.house import Gate, house
from tests.surfaces.openai.clients import official

CALL = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "Snow"}
MISSING = "conv_01jd4w4fct0d9v1w6x2y8z3a4b"


def user(text):
    return {"type": "message", "role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": [{"type": "output_text", "text": text, "annotations": []}]}


def text_of(item):
    return "".join(part.text for part in item.content)


async def texts_of(client, id, **how):
    return [text_of(item) async for item in client.conversations.items.list(id, **how)]


async def test_a_conversation_is_created_read_changed_and_deleted():
    async with house() as at:
        client = official(at)
        made = await client.conversations.create(metadata={"topic": "rivers"})
        read = await client.conversations.retrieve(made.id)
        changed = await client.conversations.update(made.id, metadata={"topic": "lakes"})
        emptied = await client.conversations.update(made.id, metadata=None)
        gone = await client.conversations.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            await client.conversations.retrieve(made.id)
    assert made.id.startswith("conv_")
    assert read == made
    assert (made.metadata, changed.metadata, emptied.metadata) == ({"topic": "rivers"}, {"topic": "lakes"}, {})
    assert (gone.id, gone.object, gone.deleted) == (made.id, "conversation.deleted", True)


async def test_items_of_every_kind_come_back_whole():
    given = [
        user("Weather?"),
        {"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA=="}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Let me see"}], "encrypted_content": "x"},
        CALL,
        OUTPUT,
        assistant("It snows."),
    ]
    async with house() as at:
        client = official(at)
        made = await client.conversations.create(items=given)
        items = [item async for item in client.conversations.items.list(made.id, order="asc")]
        one = await client.conversations.items.retrieve(items[3].id, conversation_id=made.id)
    assert [item.type for item in items] == [
        *("message", "message", "reasoning", "function_call", "function_call_output", "message")
    ]
    assert items[0].content[0].type == "input_text"
    assert items[1].content[0].image_url.startswith("data:image/png")
    assert items[2].summary[0].text == "Let me see"
    assert (one, one.call_id, one.name, one.arguments) == (items[3], "call_1", "weather", "{}")
    assert items[4].output == "Snow"
    assert items[5].content[0].annotations == []
    assert {item.status for item in items if hasattr(item, "status") and item.type != "reasoning"} == {"completed"}


@pytest.mark.parametrize("limit", [1, 3, 100])
async def test_lists_lead_through_the_whole_conversation_in_both_directions(limit):
    async with house() as at:
        client = official(at)
        made = await client.conversations.create(items=[user(str(i)) for i in range(7)])
        up = await texts_of(client, made.id, order="asc", limit=limit)
        down = await texts_of(client, made.id, limit=limit)
        empty = await client.conversations.create()
        nothing = await texts_of(client, empty.id)
    assert up == [str(i) for i in range(7)]
    assert down == up[::-1]
    assert nothing == []


async def test_items_are_added_and_taken_out():
    async with house() as at:
        client = official(at)
        made = await client.conversations.create(items=[user("one")])
        added = await client.conversations.items.create(made.id, items=[assistant("two"), user("three")])
        left = await client.conversations.items.delete(added.data[0].id, conversation_id=made.id)
        rest = await texts_of(client, made.id, order="asc")
    assert (added.first_id, added.last_id, added.has_more) == (added.data[0].id, added.data[1].id, False)
    assert left.id == made.id
    assert rest == ["one", "three"]


async def test_what_begins_here_goes_on_elsewhere_and_back():
    heard = []

    def listen(turn):
        heard.append([text for item in turn.history for text in [item["content"]]])
        return [say("Hi Sarah!")]

    async with house({"chat": listen}) as at:
        client = official(at)
        made = await client.conversations.create(items=[user("I am Sarah."), assistant("Hello.")])
        await at.client.post("/chat/run", json={"input": "Who am I?", "session_id": made.id})
        texts = await texts_of(client, made.id, order="asc")
        listed = (await at.client.get("/conversations")).json()["conversations"]
        native = (await at.client.post("/conversations", json={"session_id": "mine"})).json()
        by_name = await client.conversations.retrieve("mine")
    assert heard[0][0] == "I am Sarah."
    assert texts == ["I am Sarah.", "Hello.", "Who am I?", "Hi Sarah!"]
    assert [(each["conversation_id"], each["title"]) for each in listed] == [(made.id, "I am Sarah.")]
    assert by_name.id == native["conversation_id"]


async def test_what_a_run_did_is_shown_with_its_calls():
    script = [call("weather", {"city": "Oslo"}, returns="Snow"), say("It snows.")]
    async with house({"chat": script}) as at:
        client = official(at)
        made = await client.conversations.create()
        await at.client.post("/chat/run", json={"input": "Weather?", "session_id": made.id})
        items = [item async for item in client.conversations.items.list(made.id, order="asc")]
    assert [item.type for item in items] == ["message", "function_call", "function_call_output", "message"]
    assert items[1].call_id == items[2].call_id


async def test_nothing_is_changed_under_a_run():
    gate = Gate()
    async with house({"chat": [call("gate"), say("Done.")]}, tools=gate) as at:
        client = official(at)
        made = await client.conversations.create(items=[user("one")])
        (one,) = (await client.conversations.items.list(made.id)).data
        run = await at.client.post(
            "/chat/run", json={"input": "go", "session_id": made.id, "options": {"background": True}}
        )
        for attempt in (
            lambda: client.conversations.items.create(made.id, items=[user("two")]),
            lambda: client.conversations.items.delete(one.id, conversation_id=made.id),
        ):
            with pytest.raises(openai.ConflictError) as busy:
                await attempt()
            assert busy.value.code == "conversation_busy"
            assert busy.value.response.headers["x-should-retry"] == "true"
        gate.opened.set()
        await at.client.get(f"/runs/{run.json()['run_id']}", params={"wait": 10})
        await client.conversations.items.create(made.id, items=[user("two")])
        texts = await at.client.get(f"/conversations/{made.id}/items")
    assert [item["type"] for item in texts.json()["items"]][-1] == "message"


@pytest.mark.parametrize(
    ("method", "path", "body", "param"),
    [
        ("POST", "", {"items": "x"}, "items"),
        ("POST", "", {"items": [{}]}, "items[0].role"),
        ("POST", "", {"items": [user("x")] * 21}, "items"),
        ("POST", "", {"items": [{"type": "web_search_call", "id": "ws_1"}]}, "items[0].type"),
        ("POST", "", {"metadata": {"a": 1}}, "metadata.a"),
        ("POST", "", {"metadata": {str(i): "x" for i in range(17)}}, "metadata"),
        ("POST", "", {"title": "x"}, "title"),
        ("POST", "/{id}", {}, "metadata"),
        ("POST", "/{id}/items", {"items": []}, "items"),
        ("POST", "/{id}/items", {"items": [{"role": "user", "content": ""}]}, "items[0].content"),
        ("GET", "/{id}/items?limit=0", None, "limit"),
        ("GET", "/{id}/items?limit=101", None, "limit"),
        ("GET", "/{id}/items?order=up", None, "order"),
        ("GET", "/{id}/items?after=item_none", None, "after"),
        ("GET", "/{id}/items?after=item_none&order=asc", None, "after"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_its_name(method, path, body, param):
    async with house() as at:
        made = await official(at).conversations.create(items=[user("one")])
        answer = await at.client.request(method, "/v1/conversations" + path.format(id=made.id), json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/{id}"),
        ("POST", "/{id}"),
        ("DELETE", "/{id}"),
        ("GET", "/{id}/items"),
        ("POST", "/{id}/items"),
        ("GET", "/{id}/items/{item}"),
        ("DELETE", "/{id}/items/{item}"),
    ],
)
async def test_somebody_elses_conversation_looks_like_none(method, path):
    class ByHeader:
        async def authenticate(self, authorization):
            return Principal((authorization or "").removeprefix("Bearer "))

    body = {"metadata": {}} if path == "/{id}" else {"items": [user("intruder")]}
    async with house(authenticator=ByHeader()) as at:
        sarah = official(at, api_key="sarah")
        made = await sarah.conversations.create(items=[user("secret")])
        (item,) = (await sarah.conversations.items.list(made.id)).data
        answers = []
        for id in (made.id, MISSING):
            where = "/v1/conversations" + path.format(id=id, item=item.id)
            asked = {"headers": {"authorization": "Bearer tom"}, **({"json": body} if method == "POST" else {})}
            answers.append(await at.client.request(method, where, **asked))
        theirs, none = answers
        still = await texts_of(sarah, made.id)
    assert theirs.status_code == none.status_code == 404
    assert theirs.text.replace(made.id, MISSING) == none.text
    assert still == ["secret"]


async def test_without_conversations_it_says_so():
    async with house(sessions_enabled=False) as at:
        answer = await at.client.post("/v1/conversations", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "sessions_disabled")

"""Threads: conversations as the coaching application names them."""

import asyncio

from dragoman.domain.errors import ModelRefused
from dragoman.domain.identity import Principal
from dragoman.domain.ids import conversation_id
from dragoman.providers.scripted.script import fail, say
from dragoman.surfaces.rest import examples
from tests.surfaces.house import house

COACHES = {domain: [say(f"I am {domain}.")] for domain in ("general", "career", "health", "relationship")}


async def chat(at, message="Hello", **body):
    answer = await at.client.post("/agents/chat", json={"message": message, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def threads(at, path="", **params):
    answer = await at.client.get(f"/agents/threads{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_answers_have_the_shape_of_the_examples():
    async with house(COACHES) as at:
        said = await chat(at)
        assert set(said) == set(examples.CHAT)
        listed, read = await threads(at), await threads(at, f"/{said['thread_id']}")
    assert set(listed) == set(examples.THREADS)
    assert set(listed["threads"][0]) == set(examples.THREADS["threads"][0])
    assert set(read) == set(examples.THREAD)


async def test_a_thread_begins_with_the_general_coach_and_is_handed_on_by_a_changed_domain():
    async with house(COACHES) as at:
        first = await chat(at)
        thread = first["thread_id"]
        assert (first["response"], first["domain"]) == ("I am general.", "general")
        handed_on = await chat(at, "My back hurts", domain="health", thread_id=thread)
        assert (handed_on["response"], handed_on["thread_id"]) == ("I am health.", thread)
        assert (await chat(at, "Still", thread_id=thread))["domain"] == "health"
        (listed,) = (await threads(at))["threads"]
        read = await threads(at, f"/{thread}")
    assert (listed["assistant_id"], listed["domain"], listed["title"]) == ("health", "health", "Hello")
    said = [m["content"] if isinstance(m["content"], str) else m["content"][0]["text"] for m in read["messages"]]
    assert said == ["Hello", "I am general.", "My back hurts", "I am health.", "Still", "I am health."]


async def test_a_new_thread_has_no_name_and_every_one_is_another():
    async with house(COACHES) as at:
        one, two = await chat(at), await chat(at, domain="career")
        assert one["thread_id"] != two["thread_id"]
        listed = (await at.client.get("/conversations")).json()["conversations"]
    assert [each["session_id"] for each in listed] == [None, None]


async def test_a_conversation_begun_elsewhere_is_a_thread_and_a_coach_may_go_on_in_it():
    async with house(COACHES) as at:
        begun = (await at.client.post("/chat/run", json={"input": "Hello", "session_id": "s"})).json()
        (listed,) = (await threads(at))["threads"]
        assert (listed["thread_id"], listed["assistant_id"], listed["domain"]) == (
            begun["conversation_id"],
            "chat",
            None,
        )
        assert (await chat(at, thread_id=begun["conversation_id"]))["domain"] == "general"
        (listed,) = (await threads(at))["threads"]
    assert listed["domain"] == "general"


async def test_a_message_makes_an_inactive_thread_active_again():
    async with house(COACHES) as at:
        thread = (await chat(at))["thread_id"]
        await at.client.patch(f"/conversations/{thread}", json={"status": "inactive"})
        assert not (await threads(at))["threads"][0]["is_active"]
        await chat(at, thread_id=thread)
        assert (await threads(at))["threads"][0]["is_active"]


async def test_threads_come_in_pages_and_so_do_their_messages():
    async with house(COACHES) as at:
        ids = [(await chat(at, f"{n}"))["thread_id"] for n in range(3)]
        page = await threads(at, limit=2)
        rest = await threads(at, limit=2, after=page["next"])
        assert [each["thread_id"] for each in (*page["threads"], *rest["threads"])] == ids[::-1]
        assert rest["next"] is None
        newest = await threads(at, f"/{ids[0]}", limit=1)
        older = await threads(at, f"/{ids[0]}", limit=1, before=newest["before"])
    assert newest["has_more"]
    assert [older["messages"][0]["content"], older["has_more"]] == ["0", False]


async def test_a_repeated_request_is_the_same_message_in_the_same_thread():
    async with house(COACHES) as at:
        body, key = {"message": "Hello"}, {"idempotency-key": "k"}
        answers = [at.client.post("/agents/chat", json=body, headers=key) for _ in range(5)]
        said = {answer.text for answer in await asyncio.gather(*answers)}
        assert len(said) == 1
        assert len((await threads(at))["threads"]) == 1


async def test_what_is_no_thread_of_yours_is_not_found():
    class ByName:
        async def authenticate(self, authorization):
            return Principal(authorization or "local")

    async with house(COACHES, authenticator=ByName()) as at:
        thread = (await chat(at))["thread_id"]
        await at.client.post("/chat/run", json={"input": "Hello", "session_id": "s"})
        toms = {"authorization": "tom"}
        for path in (thread, conversation_id(), "s", "nonsense"):
            who = toms if path == thread else {}
            read = await at.client.get(f"/agents/threads/{path}", headers=who)
            said = await at.client.post("/agents/chat", json={"message": "Hi", "thread_id": path}, headers=who)
            assert (read.status_code, said.status_code) == (404, 404), path
        assert (await at.client.get("/agents/threads", headers=toms)).json()["threads"] == []


async def test_an_agent_named_threads_keeps_its_routes():
    async with house({"threads": [say("Yarn.")]}) as at:
        assert (await at.client.get("/agents/threads/info")).json()["agent_name"] == "threads"
        assert (await at.client.post("/agents/threads/run", json={"input": "Hi"})).json()["final_output"] == "Yarn."


async def test_a_coach_that_fails_answers_with_the_problem():
    async with house({**COACHES, "career": [fail(ModelRefused())]}) as at:
        answer = await at.client.post("/agents/chat", json={"message": "Hello", "domain": "career"})
    assert (answer.status_code, answer.json()["code"]) == (502, "model_refused")


async def test_nonsense_is_refused_before_anything_begins():
    async with house(COACHES) as at:
        for body in ({}, {"message": ""}, {"message": "a", "domain": "love"}, {"message": "a", "agent": "chat"}):
            assert (await at.client.post("/agents/chat", json=body)).status_code == 422
        assert (await threads(at))["threads"] == []


async def test_without_conversations_a_coach_answers_and_nothing_is_kept():
    async with house(COACHES, sessions_enabled=False) as at:
        assert (await chat(at))["thread_id"] is None
        assert (await at.client.get("/agents/threads")).json()["code"] == "sessions_disabled"

"""The routes of conversations: found, arranged, branched, and nobody else's."""

import asyncio

import pytest

from dragoman.domain.identity import Principal
from dragoman.domain.ids import conversation_id
from dragoman.providers.scripted.script import call, say
from dragoman.surfaces.rest import examples
from tests.surfaces.house import PATIENCE, Gate, house


async def run(at, text="Hello", session="s", **body):
    answer = await at.client.post("/chat/run", json={"input": text, "session_id": session, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def get(at, path, **params):
    answer = await at.client.get(f"/conversations{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def said(at, session="s", **params):
    found = (await get(at, f"/{session}/items", **params))["items"]
    return [item["content"] if isinstance(item["content"], str) else item["content"][0]["text"] for item in found]


async def names(at, **params):
    return [each["session_id"] for each in (await get(at, "", **params))["conversations"]]


class ByName:
    """Whoever says a name is that person."""

    async def authenticate(self, authorization):
        return Principal(authorization or "local")


async def test_answers_have_the_shape_of_the_examples():
    async with house() as at:
        created = (await at.client.post("/conversations", json={"session_id": "s"})).json()
        await run(at)
        branch = (await get(at, "/s/branches"))["branches"][0]
        shapes = [
            (created, examples.CONVERSATION),
            (await get(at, ""), examples.CONVERSATIONS),
            (await get(at, "/s/items"), examples.ITEMS),
            (await get(at, "/s/branches"), examples.BRANCHES),
            (branch, examples.BRANCH),
            (await get(at, "/s/compare", other=branch["branch_id"]), examples.COMPARISON),
        ]
    for found, documented in shapes:
        assert set(found) == set(documented)
    assert set(shapes[5][0]["branches"][0]) == set(examples.COMPARISON["branches"][0])


async def test_a_conversation_is_created_used_by_its_id_renamed_tagged_put_away_and_deleted():
    async with house() as at:
        made = await at.client.post("/conversations")
        id = made.json()["conversation_id"]
        assert (made.status_code, made.json()["title"], made.json()["agent"]) == (201, "", None)
        answer = await run(at, "What is a river?", session=id)
        assert (answer["conversation_id"], answer["session_id"]) == (id, None)
        assert (await get(at, f"/{id}"))["title"] == "What is a river?"
        body = {"title": " Rivers ", "tags": ["school", "school"], "metadata": {"a": 1}, "status": "inactive"}
        changed = (await at.client.patch(f"/conversations/{id}", json=body)).json()
        assert changed == await get(at, f"/{id}")
        assert (changed["title"], changed["tags"], changed["metadata"]) == ("Rivers", ["school"], {"a": 1})
        await run(at, "And a mountain?", session=id)
        again = await get(at, f"/{id}")
        assert (again["status"], again["title"]) == ("active", "Rivers")
        assert (await at.client.delete(f"/conversations/{id}")).status_code == 204
        assert (await at.client.get(f"/conversations/{id}")).status_code == 404
        gone = await at.client.post("/chat/run", json={"input": "Hello", "session_id": id})
        assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


async def test_conversations_are_listed_searched_and_filtered_newest_first():
    async with house() as at:
        await run(at, "Tell me about rivers", session="a")
        await run(at, "Tell me about mountains", session="b")
        await at.client.post("/assistant/run", json={"input": "No conversation"})
        await run(at, "More about rivers", session="a")
        await at.client.patch("/conversations/b", json={"tags": ["work"], "status": "inactive", "title": "High places"})
        first = await get(at, "", limit=1)
        rest = await get(at, "", after=first["next"])
        assert [each["session_id"] for each in first["conversations"] + rest["conversations"]] == ["a", "b"]
        assert rest["next"] is None
        assert await names(at, q="RIVERS riv") == ["a"]
        assert await names(at, q="high pla") == ["b"]
        assert await names(at, q='"?! ') == []
        assert await names(at, status="active") == ["a"]
        assert await names(at, tag="work", status="inactive", q="mountains") == ["b"]
        assert await names(at, agent="assistant") == []


async def test_items_are_read_page_by_page():
    async with house() as at:
        for n in range(3):
            await run(at, str(n))
        newest = await get(at, "/s/items", limit=4)
        oldest = await get(at, "/s/items", limit=4, before=newest["before"])
    assert [item["content"] for item in newest["items"] if item["role"] == "user"] == ["1", "2"]
    assert [item["content"] for item in oldest["items"] if item["role"] == "user"] == ["0"]
    assert (newest["has_more"], oldest["has_more"], oldest["before"]) == (True, False, None)
    chain = oldest["items"] + newest["items"]
    assert [item["parent"] for item in chain] == [None, *(item["id"] for item in chain[:-1])]


# Branches


async def test_a_message_is_edited_and_an_answer_given_again():
    async with house() as at:
        await run(at, "One")
        await run(at, "Two")
        first, _, second, _ = (await get(at, "/s/items"))["items"]
        await run(at, "Other", from_item=second["parent"])
        assert await said(at) == ["One", "You said: One", "Other", "You said: Other"]
        again = await at.client.post("/chat/run", json={"session_id": "s", "from_item": first["id"]})
        assert again.json()["final_output"] == "You said: One"
        assert await said(at) == ["One", "You said: One"]
        await run(at, "Uno", from_item="start")
        assert await said(at) == ["Uno", "You said: Uno"]
        branches = (await get(at, "/s/branches"))["branches"]
    assert [branch["preview"] for branch in branches] == [f"You said: {x}" for x in ("Uno", "One", "Other", "Two")]
    assert [branch["current"] for branch in branches] == [True, False, False, False]


async def test_branches_are_forked_switched_and_compared():
    async with house() as at:
        await run(at, "One")
        await run(at, "Two")
        before = await get(at, "/s")
        root = (await get(at, "/s/items"))["items"][0]
        forked = await at.client.post("/conversations/s/fork", json={"at": root["id"]})
        fork = forked.json()
        assert (forked.status_code, fork["head"], fork["current"]) == (201, root["id"], True)
        await run(at, "Other")
        assert await said(at) == ["One", "Other", "You said: Other"]
        assert await said(at, branch=before["branch"]) == ["One", "You said: One", "Two", "You said: Two"]
        compared = await get(at, "/s/compare", other=before["branch"], limit=2)
        assert compared["common"] == root
        assert [len(side["items"]) for side in compared["branches"]] == [2, 2]
        switched = await at.client.patch("/conversations/s", json={"branch": before["branch"]})
        assert switched.json()["branch"] == before["branch"]
        await run(at, "Three")
        assert (await said(at))[-2:] == ["Three", "You said: Three"]
        assert await said(at, branch=fork["branch_id"]) == ["One", "Other", "You said: Other"]


async def test_a_run_under_way_stays_on_its_branch_while_its_owner_goes_elsewhere():
    gate = Gate()
    async with house({"chat": [call("gate"), say("Here I am.")]}, tools=gate) as at:
        background = {"input": "Hello", "session_id": "s", "options": {"background": True}}
        run_id = (await at.client.post("/chat/run", json=background)).json()["run_id"]
        await gate.reached.wait()
        before = await get(at, "/s")
        await at.client.post("/conversations/s/fork", json={"at": "start"})
        gate.opened.set()
        await at.client.get(f"/runs/{run_id}", params={"wait": PATIENCE})
        assert await said(at) == []
        assert (await get(at, "/s/items", branch=before["branch"]))["items"][-1]["content"][0]["text"] == "Here I am."


async def test_the_model_sees_only_the_branch_it_answers_on():
    seen = []

    def script(turn):
        seen.append([content["content"] for content in (*turn.history, *turn.run.input) if content["role"] == "user"])
        return [say("Yes")]

    async with house({"chat": script}) as at:
        await run(at, "One")
        await run(at, "Two")
        first = (await get(at, "/s/items"))["items"][0]
        await run(at, "Three", from_item=first["parent"] or "start")
        body = {"session_id": "s", "from_item": first["id"], "options": {"history": {"limit": 0}}}
        await at.client.post("/chat/run", json=body)
    assert seen == [["One"], ["One", "Two"], ["Three"], ["One"]]


# Refusals


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "", {"name": "x"}, "name"),
        ("POST", "", {"title": ""}, "title"),
        ("POST", "", {"session_id": "a/b"}, "session_id"),
        ("POST", "", {"session_id": conversation_id()}, "session_id"),
        ("PATCH", "/s", {"owner": "tom"}, "owner"),
        ("PATCH", "/s", {"title": "x" * 201}, "title"),
        ("PATCH", "/s", {"status": "gone"}, "status"),
        ("PATCH", "/s", {"tags": ['"']}, "tags"),
        ("PATCH", "/s", {"tags": [str(n) for n in range(21)]}, "tags"),
        ("PATCH", "/s", {"branch": "branch_none"}, "branch"),
        ("POST", "/s/fork", {"at": "item_none"}, "at"),
        ("POST", "/s/fork", {}, "at"),
        ("GET", "?after=yesterday", None, "after"),
        ("GET", "?limit=0", None, "limit"),
        ("GET", "?status=gone", None, "status"),
        ("GET", "/s/items?before=item_none", None, "before"),
        ("GET", "/s/items?branch=branch_none", None, "branch"),
        ("GET", "/s/compare?other=branch_none", None, "other"),
        ("GET", "/s/compare", None, "other"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_the_field_that_is_wrong(method, path, body, field):
    async with house() as at:
        await run(at)
        answer = await at.client.request(method, f"/conversations{path}", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.text
        assert len((await get(at, ""))["conversations"]) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "input"),
        ({"from_item": "start"}, "from_item"),
        ({"session_id": "s", "from_item": "start"}, "from_item"),
        ({"session_id": "s", "from_item": "item_none"}, "from_item"),
        ({"session_id": "new", "from_item": "item_none", "input": "x"}, "from_item"),
    ],
)
async def test_a_run_that_has_nothing_to_begin_with_is_refused(body, field):
    async with house() as at:
        await run(at)
        answer = await at.client.post("/chat/run", json=body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.text
        assert await names(at) == ["s"]


async def test_a_name_that_is_taken_and_an_agent_that_is_none():
    async with house() as at:
        await run(at)
        taken = await at.client.post("/conversations", json={"session_id": "s"})
        nobody = await at.client.post("/conversations", json={"agent": "nobody"})
    assert (taken.status_code, taken.json()["code"]) == (409, "name_taken")
    assert (nobody.status_code, nobody.json()["code"]) == (404, "not_found")


async def test_somebody_elses_conversation_looks_like_none():
    async with house(authenticator=ByName()) as at:
        at.client.headers["authorization"] = "sarah"
        mine = await run(at, "Secret")
        item = (await get(at, "/s/items"))["items"][0]["id"]
        at.client.headers["authorization"] = "tom"
        id = mine["conversation_id"]
        answers = await asyncio.gather(
            at.client.get(f"/conversations/{id}"),
            at.client.patch(f"/conversations/{id}", json={"title": "Mine"}),
            at.client.delete(f"/conversations/{id}"),
            at.client.get(f"/conversations/{id}/items"),
            at.client.post(f"/conversations/{id}/fork", json={"at": item}),
            at.client.get(f"/conversations/{id}/branches"),
            at.client.get(f"/conversations/{id}/compare", params={"other": "branch_x"}),
            at.client.post("/chat/run", json={"input": "Hello", "session_id": id}),
            at.client.get(f"/chat/session/{id}"),
        )
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(404, "not_found")}
        assert await names(at) == await names(at, q="secret") == []
        stolen = await at.client.post("/chat/run", json={"input": "Hello", "session_id": "s", "from_item": item})
        assert stolen.status_code == 422
        at.client.headers["authorization"] = "sarah"
        assert await said(at) == ["Secret", "You said: Secret"]


async def test_a_server_that_keeps_no_conversations_says_so():
    async with house(sessions_enabled=False) as at:
        for method, path, body in (
            ("GET", "", None),
            ("POST", "", {}),
            ("GET", "/s", None),
            ("PATCH", "/s", {"title": "x"}),
            ("DELETE", "/s", None),
            ("GET", "/s/items", None),
            ("POST", "/s/fork", {"at": "start"}),
            ("GET", "/s/branches", None),
            ("GET", "/s/compare?other=b", None),
        ):
            answer = await at.client.request(method, f"/conversations{path}", json=body)
            assert (answer.status_code, answer.json()["code"]) == (409, "sessions_disabled")


async def test_runs_without_a_conversation_are_never_listed():
    async with house() as at:
        await at.client.post("/chat/run", json={"input": "Hello"})
        await run(at)
        runs = (await at.client.get("/runs")).json()["runs"]
    assert [each["session_id"] for each in runs] == ["s"]

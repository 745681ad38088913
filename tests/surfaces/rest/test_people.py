"""Routes about everything of one person, and about holds: who may, what must be said, what is answered."""

import asyncio
import io
import json
import zipfile

from dragoman.application.people import Part
from dragoman.surfaces.rest.archive import zipped
from tests.issuer import shared
from tests.surfaces.house import PATIENCE, eventually, read_frames, served
from tests.surfaces.rest.test_admin import bearer, boss, office

ALICE = bearer(shared(sub="alice", tenant="acme"))
BOB = bearer(shared(sub="bob", tenant="acme"))


async def talk(at, headers=ALICE, session: str = "s") -> str:
    answer = await at.client.post("/chat/run", json={"input": "Hello", "session_id": session}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["conversation_id"]


async def test_to_erase_oneself_takes_ones_own_name():
    async with office() as at:
        await talk(at)
        assert (await at.client.delete("/me", headers=ALICE)).status_code == 422
        assert (await at.client.delete("/me", params={"confirm": "bob"}, headers=ALICE)).status_code == 422
        assert (await at.client.get("/conversations/s", headers=ALICE)).status_code == 200
        erased = await at.client.delete("/me", params={"confirm": "alice"}, headers=ALICE)
        assert erased.status_code == 200
        assert erased.json()["removed"]["conversations"] == 1
        assert (await at.client.get("/conversations/s", headers=ALICE)).status_code == 404


async def test_only_administrators_reach_others_and_only_those_of_their_tenant():
    async with office() as at:
        await talk(at)
        assert (await at.client.delete("/admin/people/alice", headers=BOB)).status_code == 403
        assert (await at.client.get("/admin/people/alice/export", headers=BOB)).status_code == 403
        elsewhere = await at.client.delete("/admin/people/alice", headers=boss("other"))
        assert set(elsewhere.json()["removed"].values()) == {0}
        assert (await at.client.get("/conversations/s", headers=ALICE)).status_code == 200


async def test_a_key_without_the_scope_can_neither_export_nor_erase():
    async with office() as at:
        made = await at.client.post("/admin/keys", json={"user": "alice", "scopes": ["runs:write"]}, headers=boss())
        key = bearer(made.json()["key"])
        assert (await at.client.get("/me/export", headers=key)).status_code == 403
        assert (await at.client.delete("/me", params={"confirm": "alice"}, headers=key)).status_code == 403


async def test_a_name_may_have_a_slash():
    async with office() as at:
        slashed = bearer(shared(sub="github/alice", tenant="acme"))
        await talk(at, slashed)
        export = await at.client.get("/admin/people/github%2Falice/export", headers=boss())
        assert manifest(export.content)["user"] == "github/alice"
        erased = await at.client.delete("/admin/people/github%2Falice", headers=boss())
        assert erased.json()["removed"]["conversations"] == 1


def manifest(archive: bytes) -> dict:
    return json.loads(zipfile.ZipFile(io.BytesIO(archive)).read("manifest.json"))


async def test_a_hold_is_shown_keeps_its_conversation_and_is_audited():
    async with office() as at:
        id = await talk(at)
        path = f"/admin/conversations/{id}/hold"
        assert (await at.client.put(path, headers=BOB)).status_code == 403
        assert (await at.client.put(path, headers=boss("other"))).status_code == 404
        held = await at.client.put(path, headers=boss())
        assert held.json() == {"conversation_id": id, "user": "alice", "hold": True}
        assert (await at.client.get("/conversations/s", headers=ALICE)).json()["hold"] is True
        refused = await at.client.delete("/conversations/s", headers=ALICE)
        assert (refused.status_code, refused.json()["code"]) == (409, "on_hold")
        me = await at.client.delete("/me", params={"confirm": "alice"}, headers=ALICE)
        assert (me.status_code, me.json()["code"]) == (409, "on_hold")
        assert (await at.client.delete("/admin/people/alice", headers=boss())).status_code == 409
        assert (await at.client.delete(path, headers=boss())).json()["hold"] is False
        assert (await at.client.delete("/conversations/s", headers=ALICE)).status_code == 204
        entries = (await at.client.get("/admin/audit", headers=boss())).json()["entries"]
        told = {
            (entry["action"], entry["actor"], entry["detail"]["user"]) for entry in entries if entry["target"] == id
        }
    assert told == {("conversation.held", "boss", "alice"), ("conversation.released", "boss", "alice")}


async def test_an_administrator_erases_held_conversations_by_saying_so():
    async with office() as at:
        id = await talk(at)
        await at.client.put(f"/admin/conversations/{id}/hold", headers=boss())
        erased = await at.client.delete("/admin/people/alice", params={"despite_holds": True}, headers=boss())
        assert erased.json()["removed"]["conversations"] == 1
        entries = (await at.client.get("/admin/audit", headers=boss())).json()["entries"]
        (entry,) = [entry for entry in entries if entry["action"] == "person.erased"]
    assert entry["detail"] == {"despite_holds": True}
    assert entry["target"] == erased.json()["pseudonym"]
    assert "alice" not in json.dumps(entries)


async def test_whoever_watches_a_run_is_told_when_its_person_is_erased():
    async with office() as at, served(at) as (client, _):
        body = {"input": "/stall 1000\n", "session_id": "s"}
        async with client.stream("POST", "/chat/stream", json=body, headers=ALICE) as stream:
            frames = read_frames(stream)
            await anext(frames)
            erased = await client.delete("/admin/people/alice", headers=boss())
            async with asyncio.timeout(PATIENCE):
                last = [frame async for frame in frames][-1]
        assert erased.json()["removed"]["runs"] == 1
        assert last.data["code"] == "conversation_deleted"
        await eventually(lambda: not at.services.dispatcher.active)


async def test_an_archive_is_sent_while_it_is_made():
    async def parts():
        for n in range(3):
            for _ in range(2):
                yield Part(f"{n}.json", b"x" * 100_000)

    sent = [chunk async for chunk in zipped(parts())]
    assert len(sent) > 3
    with zipfile.ZipFile(io.BytesIO(b"".join(sent))) as archive:
        assert archive.testzip() is None
        assert {name: len(archive.read(name)) for name in archive.namelist()} == {
            f"{n}.json": 200_000 for n in range(3)
        }

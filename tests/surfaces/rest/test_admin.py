"""What administrators do: make, list and revoke keys, and read what was done."""

import contextlib

import pytest
from pydantic import SecretStr

from dragoman.surfaces.rest import examples
from tests.issuer import SECRET, shared
from tests.surfaces.house import house


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def boss(tenant: str = "acme") -> dict[str, str]:
    return bearer(shared(sub="boss", tenant=tenant, scope="admin"))


@contextlib.asynccontextmanager
async def office():
    claims = {"tenant_claim": "tenant", "scopes_claim": "scope"}
    async with house(jwt_secret=SecretStr(SECRET), **claims) as at:
        yield at


async def make(at, **body) -> dict:
    answer = await at.client.post("/admin/keys", json={"user": "alice", **body}, headers=boss())
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_key_that_was_made_works_within_its_scopes_for_its_user_in_its_tenant():
    async with office() as at:
        made = await make(at, scopes=["runs:write"], name="nightly", expires="90d")
        key = bearer(made["key"])
        run = await at.client.post("/chat/run", json={"input": "Hello", "session_id": "s"}, headers=key)
        assert run.status_code == 200
        assert (await at.client.get("/conversations", headers=key)).status_code == 403
        alice = bearer(shared(sub="alice", tenant="acme"))
        assert (await at.client.get(f"/runs/{run.json()['run_id']}", headers=alice)).status_code == 200
        elsewhere = bearer(shared(sub="alice", tenant="other"))
        assert (await at.client.get(f"/runs/{run.json()['run_id']}", headers=elsewhere)).status_code == 404


async def test_a_key_is_shown_once():
    async with office() as at:
        made = await make(at)
        listed = await at.client.get("/admin/keys", headers=boss())
        audit = await at.client.get("/admin/audit", headers=boss())
    assert made["key"].startswith("dgm_")
    assert [key["key_id"] for key in listed.json()["keys"]] == [made["key_id"]]
    assert made["key"][-43:] not in listed.text + audit.text


async def test_a_revoked_key_is_listed_as_such():
    async with office() as at:
        made = await make(at)
        gone = await at.client.delete(f"/admin/keys/{made['key_id']}", headers=boss())
        assert gone.json()["revoked_at"] is not None
        assert (await at.client.get("/chat/info", headers=bearer(made["key"]))).status_code == 401
        (listed,) = (await at.client.get("/admin/keys", headers=boss())).json()["keys"]
        assert listed == gone.json()


async def test_administrators_of_another_tenant_see_and_touch_nothing():
    async with office() as at:
        made = await make(at)
        other = boss("other")
        assert (await at.client.get("/admin/keys", headers=other)).json()["keys"] == []
        assert (await at.client.delete(f"/admin/keys/{made['key_id']}", headers=other)).status_code == 404
        actions = {entry["action"] for entry in (await at.client.get("/admin/audit", headers=other)).json()["entries"]}
        assert actions == {"keys.listed"}
        assert (await at.client.get("/chat/info", headers=bearer(made["key"]))).status_code == 200


async def test_what_was_done_is_in_the_audit_log_with_who_did_it_and_by_which_key():
    async with office() as at:
        made = await make(at, user="deputy", scopes=["admin"])
        deputy = bearer(made["key"])
        second = (await at.client.post("/admin/keys", json={"user": "bob"}, headers=deputy)).json()
        await at.client.delete(f"/admin/keys/{second['key_id']}", headers=deputy)
        entries = (await at.client.get("/admin/audit", headers=boss())).json()["entries"]
    told = [(entry["actor"], entry["key_id"], entry["action"], entry["target"]) for entry in entries]
    assert len(told) == 3
    assert set(told) == {
        ("boss", None, "key.created", made["key_id"]),
        ("deputy", made["key_id"], "key.created", second["key_id"]),
        ("deputy", made["key_id"], "key.revoked", second["key_id"]),
    }


async def test_ordinary_users_are_no_administrators():
    async with office() as at:
        for method, path in (("POST", "/admin/keys"), ("GET", "/admin/keys"), ("GET", "/admin/audit")):
            body = {"user": "mallory", "scopes": ["admin"]} if method == "POST" else None
            answer = await at.client.request(method, path, json=body, headers=bearer(shared(tenant="acme")))
            assert answer.status_code == 403
        assert (await at.client.get("/admin/keys", headers=boss())).json()["keys"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "user"),
        ({"user": ""}, "user"),
        ({"user": "a\nb"}, "user"),
        ({"user": "x" * 256}, "user"),
        ({"user": "alice", "scopes": []}, "scopes"),
        ({"user": "alice", "scopes": ["everything"]}, "scopes"),
        ({"user": "alice", "expires": "soon"}, "expires"),
        ({"user": "alice", "expires": "0d"}, "expires"),
        ({"user": "alice", "expires": "999999y"}, "expires"),
        ({"user": "alice", "name": "x" * 201}, "name"),
        ({"user": "alice", "tenant": "other"}, "tenant"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_field(body, field):
    async with office() as at:
        answer = await at.client.post("/admin/keys", json=body, headers=boss())
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_key_that_does_not_exist_is_not_found_and_never_repeated():
    async with office() as at:
        for name in ("key_nothing", "dgm_" + "x" * 60):
            answer = await at.client.delete(f"/admin/keys/{name}", headers=boss())
            assert answer.status_code == 404
            assert "x" * 60 not in answer.text


async def test_examples_have_the_shape_of_real_answers():
    async with office() as at:
        assert set(await make(at)) == set(examples.NEW_KEY)
        (key,) = (await at.client.get("/admin/keys", headers=boss())).json()["keys"]
        assert set(key) == set(examples.KEYS["keys"][0])
        entry = (await at.client.get("/admin/audit", headers=boss())).json()["entries"][0]
        assert set(entry) == set(examples.AUDIT["entries"][0])

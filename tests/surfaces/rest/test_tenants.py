"""Tenants that the operator's file names: who may come in, and which agents each may ask."""

import contextlib
from pathlib import Path

from pydantic import SecretStr

from tests.issuer import SECRET, shared
from tests.surfaces.house import house
from tests.surfaces.rest.test_admin import bearer

FILE = """
[tenants.acme]
agents = ["chat", "sales-*"]

[tenants.umbrella.limits]
user = { requests_per_minute = 600 }
"""


@contextlib.asynccontextmanager
async def several(tmp_path: Path, text: str = FILE):
    config = tmp_path / "dragoman.toml"
    config.write_text(text)
    claims = {"tenant_claim": "tenant", "scopes_claim": "scope"}
    scripts = {"sales-north": None, "secret": None}
    async with house(scripts, jwt_secret=SecretStr(SECRET), config=config, **claims) as at:
        yield at


def of(tenant: str, **claims) -> dict[str, str]:
    return bearer(shared(sub="alice", tenant=tenant, **claims))


async def keys(at, tenant: str) -> set[str]:
    answer = await at.client.get("/agents", headers=of(tenant))
    return {agent["agent_name"] for agent in answer.json()["agents"]}


async def test_each_tenant_sees_the_agents_it_may_ask(tmp_path: Path):
    async with several(tmp_path) as at:
        assert await keys(at, "acme") == {"chat", "sales-north"}
        assert await keys(at, "umbrella") == {"chat", "sales-north", "secret"}
        models = await at.client.get("/v1/models", headers=of("acme"))
    assert {model["id"] for model in models.json()["data"]} == {"chat", "sales-north"}


async def test_an_agent_that_a_tenant_may_not_ask_looks_like_one_that_does_not_exist(tmp_path: Path):
    async with several(tmp_path) as at:
        for key in ("secret", "nothing"):
            asked = [
                await at.client.post(f"/{key}/run", json={"input": "Hello"}, headers=of("acme")),
                await at.client.get(f"/agents/{key}/info", headers=of("acme")),
                await at.client.post("/conversations", json={"agent": key}, headers=of("acme")),
                await at.client.post("/v1/responses", json={"model": key, "input": "Hello"}, headers=of("acme")),
            ]
            assert [answer.status_code for answer in asked] == [404] * 4
        answer = await at.client.post("/secret/run", json={"input": "Hello"}, headers=of("umbrella"))
        assert answer.status_code == 200


async def test_nobody_comes_in_from_a_tenant_that_the_file_does_not_name(tmp_path: Path):
    async with several(tmp_path) as at:
        refused = await at.client.get("/agents", headers=of("initech", scope="admin"))
        assert (refused.status_code, refused.json()["code"]) == (403, "unknown_tenant")
        assert (await at.client.get("/v1/models", headers=of("initech"))).status_code == 403


async def test_where_the_file_names_none_every_tenant_exists(tmp_path: Path):
    async with several(tmp_path, "") as at:
        assert await keys(at, "initech") == {"chat", "sales-north", "secret"}

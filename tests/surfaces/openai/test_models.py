"""Agents as models, and models without an agent where the operator allows them."""

import pytest

from dragoman.domain.agents import AgentSpec
from dragoman.providers.scripted import build_scripted_provider
from dragoman.settings import Settings, WrongSettings
from dragoman.tools import BuiltinTools
from tests.surfaces.house import house
from tests.surfaces.openai.clients import official

ROUTED = "vendor/large-1"


async def test_the_agents_are_the_models():
    async with house({"chat": [], "poet": []}) as at:
        listed = [model async for model in await official(at).models.list()]
        one = await official(at).models.retrieve("poet")
    assert [model.id for model in listed] == ["chat", "poet"]
    assert (one.id, one.object, one.owned_by) == ("poet", "model", "dragoman")
    assert one in listed


def with_plain(*agents):
    specs = [AgentSpec(key, key.title(), "") for key in agents]
    return {"scripted": build_scripted_provider(specs, tools=BuiltinTools())}


async def test_plain_models_stand_beside_them_where_the_operator_says_so():
    async with house(providers=with_plain("chat", "plain"), plain_models=(ROUTED, "chat")) as at:
        listed = (await official(at).models.list()).data
        one = await official(at).models.retrieve(ROUTED)
    assert [(model.id, model.owned_by) for model in listed] == [("chat", "dragoman"), (ROUTED, "endpoint")]
    assert one == listed[1]


async def test_no_model_is_plain_unless_the_operator_says_so():
    async with house(providers=with_plain("chat")) as at:
        answer = await at.client.get(f"/v1/models/{ROUTED}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_plain_models_need_an_endpoint(tmp_path):
    from dragoman.bootstrap import build

    with pytest.raises(WrongSettings, match="DRAGOMAN_PLAIN_MODELS"):
        build(Settings.of(plain_models=("gpt-5",), session_db_path=tmp_path / "d.db"))

"""What cannot be right about agents is found before any of them is played."""

import dataclasses

import pytest
from agents import Agent

from dragoman.bootstrap import checker, refuse_mistakes
from dragoman.domain.agents import AgentSpec
from dragoman.settings import Settings, WrongSettings
from dragoman.sources import Found, find

STRICT = {
    "type": "object",
    "properties": {"a": {"type": "array", "items": {"type": "string"}}},
    "required": ["a"],
    "additionalProperties": False,
}


@dataclasses.dataclass
class Anything:
    values: dict[str, int]


def problems(*agents, **settings):
    found = Found(list(agents))
    return [str(one) for one in checker(Settings.of(builtin_agents=False, **settings), found).problems()]


def spec(key="ann", **fields):
    return AgentSpec(key, key.title(), **fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"tools": ("calculat",)}, "has the tool 'calculat', which does not exist. Did you mean calculate?"),
        ({"handoffs": ("an",)}, "hands over to 'an', which does not exist. Did you mean ann?"),
        ({"mcp": ("github",)}, "uses the MCP server 'github', which is not in dragoman.toml."),
        ({"public": False}, "is not public, and no agent hands over to it."),
        ({"output": {"type": "string"}}, "the answer must be an object"),
        ({"output": {"type": "object", "properties": {}}}, "additionalProperties must be false"),
        ({"output": {**STRICT, "required": []}}, "required must name a"),
        ({"output": {**STRICT, "properties": {"a": {}}}}, "a: it may be anything"),
        ({"output": Anything}, "values: it may have anything in it"),
    ],
)
def test_a_mistake_is_found_and_named(fields, words):
    (problem,) = problems(spec(**fields))
    assert "the agent 'ann'" in problem
    assert words in problem


def test_what_is_right_is_not_complained_about():
    assert (
        problems(
            spec(tools=("calculate",), handoffs=("ben",), output=STRICT),
            spec("ben", public=False, output=Anything, strict_output=False, model="whatever"),
        )
        == []
    )


def test_a_model_that_no_endpoint_has_is_found(tmp_path):
    config = tmp_path / "dragoman.toml"
    config.write_text('[endpoints.local]\nbase_url = "http://127.0.0.1:1/v1"\nmodels = ["small"]\n')
    assert problems(spec(model="small"), config=config, model="small") == []
    (problem,) = problems(spec(model="big"), config=config, model="small")
    assert "has the model 'big', which no endpoint has." in problem


def test_agents_of_the_sdk_and_specifications_are_checked_together():
    desk, clerk = Agent(name="Desk", handoffs=["clerk"]), spec("clerk", public=False, handoffs=("desk",))
    assert problems(desk, clerk) == []
    (problem,) = problems(Agent(name="Desk", handoffs=["clark"]), spec("clerk"))
    assert "Did you mean clerk?" in problem


def test_agents_that_only_reach_each_other_are_unreachable():
    circle = [spec("ann", public=False, handoffs=("ben",)), spec("ben", public=False, handoffs=("ann",))]
    assert len(problems(*circle)) == 2


def test_a_start_is_refused_with_all_mistakes_and_their_places(tmp_path):
    file = tmp_path / "team.toml"
    file.write_text('[agents.ann]\ntools = ["x"]\n\n[agents.ben]\nhandoffs = ["y"]\n')
    with pytest.raises(WrongSettings) as refused:
        refuse_mistakes(Settings.of(), find([str(file)]))
    first, second = str(refused.value).splitlines()
    assert first.startswith(f"{file}:1: the agent 'ann'")
    assert second.startswith(f"{file}:4: the agent 'ben'")


def test_two_agents_of_one_key_are_refused_with_both_places(tmp_path):
    for name in ("one.toml", "two.toml"):
        (tmp_path / name).write_text('key = "ann"\n')
    with pytest.raises(WrongSettings) as refused:
        refuse_mistakes(Settings.of(), find([str(tmp_path)]))
    assert "one.toml" in str(refused.value)
    assert "two.toml" in str(refused.value)


def test_the_tools_that_a_server_always_has_are_known():
    assert problems(spec(tools=("calculate", "search_conversations", "fetch_url"))) == []

"""Agents declared in files: what may be said, and what is said about mistakes."""

import textwrap

import pytest

from dragoman.domain.agents import AgentSpec
from dragoman.domain.runs import Habits, ModelChoices
from dragoman.settings import WrongSettings
from dragoman.sources import find


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return str(path)

    return write


TUTOR = """
name = "Math tutor"
template = "You teach {user} on a {weekday}."
tools = ["calculate"]
max_turns = 4
on_busy = "reject"

[settings]
temperature = 0.2
"""


def test_a_file_is_an_agent_whose_key_is_the_name_of_the_file(write):
    (agent,) = find([write("tutor.toml", TUTOR)]).agents
    assert agent == AgentSpec(
        key="tutor",
        name="Math tutor",
        template="You teach {user} on a {weekday}.",
        tools=("calculate",),
        max_turns=4,
        habits=Habits(on_busy="reject"),
        settings=ModelChoices(temperature=0.2),
    )


def test_a_file_with_several_agents_has_a_table_for_each(write):
    found = find([write("desk.toml", '[agents.desk]\nhandoffs = ["clerk"]\n\n[agents.clerk]\nname = "The clerk"\n')])
    assert [(agent.key, agent.name) for agent in found.agents] == [("desk", "Desk"), ("clerk", "The clerk")]
    assert [found.place(agent).line for agent in found.agents] == [1, 4]


def test_yaml_says_the_same(write):
    (agent,) = find([write("tutor.yaml", "instructions: |\n  Explain.\n  Ask.\ntools: [calculate]\n")]).agents
    assert (agent.instructions, agent.tools) == ("Explain.\nAsk.\n", ("calculate",))


def test_a_folder_brings_all_its_files_of_every_kind(write, tmp_path):
    write("one.toml", 'instructions = "One."')
    write("two.yml", "instructions: Two.")
    write("three.py", "from dragoman import AgentSpec\nthree = AgentSpec('three', 'Three')\n")
    write("_four.py", "raise RuntimeError('not an agent file')")
    found = find([str(tmp_path)])
    assert sorted(agent.key for agent in found.agents) == ["one", "three", "two"]
    places = {agent.key: found.place(agent) for agent in found.agents}
    assert places["three"].line == 2
    assert places["three"].file.endswith("three.py")


def test_an_output_may_be_a_schema_or_the_name_of_a_class(write):
    (agent,) = find([write("a.toml", 'output = "dragoman.domain.usage:Usage"')]).agents
    assert agent.output.__name__ == "Usage"
    (agent,) = find([write("b.toml", '[output]\ntype = "object"\n')]).agents
    assert agent.output == {"type": "object"}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("name = 'A'\ninstrctions = 'x'", 2, ["'a'", "instrctions", "Did you mean instructions?"]),
        ("[settings]\ntemperatur = 1", 2, ["'a'", "settings.temperatur", "Did you mean temperature?"]),
        ("colour = 'red'", 1, ["colour", "Known: key, name, instructions"]),
        ("name = 'A'\nmax_turns = 'many'", 2, ["'a', max_turns", "valid integer"]),
        ("name = 'A'\n\nmax_turns = 0", 3, ["'a', max_turns", "at least 1"]),
        ("tools = 'calculate'", 1, ["'a', tools", "valid tuple"]),
        ("template = 'Hi {usr}'", 1, ["'a', template", "{usr}", "user"]),
        ("template = 'Hi {context.plan}'", 1, ["{context.plan}", "nothing fills"]),
        ("template = 'Hi {user'", 1, ["template", "brace"]),
        ("template = 'Hi {user.__class__}'", 1, ["template", "{user.__class__}"]),
        ("template = 'Hi {user!r}'", 1, ["template", "{user!r}"]),
        ("instructions = 'x'\ntemplate = 'y'", 2, ["not both"]),
        ("output = 'nowhere:Nothing'", 1, ["'a', output", "no class 'nowhere:Nothing'"]),
        ("on_busy = 'shout'", 1, ["on_busy", "'queue', 'reject'"]),
        ("key = 'Not A Key'", 1, ["key", "a-z"]),
    ],
)
def test_a_mistake_is_told_with_file_line_agent_field_and_what_was_meant(write, text, line, words):
    path = write("a.toml", text)
    with pytest.raises(WrongSettings) as refused:
        find([path])
    assert str(refused.value).startswith(f"{path}:{line}: ")
    assert all(word in str(refused.value) for word in words), refused.value


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "name = ", "is no TOML"),
        ("a.yaml", "a: [", "is no YAML"),
        ("a.yaml", "- a\n- b", "declares no agent"),
        ("a.toml", "agents = 3", "[agents.KEY]"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(write, name, text, words):
    with pytest.raises(WrongSettings, match=r"a\.(toml|yaml)") as refused:
        find([write(name, text)])
    assert words in str(refused.value)


def test_a_file_that_is_not_there_is_refused():
    with pytest.raises(WrongSettings, match="no such file"):
        find(["nowhere/tutor.toml"])

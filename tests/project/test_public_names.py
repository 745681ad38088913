"""What is published on purpose: whoever adds or removes a name here changes what users may rely on."""

import importlib
import importlib.resources

import pytest

PUBLIC = {
    "dragoman": [
        "AgentSpec",
        "Ending",
        "Flow",
        "Form",
        "Stage",
        "ToolContext",
        "ToolError",
        "Workflow",
        "create_agent_router",
        "create_app",
        "tool",
    ],
    "dragoman.research": ["Progress", "ResearchFailed", "ResearchManager", "ResearchReport"],
    "dragoman.testing": [
        "AgentSpec",
        "Script",
        "ScriptedProvider",
        "Step",
        "app_with",
        "build_scripted_provider",
        "call",
        "fail",
        "hand_off",
        "say",
        "stall",
        "together",
    ],
    "dragoman.adapters.memory": ["MemoryStore"],
    "dragoman.adapters.sql": ["Engine", "SqlStore", "SqliteEngine"],
    "dragoman.providers.openai": ["OPENAI_BASE_URL", "DemoSettings", "ModelEndpoint", "build_openai_provider"],
    "dragoman.tools": ["BUILTIN", "BuiltinTools", "ToolContext", "ToolError", "calculate", "current_time", "tool"],
}


@pytest.mark.parametrize("module", PUBLIC)
def test_a_module_publishes_exactly_these_names(module):
    assert sorted(importlib.import_module(module).__all__) == sorted(PUBLIC[module])


@pytest.mark.parametrize("module", PUBLIC)
def test_every_published_name_is_there(module):
    published = importlib.import_module(module)
    assert all(getattr(published, name) is not None for name in published.__all__)


def test_a_name_that_is_not_there_is_refused_as_usual():
    with pytest.raises(AttributeError, match="no_such_name"):
        importlib.import_module("dragoman").no_such_name  # noqa: B018


def test_the_package_is_typed_for_its_users():
    assert importlib.resources.files("dragoman").joinpath("py.typed").is_file()

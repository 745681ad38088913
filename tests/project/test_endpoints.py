"""Model endpoints come from a key alone, from ``dragoman.toml``, or both; what cannot work refuses the start in a sentence."""

import os
import re
from decimal import Decimal
from pathlib import Path

import pytest

from dragoman.domain.usage import Usage
from dragoman.endpoints import (
    EndpointTable,
    McpTable,
    ModelSetup,
    ModelsTable,
    PriceTable,
    TimeoutsTable,
    read_models,
    well_known_prices,
)
from dragoman.providers.openai.config import place_of
from dragoman.settings import Settings, WrongSettings

LOCAL = "http://127.0.0.1:11434/v1"


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("DRAGOMAN_", "OPENAI_", "OPENROUTER_", "AI_MODEL")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def setup(toml: str = "", **environment: str) -> ModelSetup:
        if toml:
            (tmp_path / "dragoman.toml").write_text(toml)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return read_models(Settings.load())

    return setup


def place(setup: ModelSetup, model: str) -> tuple[str, str]:
    found = place_of(model, setup.endpoints)
    assert found is not None
    return found[0].name, found[1]


# From the environment ------------------------------------------------------------------------------------------------


def test_without_anything_there_is_no_endpoint(read):
    assert read().endpoints == ()


def test_a_key_of_openai_is_enough(read):
    setup = read(OPENAI_API_KEY="sk-1")
    (endpoint,) = setup.endpoints
    assert (endpoint.base_url, endpoint.api_key, endpoint.spoken) == ("https://api.openai.com/v1", "sk-1", "responses")
    assert setup.model == "gpt-5-mini"


def test_a_key_of_openrouter_and_a_model_are_enough(read):
    setup = read(OPENROUTER_API_KEY="or-1", AI_MODEL="google/gemini-pro")
    (endpoint,) = setup.endpoints
    assert (endpoint.base_url, endpoint.api_key) == ("https://openrouter.ai/api/v1", "or-1")
    assert set(endpoint.headers) == {"HTTP-Referer", "X-Title"}
    assert place(setup, "google/gemini-pro") == ("openrouter", "google/gemini-pro")


def test_both_keys_at_once_share_the_names(read):
    setup = read(OPENAI_API_KEY="sk-1", OPENROUTER_API_KEY="or-1")
    assert place(setup, "gpt-5") == ("openai", "gpt-5")
    assert place(setup, "google/gemini-pro") == ("openrouter", "google/gemini-pro")
    assert place(setup, "openrouter:auto") == ("openrouter", "auto")


def test_a_base_url_gives_anything_else(read):
    setup = read(OPENAI_BASE_URL=LOCAL, OPENAI_API_KEY="x", AI_MODEL="llama3.2:3b")
    assert (setup.endpoints[0].base_url, setup.endpoints[0].spoken) == (LOCAL, "chat")
    assert place(setup, "llama3.2:3b") == ("openai", "llama3.2:3b")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"AI_MODEL": "gpt-5"}, ["OPENAI_API_KEY", "no key"]),
        ({"DRAGOMAN_FALLBACKS": "gpt-5"}, ["OPENAI_API_KEY", "gpt-5"]),
        ({"OPENAI_BASE_URL": LOCAL}, ["OPENAI_API_KEY", "missing"]),
        ({"OPENAI_BASE_URL": LOCAL, "OPENROUTER_API_KEY": "x", "AI_MODEL": "a/b"}, ["OPENAI_API_KEY", "missing"]),
        ({"OPENAI_BASE_URL": LOCAL, "OPENAI_API_KEY": "x"}, ["AI_MODEL"]),
        ({"OPENROUTER_API_KEY": "x"}, ["AI_MODEL"]),
        ({"DRAGOMAN_DEMO": "off"}, ["DRAGOMAN_DEMO=off", "OPENAI_API_KEY"]),
        ({"DRAGOMAN_CONFIG": "nowhere.toml"}, ["DRAGOMAN_CONFIG", "nowhere.toml"]),
        ({"DRAGOMAN_CONVERSATION_STATE": "provider"}, ["DRAGOMAN_CONVERSATION_STATE", "local"]),
    ],
)
def test_what_cannot_work_is_refused_with_its_name(read, environment, words):
    with pytest.raises(WrongSettings) as refusal:
        read(**environment)
    assert all(word in str(refusal.value) for word in words), str(refusal.value)


# From the file -------------------------------------------------------------------------------------------------------

WHOLE = """
[models]
default = "local:llama3.2"
fallbacks = ["openai:gpt-5-mini", "azure:gpt-4o"]

[endpoints.local]
base_url = "http://127.0.0.1:11434/v1"
models = ["llama*"]
retries = 0
max_concurrency = 4
timeouts = { connect = 1.5, first_token = 20, between_tokens = 30, whole_call = 600 }

[endpoints.local.prices."llama3.2"]
input = 0.02
output = 0.04

[endpoints.azure]
base_url = "https://example.openai.azure.com/openai"
headers = { "api-key" = "${AZURE_KEY}" }
query = { "api-version" = "2025-04-01" }
client = "sdk"
dialect = "responses"

[prices."gpt-5"]
input = 1
output = 8
date = 2026-11-01
source = "our contract"
"""


def test_a_file_says_it_all(read):
    setup = read(WHOLE, AZURE_KEY="az-1", OPENAI_API_KEY="sk-1")
    local, azure, openai = setup.endpoints
    assert setup.model == "local:llama3.2"
    assert setup.fallbacks == ("openai:gpt-5-mini", "azure:gpt-4o")
    assert (local.api_key, local.retries, local.max_concurrency, local.spoken) == ("", 0, 4, "chat")
    limits = local.limits
    assert (limits.connect, limits.first_token, limits.silence, limits.call) == (1.5, 20, 30, 600)
    assert (azure.headers, azure.query) == ({"api-key": "az-1"}, {"api-version": "2025-04-01"})
    assert (azure.api_key, azure.client, azure.spoken) == ("", "sdk", "responses")
    assert (openai.name, openai.api_key, openai.retries) == ("openai", "sk-1", 2)
    assert place(setup, "llama3.1:8b") == ("local", "llama3.1:8b")
    assert place(setup, "gpt-5") == ("azure", "gpt-5")  # the first that lists no models


def test_the_environment_wins_over_the_file(read):
    setup = read(WHOLE, AZURE_KEY="x", AI_MODEL="azure:gpt-4o", DRAGOMAN_FALLBACKS="local:llama3.2,azure:o3")
    assert (setup.model, setup.fallbacks) == ("azure:gpt-4o", ("local:llama3.2", "azure:o3"))


def test_prices_of_the_file_win_and_those_of_an_endpoint_are_its_own(read):
    prices = read(WHOLE, AZURE_KEY="x").prices
    million = Usage(1, 1_000_000, 0, 1_000_000)
    assert prices.cost(million, "gpt-5") == "1"
    assert prices.cost(million, "llama3.2", "local") == "0.02"
    assert prices.cost(million, "llama3.2", "azure") is None
    assert prices.cost(million, "gpt-4o") == "2.5"


def test_a_table_for_openai_itself_needs_nothing_but_the_key(read):
    (endpoint,) = read("[endpoints.openai]\nretries = 1\n", OPENAI_API_KEY="sk-1").endpoints
    assert (endpoint.base_url, endpoint.api_key, endpoint.retries) == ("https://api.openai.com/v1", "sk-1", 1)


def test_the_key_comes_from_the_variable_that_is_named(read):
    toml = '[endpoints.far]\nbase_url = "https://models.example.com/v1"\napi_key_env = "FAR_KEY"\nmodels = ["m"]\n'
    setup = read(toml, FAR_KEY="f-1")
    assert (setup.endpoints[0].api_key, setup.model) == ("f-1", "far:m")


FAR = 'base_url = "https://models.example.com/v1"\n'


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[endpoints.openai]\nretries = 1\n", ["OPENAI_API_KEY", "[endpoints.openai]"]),
        (f'[endpoints.far]\n{FAR}api_key_env = "FAR_KEY"\n', ["FAR_KEY", "[endpoints.far]", "not set"]),
        (f"[endpoints.far]\n{FAR}", ["[endpoints.far]", "api_key_env", "FAR_API_KEY"]),
        (f'[endpoints.far]\n{FAR}headers = {{ "api-key" = "${{FAR_KEY}}" }}\n', ["FAR_KEY", "not set"]),
        ('[endpoints.far]\napi_key = "x"\n', ["[endpoints.far]", "base_url", "Example"]),
        ('[endpoints.far]\nbase_url = "models.example.com"\n', ["[endpoints.far]", "base_url", "Example"]),
        (f'[endpoints.far]\n{FAR}api_key = "s3cret"\napi_key_env = "X"\n', ["api_key", "one"]),
        (f"[endpoints.far]\n{FAR}max_concurency = 3\n", ["[endpoints.far]", "max_concurency", "max_concurrency"]),
        (f"[endpoints.far]\n{FAR}max_concurrency = 0\n", ["max_concurrency", "Example: max_concurrency = 8"]),
        (f"[endpoints.far]\n{FAR}timeouts = {{ frist_token = 1 }}\n", ["[endpoints.far.timeouts]", "first_token"]),
        (f'[endpoints.far]\n{FAR}dialect = "s3cret"\n', ["[endpoints.far]", "dialect", '"chat"']),
        ("[endpoints.Far]\n", ["'Far'", "a-z"]),
        ("[endpoint.far]\n", ["dragoman.toml", "endpoint", "Did you mean endpoints?"]),
        ('[prices."m"]\ninput = 1\n', ["[prices.m]", "output"]),
        ('[prices."m"]\ninput = 0.0000001\noutput = 1\n', ["[prices.m]", "input", "decimal"]),
        ('[models]\ndefault = ["m"]\n', ["[models]", "default", "Example"]),
        ("[models\n", ["dragoman.toml", "no TOML"]),
        (
            f'[endpoints.far]\n{FAR}api_key = "k"\nmodels = ["a"]\n[models]\nfallbacks = ["b"]\n',
            ["DRAGOMAN_FALLBACKS", "'b'"],
        ),
    ],
)
def test_a_wrong_file_is_refused_with_table_key_and_example(read, toml, words):
    with pytest.raises(WrongSettings) as refusal:
        read(toml)
    assert all(word in str(refusal.value) for word in words), str(refusal.value)
    assert "s3cret" not in str(refusal.value)


def test_well_known_prices_have_a_date_and_a_source():
    prices = well_known_prices()
    assert {"gpt-5", "gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-flash"} <= set(prices)
    for name, price in prices.items():
        assert price.date, name
        assert price.source, name
        assert price.cached_input is None or price.cached_input <= price.input, name
        assert price.input >= Decimal(0), name


def test_every_key_of_the_file_is_documented():
    page = (Path(__file__).parents[2] / "docs/reference/dragoman-toml.md").read_text()
    for table in (ModelsTable, EndpointTable, TimeoutsTable, PriceTable, McpTable):
        for key in table.model_fields:
            assert f"| `{key}` |" in page, f"docs/reference/dragoman-toml.md lacks {key}"


def test_the_file_of_the_guide_works(read):
    page = (Path(__file__).parents[2] / "docs/how-to/choose-a-model.md").read_text()
    (toml,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    setup = read(toml, OPENAI_API_KEY="sk-1", OPENROUTER_API_KEY="or-1", AZURE_KEY="az-1")
    assert [endpoint.name for endpoint in setup.endpoints] == ["openai", "openrouter", "local", "azure"]
    assert place(setup, "qwen3:8b") == ("local", "qwen3:8b")
    assert setup.prices.cost(Usage(1, 5, 5, 10), "llama3.2", "local") == "0"

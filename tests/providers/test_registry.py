"""The registry of providers: names, the default, a tenant's choice; and that building it loads no SDK."""

import subprocess
import sys

import pytest

from dragoman.domain.errors import Invalid
from dragoman.domain.identity import LOCAL, Principal
from dragoman.providers.registry import ProviderRegistry, enabled


class Named:
    """A provider of which only the name matters."""

    runtime = realtime = None
    agents = {}

    def __init__(self, name):
        self.name = name


A, B = Named("a"), Named("b")


def test_the_first_enabled_provider_is_the_default():
    assert ProviderRegistry(enabled([A, B])).choose(LOCAL) == "a"
    assert ProviderRegistry(enabled([A, B], ["b", "a"])).choose(LOCAL) == "b"


def test_the_default_can_be_said():
    registry = ProviderRegistry({"a": A, "b": B}, default="b")
    assert registry.default == "b"
    assert list(registry.providers) == ["a", "b"]


def test_a_tenant_may_have_another_provider():
    tenants = {"acme": "b"}
    registry = ProviderRegistry({"a": A, "b": B}, choose=lambda principal: tenants.get(principal.tenant, "a"))
    assert registry.choose(Principal("x", "acme")) == "b"
    assert registry.choose(LOCAL) == "a"


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: ProviderRegistry({}), "At least one provider must be enabled."),
        (lambda: ProviderRegistry({"a": A}, default="b"), "The default provider 'b' is not enabled; enabled are: a."),
        (lambda: ProviderRegistry({"b": A}), "The provider 'a' is registered as 'b'."),
        (lambda: enabled([A], ["z"]), "There is no provider 'z'; there are: a."),
        (lambda: enabled([A], ["a", "a"]), "The provider 'a' is enabled twice."),
        (lambda: enabled([A, Named("a")]), "Two providers are called 'a'."),
    ],
)
def test_what_cannot_be_right_is_refused_with_a_sentence(build, sentence):
    with pytest.raises(Invalid) as refused:
        build()
    assert refused.value.detail == sentence


def test_a_choice_that_is_not_enabled_is_refused_when_it_is_made():
    registry = ProviderRegistry({"a": A}, choose=lambda _: "gone")
    with pytest.raises(Invalid, match="'gone' is not enabled"):
        registry.choose(LOCAL)


SMOKE = """
import sys
from dragoman.providers.registry import ProviderRegistry, enabled
from dragoman.domain.identity import LOCAL

class Scripted:
    name = "scripted"

assert ProviderRegistry(enabled([Scripted()])).choose(LOCAL) == "scripted"
loaded = {"fastapi", "starlette", "agents", "openai", "pydantic"} & set(sys.modules)
assert not loaded, loaded
"""


def test_the_registry_builds_without_the_sdk_and_without_the_web_framework():
    done = subprocess.run([sys.executable, "-c", SMOKE], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr

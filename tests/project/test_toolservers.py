"""MCP servers come from ``dragoman.toml``; what cannot be meant refuses the start in a sentence."""

import re
from pathlib import Path

import pytest

from dragoman.adapters.mcp.server import McpServer, Secrets
from dragoman.domain.identity import Principal
from dragoman.settings import Settings, WrongSettings
from dragoman.toolservers import read_servers

PAGE = Path(__file__).parents[2] / "docs/how-to/use-mcp-servers.md"


@pytest.fixture
def read(tmp_path, monkeypatch):
    def read(text, **environment):
        path = tmp_path / "dragoman.toml"
        path.write_text(text)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return read_servers(Settings.of(config=path))

    return read


def test_the_files_of_the_guide_work(read):
    first, second = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    files, github = read(first, GITHUB_TOKEN="secret")
    assert files == McpServer(
        "files",
        command="npx",
        args=("-y", "@modelcontextprotocol/server-filesystem", "/srv/files"),
        agents=("assistant",),
        tools=("read_*", "list_*"),
    )
    assert (github.secrets.headers, github.timeout) == ({"authorization": "Bearer secret"}, 60)
    assert github.asks("delete_repository")
    assert not github.asks("list_issues")
    assert "Bearer" not in repr(github)
    (crm,) = read(second, CRM_TOKEN="a", ACME_CRM_TOKEN="b")
    expected = Secrets(headers={"authorization": "Bearer b", "x-on-behalf-of": "tom"})
    assert crm.secrets_of(Principal("tom", "acme")) == expected
    assert crm.share(Principal("tom", "acme")) == ("acme", "tom")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[mcp.a]", ["[mcp], a", "either a command or a url"]),
        ('[mcp.a]\ncommand = "x"\nurl = "http://x"', ["either a command or a url"]),
        ('[mcp.a]\ncommand = "x"\nheaders = { a = "b" }', ["headers go with a url"]),
        ('[mcp.a]\nurl = "http://x"\nenv = { a = "b" }', ["env goes with a command"]),
        ('[mcp.a]\nurl = "ftp://x"', ["[mcp.a], url", "Example: url ="]),
        ('[mcp.a]\ncomand = "x"', ["there is no such key. Did you mean command?"]),
        ('[mcp.a__b]\ncommand = "x"', ["side by side"]),
        ('[mcp.a]\nurl = "http://x"\nheaders = { a = "${NOT_THERE}" }', ["NOT_THERE", "[mcp.a]", "not set"]),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(read, text, words):
    with pytest.raises(WrongSettings) as refused:
        read(text)
    assert all(word in str(refused.value) for word in words), refused.value


def test_without_any_nothing_of_theirs_is_loaded(read):
    assert read("") == ()

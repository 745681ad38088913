"""Which MCP servers there are, from ``dragoman.toml``."""

import re
from collections.abc import Mapping, Sequence

from dragoman.adapters.mcp.server import McpServer, Secrets
from dragoman.endpoints import FILE, McpTable, SecretsTable, read_config
from dragoman.settings import Settings, WrongSettings, environment

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def read_servers(settings: Settings) -> Sequence[McpServer]:
    """Raises ``WrongSettings`` for anything that cannot be meant."""
    file, path = read_config(settings), settings.config or FILE
    known = environment()
    return tuple(_server(name, table, str(path), known) for name, table in file.mcp.items())


def _server(name: str, table: McpTable, path: str, known: Mapping[str, str]) -> McpServer:
    approval = table.needs_approval
    return McpServer(
        name=name,
        command=table.command,
        args=table.args,
        cwd=table.cwd,
        url=table.url,
        allow_private=table.allow_private,
        secrets=_secrets(name, table, path, known),
        tenants={
            tenant: _secrets(f"{name}.tenants.{tenant}", said, path, known) for tenant, said in table.tenants.items()
        },
        per=table.per,
        agents=table.agents,
        tools=table.tools,
        needs_approval=("*",) if approval is True else () if approval is False else approval,
        timeout=table.timeout,
        connect_timeout=table.connect_timeout,
        concurrency=table.concurrency,
    )


def _secrets(where: str, table: McpTable | SecretsTable, path: str, known: Mapping[str, str]) -> Secrets:
    """With ``${NAME}`` replaced by what the environment says, so that no secret has to be in the file."""

    def variable(found: re.Match[str]) -> str:
        if value := known.get(found[1]):
            return value
        raise WrongSettings(f"{found[1]}: [mcp.{where}] in {path} needs it, and it is not set.")

    def filled(values: Mapping[str, str]) -> dict[str, str]:
        return {key: _VARIABLE.sub(variable, value) for key, value in values.items()}

    return Secrets(filled(table.headers), filled(table.env))

"""Tools of MCP servers as ours: what they are called here, and what they answer."""

import json
import re
from collections.abc import Iterator, Sequence

from mcp_types import CallToolResult, TextContent
from mcp_types import Tool as RemoteTool

LONGEST = 64
"""Characters that endpoints allow in a name."""
BETWEEN = "__"


def named(server: str, remotes: Sequence[RemoteTool]) -> Iterator[tuple[str, RemoteTool]]:
    """Each under a name that no other server's tool can have: ``server__tool``."""
    taken: set[str] = set()
    for remote in remotes:
        plain = re.sub(r"[^a-zA-Z0-9_-]", "_", f"{server}{BETWEEN}{remote.name}")[:LONGEST]
        name, number = plain, 2
        while name in taken:
            name, number = f"{plain[: LONGEST - 4]}_{number}", number + 1
        taken.add(name)
        yield name, remote


def text_of(result: CallToolResult) -> str:
    """What a model is told: the texts; what is no text is named; structured content where there is nothing else."""
    said = [part.text if isinstance(part, TextContent) else f"[{part.type}]" for part in result.content]
    if not said and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(said)

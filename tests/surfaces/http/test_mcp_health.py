"""An MCP server that is away makes a server degraded, not dead; and everybody who looks sees it."""

import subprocess
import sys
from pathlib import Path

from dragoman.adapters.mcp import McpServer, McpServers
from dragoman.domain.identity import LOCAL
from dragoman.ports.web import Unguarded
from tests.surfaces.house import eventually, house

SCRIPT = Path(__file__).parents[2] / "mcp_server.py"


async def test_readiness_and_metrics_tell_of_a_server_that_is_away(tmp_path):
    here = McpServer("here", command=sys.executable, args=("-I", "-S", str(SCRIPT), str(tmp_path)))
    servers = McpServers([here, McpServer("away", command=str(tmp_path / "nothing"))], Unguarded())
    async with house(servers=servers) as home:
        await servers.tools("ann", ("here", "away"), LOCAL)
        await eventually(lambda: servers.states()["here"].connected == 1)
        ready = await home.client.get("/readyz")
        assert ready.status_code == 200
        parts = ready.json()["parts"]
        assert parts["mcp here"] == {"ready": True, "detail": None}
        assert parts["mcp away"]["ready"]
        assert parts["mcp away"]["detail"].startswith("Not connected: it does not answer")
        metrics = (await home.client.get("/metrics")).text
        assert 'dragoman_mcp_connections{server="here",state="connected"} 1.0' in metrics
        assert 'dragoman_mcp_connections{server="away",state="waiting"} 1.0' in metrics
        assert 'dragoman_mcp_tools{server="here"} 6.0' in metrics


def test_doctor_connects_to_each(tmp_path):
    (tmp_path / "dragoman.toml").write_text(
        f'[mcp.here]\ncommand = "{sys.executable}"\nargs = ["-I", "-S", "{SCRIPT}", "{tmp_path}"]\n'
        f'[mcp.away]\ncommand = "{tmp_path}/nothing"\n'
    )
    command = [sys.executable, "-m", "dragoman", "doctor"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "ok    mcp here: answers, and has 6 tools" in done.stdout
    assert "FAIL  mcp away: it does not answer" in done.stdout

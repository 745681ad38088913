"""``dragoman approvals``: the inbox and decisions from a terminal, in the database and through a server."""

import asyncio
import json
from pathlib import Path

from tests.cli.conftest import Command
from tests.server import Client, serving

SHOP = '''
from dragoman import AgentSpec, tool

@tool(needs_approval=True)
async def refund(amount: int) -> str:
    """Give money back."""
    return f"refunded {amount}"

shop = AgentSpec(key="shop", name="Shop", instructions="Help.", tools=("refund",))
'''


async def test_calls_are_decided_from_a_terminal_and_their_runs_go_on(dragoman: Command, tmp_path: Path):
    (tmp_path / "shop.py").write_text(SHOP)

    async def say(*arguments: str, url: str):
        env = {"DRAGOMAN_URL": url} if url else {"SESSION_DB_PATH": str(tmp_path / "dragoman.db")}
        return await asyncio.to_thread(dragoman, "approvals", *arguments, **env)

    async def waiting(url: str) -> tuple[str, str]:
        run = await client.run("shop", '/call refund {"amount": 200}\n/say done', "s")
        listed = await say("list", "--json", url=url)
        (approval,) = [json.loads(line) for line in listed.stdout.splitlines()]
        assert approval["run_id"] == run["run_id"], listed.stderr
        return run["run_id"], approval["approval_id"]

    async with serving(tmp_path, DRAGOMAN_AGENTS="shop.py") as server, Client(server) as client:
        for url in ("", server.url):
            run, approval = await waiting(url)
            assert 'refund {"amount": 200}' in (await say("list", url=url)).stdout
            wrong = await say("approve", approval, "--arguments", "[1]", url=url)
            assert (wrong.returncode, "not a JSON object" in wrong.stderr) == (2, True)
            agreed = await say("approve", approval, "--arguments", '{"amount": 20}', url=url)
            assert agreed.stdout == f"{approval} is approved.\n", agreed.stderr
            assert (await client.get(f"/runs/{run}?wait=30"))[1]["status"] == "completed"
            run, approval = await waiting(url)
            refused = await say("reject", approval, "--message", "Offer a voucher.", url=url)
            assert refused.stdout == f"{approval} is rejected.\n", refused.stderr
            ended = (await client.get(f"/runs/{run}?wait=30"))[1]
            assert ended["status"] == "completed"
            again = await say("approve", approval, url=url)
            assert (again.returncode, again.stderr) == (2, f"There is no pending approval {approval!r}.\n")
            assert (await say("list", url=url)).stdout == ""
            nonsense = await say("list", "--status", "perhaps", url=url)
            assert nonsense.returncode == 2
        _, page = await client.get("/shop/session/s")
        outputs = [m["output"] for m in page["messages"] if m["type"] == "function_call_output"]
    said = "A person has refused this call, saying: Offer a voucher."
    assert outputs == ["refunded 20", said] * 2

"""Killed while a call waits for a person, and right after the person has spoken."""

import asyncio
from pathlib import Path

from tests.server import Client, serving

SHOP = """
from dragoman import AgentSpec, ToolContext, tool


def write(line):
    with open("done.txt", "a") as file:
        file.write(line + "\\n")


@tool
async def note(context: ToolContext, text: str) -> str:
    "Write it down."
    write(f"note {context.idempotency_key}")
    return "noted"


@tool(needs_approval=True)
async def refund(context: ToolContext, amount: int) -> str:
    "Give money back."
    write(f"refund {amount} {context.idempotency_key}")
    return f"refunded {amount}"


shop = AgentSpec(key="shop", name="Shop", instructions="Sell.", tools=("note", "refund"))
"""
STEPS = '/call note {"text": "a"}\n/call refund {"amount": 200}\n/say done'


async def test_killed_while_it_waits_and_right_after_a_decision_a_call_is_made_once(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(SHOP)
    async with serving(tmp_path, "shop.py") as server, asyncio.timeout(240):
        async with Client(server) as client:
            run = await client.run("shop", STEPS, "s")
            assert run["status"] == "requires_action"
            (approval,) = run["approvals"]
        await server.kill()
        await server.start()
        path = f"/runs/{run['run_id']}/approvals/{approval['approval_id']}"
        async with Client(server) as client:
            _, inbox = await client.get("/approvals?status=pending")
            assert [one["approval_id"] for one in inbox["approvals"]] == [approval["approval_id"]]
            body = {"decision": "approve", "arguments": {"amount": 20}}
            answers = await asyncio.gather(*(client.post(path, body) for _ in range(10)))
        await server.kill()
        assert sorted(status for status, _ in answers) == [200] + [409] * 9
        await server.start()
        async with Client(server) as client:
            _, ended = await client.get(f"/runs/{run['run_id']}?wait=60")
            again, _ = await client.post(path, {"decision": "reject"})
    assert (ended["status"], ended["final_output"]) == ("completed", "done")
    assert again == 409
    done = (tmp_path / "done.txt").read_text().splitlines()
    assert [line for line in done if line.startswith("note")] == [line for line in done if line.startswith("note")][:1]
    refunds = {line for line in done if line.startswith("refund")}  # one in flight is made again, under the same key
    assert len(refunds) == 1
    assert refunds.pop().startswith("refund 20 ")

"""What the tools of a world under attack have really done: a file to which they add a line as they begin and as they end."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

AGENTS = """
import asyncio
import os

from agents import Agent, function_tool
from agents.tool_context import ToolContext


def note(*words):
    with open("paid.txt", "a") as file:
        file.write(" ".join(map(str, words)) + "\\n")


async def move(ctx, amount):
    key = ctx.context.idempotency_key(ctx.tool_call_id)
    note("begin", key, os.getpid(), amount)
    await asyncio.sleep(0.1)
    note("end", key, os.getpid(), amount)


@function_tool
async def pay(ctx: ToolContext, amount: int) -> str:
    "Pay."
    await move(ctx, amount)
    return f"paid {amount}"


@function_tool(needs_approval=True)
async def refund(ctx: ToolContext, amount: int) -> str:
    "Give money back."
    await move(ctx, amount)
    return f"refunded {amount}"


clerk = Agent(name="Clerk", instructions="Pay for others.", tools=[pay])
payer = Agent(name="Payer", instructions="Pay.", tools=[pay, refund, clerk.as_tool("ask_clerk", "Ask the clerk to pay.")])
"""


@dataclass
class Ledger:
    """Read as it grows."""

    folder: Path
    begun: Counter[str] = field(default_factory=Counter)
    """How often each idempotency key was used."""
    amounts: dict[str, set[int]] = field(default_factory=dict)
    """What was moved under each key."""
    _at_work: set[tuple[str, int]] = field(default_factory=set)
    _offset: int = 0

    def look(self) -> "Ledger":
        """With all that has been written by now."""
        path = self.folder / "paid.txt"
        if path.exists():
            with path.open("rb") as file:
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
            self._offset += len(whole) + len(newline)
            for line in whole.decode().splitlines():
                self._note(*line.split())
        return self

    def in_flight(self, process: int) -> bool:
        """Whether a tool of this process is at work."""
        return any(pid == process for _, pid in self._at_work)

    def _note(self, word: str, key: str, process: str, amount: str) -> None:
        if word == "end":
            self._at_work.discard((key, int(process)))
            return
        self._at_work.add((key, int(process)))
        self.begun[key] += 1
        self.amounts.setdefault(key, set()).add(int(amount))

"""The agents of the simulation: scripts of every shape, and tools whose effects are counted."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from dragoman.domain.agents import AgentSpec
from dragoman.domain.errors import ModelUnavailable, NotFound
from dragoman.domain.items import text_of
from dragoman.domain.tools import Tool, ToolError
from dragoman.ports.runtime import Turn
from dragoman.providers.scripted import ScriptedProvider, build_scripted_provider
from dragoman.providers.scripted.script import Calls, Script, Step, call, fail, hand_off, say, stall, together
from tests.simulation.loop import CURRENT
from tests.simulation.witness import Witness

TAKES_A_KEY = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]}
TOOL_SECONDS = (0.0, 0.02, 0.5, 3.0)


@dataclass(frozen=True, slots=True)
class CountedTools:
    """``ToolRegistry``: one that works and one that fails, both seen by the witness."""

    witness: Witness
    dice: Random

    def get(self, name: str) -> Tool:
        if name not in ("pay", "fumble"):
            raise NotFound("tool", name)
        return Tool(name, "", TAKES_A_KEY, self._pay if name == "pay" else self._fumble)

    def visible_to(self, principal: Any) -> Sequence[Tool]:
        return [self.get("pay"), self.get("fumble")]

    async def _pay(self, key: str) -> str:
        self.witness.tool_begins(CURRENT.get().name, key)
        await asyncio.sleep(self.dice.choice(TOOL_SECONDS))
        return "paid"

    async def _fumble(self, key: str) -> str:
        await self._pay(key)
        raise ToolError("It slipped.")


def _pay(turn: Turn, ordinal: int, tool: str = "pay") -> Calls:
    return call(tool, {"key": f"call_{turn.run.id.removeprefix('run_')}_{ordinal}"})


def _answer(turn: Turn) -> Step:
    return say(f"To {text_of(turn.run.input[-1])}:", *(f" {n}" for n in range(8)))


def _talker(turn: Turn) -> Sequence[Step]:
    return [_answer(turn)]


def _payer(turn: Turn) -> Sequence[Step]:
    return [together(*(_pay(turn, n) for n in (1, 2, 3))), _answer(turn)]


def _chain(turn: Turn) -> Sequence[Step]:
    return [_pay(turn, 1), say("One done,", " one to go."), _pay(turn, 2), _pay(turn, 3), _answer(turn)]


def _clerk(turn: Turn) -> Sequence[Step]:
    return [_pay(turn, 1), hand_off("talker"), _pay(turn, 3), _answer(turn)]


def _clumsy(turn: Turn) -> Sequence[Step]:
    return [together(_pay(turn, 1, "fumble"), _pay(turn, 2)), _answer(turn)]


def _failing(turn: Turn) -> Sequence[Step]:
    return [say("I'll", " try."), _pay(turn, 1), fail(ModelUnavailable())]


def _slow(turn: Turn) -> Sequence[Step]:
    return [stall(4.0), _pay(turn, 1), stall(20.0), _answer(turn)]


SCRIPTS: Mapping[str, Callable[[Turn], Sequence[Step]]] = {
    "talker": _talker,
    "payer": _payer,
    "chain": _chain,
    "clerk": _clerk,
    "clumsy": _clumsy,
    "failing": _failing,
    "slow": _slow,
}


def simulated_provider(witness: Witness, dice: Random, pace: float) -> ScriptedProvider:
    def watched(script: Callable[[Turn], Sequence[Step]]) -> Script:
        def played(turn: Turn) -> Sequence[Step]:
            witness.turn_begins(turn)
            return script(turn)

        return played

    specs = [AgentSpec(key, key.title(), "Play.", tools=("pay",)) for key in SCRIPTS]
    scripts = {key: watched(script) for key, script in SCRIPTS.items()}
    return build_scripted_provider(specs, scripts=scripts, tools=CountedTools(witness, dice), seconds_per_piece=pace)

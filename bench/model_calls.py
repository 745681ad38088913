"""The model layer alone: CPU per call, per token and per item of history, ours beside the SDK's and a bare relay.

``python -m bench.model_calls`` (half a minute): a client process on one core, the fake model on another.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import uvloop
from agents import ModelSettings, ModelTracing

from bench.processes import OTHER_CORE, SERVER_CORE, serving
from bench.prompt import Answer
from dragoman.providers.openai.agents.models.chat import ChatCompletionsModel
from dragoman.providers.openai.agents.models.direct import Deaf, DirectModel, Request
from dragoman.providers.openai.agents.models.endpoint import SdkEndpointModels
from dragoman.providers.openai.agents.models.sdk import SdkModel
from dragoman.providers.openai.agents.models.transport import Wire
from dragoman.providers.openai.config import ModelEndpoint, TimeLimits

CLIENTS, ROUNDS = 8, 5
SHORT, LONG = Answer(1, 3000).order(), Answer(101, 3000).order()
HISTORIES = (0, 50, 200)

Ask = Callable[[str, list[Any]], Awaitable[Any]]


def history(items: int) -> list[Any]:
    """Questions, calls, outputs and answers, of the length people write."""
    said = {"type": "output_text", "text": "It is sunny there. " * 20, "annotations": []}
    turn: list[dict[str, Any]] = [
        {"role": "user", "content": "What is the weather like? " * 20},
        {"type": "function_call", "call_id": "call", "name": "weather", "arguments": '{"city":"Rome"}'},
        {"type": "function_call_output", "call_id": "call", "output": "sunny " * 40},
        {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [said]},
    ]
    return [dict(turn[i % 4]) for i in range(items)]


def asking(model: DirectModel) -> Ask:
    def ask(order: str, earlier: list[Any]) -> Awaitable[Any]:
        items = [*earlier, {"role": "user", "content": order}]
        settings = ModelSettings(include_usage=True)
        return model.answer(Request("Be kind.", items, settings, [], None, [], ModelTracing.DISABLED), Deaf())

    return ask


def relaying(session: aiohttp.ClientSession) -> Ask:
    async def ask(order: str, earlier: list[Any]) -> int:
        body = {"model": "bench", "stream": True, "messages": [*earlier, {"role": "user", "content": order}]}
        said = 0
        async with session.post("/v1/chat/completions", data=orjson.dumps(body)) as answer:
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    said += sum(bool(choice["delta"].get("content")) for choice in orjson.loads(line[6:])["choices"])
        return said

    return ask


async def cpu_us(ask: Ask, order: str, earlier: list[Any], times: int) -> float:
    """Of one call: the least of some rounds, for everything else on the machine only adds."""

    async def again() -> None:
        for _ in range(times):
            await ask(order, earlier)

    best = float("inf")
    for _ in range(ROUNDS):
        before = time.process_time()
        await asyncio.gather(*(again() for _ in range(CLIENTS)))
        best = min(best, time.process_time() - before)
    return best / times / CLIENTS * 1e6


async def measure(url: str) -> None:
    limits = TimeLimits()
    endpoint = ModelEndpoint(f"{url}/v1", "bench", "chat")
    wire, stock = Wire(endpoint, limits), SdkEndpointModels(endpoint, limits=limits)
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as session:
        contenders = {
            "relay": relaying(session),
            "ours": asking(ChatCompletionsModel("bench", wire)),
            "stock": asking(SdkModel(stock.get_model("bench"), silence=limits.silence)),
        }
        print(f"{'CPU, us':<10}{'per token':>12}" + "".join(f"{f'call, {n} items':>18}" for n in HISTORIES))
        for name, ask in contenders.items():
            calls = [await cpu_us(ask, SHORT, history(items), 10) for items in HISTORIES]
            token = (await cpu_us(ask, LONG, [], 1) - calls[0]) / 100
            print(f"{name:<10}{token:>12.1f}" + "".join(f"{call:>18.0f}" for call in calls))
    await wire.aclose()
    await stock.aclose()


if __name__ == "__main__":
    fake = [sys.executable, "-m", "bench.fake_model", "{port}"]
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        serving("fake_model", fake, core=OTHER_CORE, folder=Path(folder), environment={}) as model,
    ):
        os.sched_setaffinity(0, {SERVER_CORE})
        uvloop.run(measure(f"http://127.0.0.1:{model.port}"))

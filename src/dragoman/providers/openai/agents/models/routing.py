"""A model that is asked along a route: at its endpoint, again where that is safe, then at the next.

It is safe as long as nobody has heard a word of the answer; and where tools work at the endpoint itself, as long as the
endpoint cannot have begun. Every request is accounted for, the ones that gave no answer as well: an endpoint may charge for
what it had begun, and what it counted is then unknown, so their tokens are estimated from what went each way.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

import aiohttp
import httpx2
import openai
from agents import FunctionTool
from agents.models.default_models import get_default_model_settings
from openai.types.responses import Response

from dragoman.domain.endpoints import EndpointStats
from dragoman.domain.errors import DragomanError, ModelBroken, ModelRateLimited, ModelUnavailable
from dragoman.domain.events import DeltaKind
from dragoman.domain.prices import Prices
from dragoman.domain.usage import CallStatus, Try, Usage
from dragoman.providers.openai.agents import translate
from dragoman.providers.openai.agents.models.breaker import FAILURES, Breaker
from dragoman.providers.openai.agents.models.direct import DirectModel, Listener, Request
from dragoman.providers.openai.agents.models.gate import Gate
from dragoman.providers.openai.agents.models.output import BYTES_PER_TOKEN, estimated_usage, is_estimate
from dragoman.providers.openai.errors import OutOfQuota, model_failure

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 8.0
PATIENCE = 60.0
"""An endpoint that wants to be left alone for longer than this, in seconds, is not asked again; nor waited for in its queue."""
LONG_ANSWER = 4096
"""Tokens of an answer, reasoning included, that nobody has limited: as many are reserved from a budget."""
SHORT = 1.0
"""Where another endpoint can answer, nobody waits longer than this for one that limits us."""


@dataclass(frozen=True, slots=True)
class Time:
    """Of the passing kind. Tests pass their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Endpoint:
    """How busy and how well one endpoint is, shared by all that is asked of it."""

    def __init__(
        self,
        name: str = "",
        *,
        retries: int = 0,
        max_concurrency: int | None = None,
        failures: int | None = FAILURES,
        time: Time | None = None,
    ) -> None:
        self.name = name
        self.retries = retries
        self.time = time or Time()
        self.gate = Gate(max_concurrency)
        self.breaker = Breaker(failures=failures, now=self.time.now)
        self._requests: dict[str, int] = {}
        self._seconds = 0.0
        self._input_tokens = 0
        self._output_tokens = 0

    def note(self, outcome: str, seconds: float, usage: Usage) -> None:
        self._requests[outcome] = self._requests.get(outcome, 0) + 1
        self._seconds += seconds
        self._input_tokens += usage.input_tokens
        self._output_tokens += usage.output_tokens

    @property
    def stats(self) -> EndpointStats:
        return EndpointStats(
            requests=dict(self._requests),
            seconds=self._seconds,
            input_tokens=self._input_tokens,
            output_tokens=self._output_tokens,
            active=self.gate.active,
            waiting=self.gate.waiting,
            circuit=self.breaker.state,
        )


@dataclass(frozen=True, slots=True)
class Target:
    """One model at one endpoint."""

    endpoint: Endpoint
    model: str
    asked: DirectModel


@dataclass(frozen=True, slots=True)
class Routed:
    """An answer, where it came from, and what it used."""

    response: Response
    endpoint: str
    model: str
    usage: Usage
    estimated: bool
    latency_ms: int


Pay = Callable[[Decimal | None], Awaitable[None]]
"""Reserve what a request may cost; it is not made if this raises."""


@dataclass(slots=True)
class Witness:
    """Learns of a call what its answer alone does not tell, even if there is none."""

    tenant: str = ""  # whose call it is
    spoken: frozenset[str] = frozenset()  # endpoints whose items are in the input
    tries: list[Try] = field(default_factory=list)  # those that gave no answer
    pay: Pay | None = None  # None: nobody counts what it costs


class RoutedModel(DirectModel):
    """The targets are asked in their order. The first gives the model its name."""

    def __init__(self, targets: Sequence[Target], prices: Prices | None = None) -> None:
        self.model = targets[0].model
        self.targets = tuple(targets)
        self._prices = prices or Prices()

    async def answer(self, request: Request, listener: Listener) -> Response:
        return (await self.ask(request, listener, Witness())).response

    async def ask(self, request: Request, listener: Listener, witness: Witness) -> Routed:
        for target in self.targets:
            last = target is self.targets[-1]
            call = _Call(target, self._fitting(request, target, witness), listener, witness, self._prices, last)
            try:
                return await call.answered()
            except DragomanError as error:
                if last or not call.may_go_elsewhere(error):
                    raise
                logger.warning("%s at %s gave no answer (%s)", target.model, target.endpoint.name, error.code)
        raise AssertionError("a route has a target")

    def _fitting(self, request: Request, target: Target, witness: Witness) -> Request:
        """As this target understands it: without what only another endpoint or another model knows."""
        if witness.spoken - {target.endpoint.name} and isinstance(request.input, list):
            request = replace(request, input=translate.model_input(request.input, ()))  # type: ignore[arg-type]
        if target.model == self.model:
            return request
        settings = request.model_settings
        ours, theirs = get_default_model_settings(self.model), get_default_model_settings(target.model)
        if (settings.reasoning, settings.verbosity) != (ours.reasoning, ours.verbosity):
            return request  # the agent's own choice
        settings = replace(settings, reasoning=theirs.reasoning, verbosity=theirs.verbosity)
        return replace(request, model_settings=settings)


@dataclass(slots=True)
class _Call:
    """One model call at one target."""

    target: Target
    request: Request
    listener: Listener
    witness: Witness
    prices: Prices
    last: bool  # there is nobody else to ask
    _heard: "_Ear" = field(init=False)
    _may_have_begun: bool = False

    async def answered(self) -> Routed:
        endpoint = self.target.endpoint
        for tried in range(endpoint.retries + 1):
            try:
                return await self._in_turn()
            except DragomanError as error:
                pause = self._pause(tried, error)
                if pause is None:
                    raise
            await endpoint.time.sleep(pause)
        raise AssertionError("the last try answers or raises")

    def may_go_elsewhere(self, error: DragomanError) -> bool:
        if self.request.conversation_id or self.request.previous_response_id:
            return False  # what was said before is known at this endpoint only
        return self._unheard and isinstance(error, ModelRateLimited | ModelUnavailable | ModelBroken | OutOfQuota)

    @property
    def _unheard(self) -> bool:
        """Nobody has noticed anything yet, and nothing can have happened."""
        return not self._heard.begun and not (self._may_have_begun and _leaves_traces(self.request))

    def _pause(self, tried: int, error: DragomanError) -> float | None:
        """How long to wait before asking here again; ``None``: not at all."""
        if tried == self.target.endpoint.retries or not self._unheard or self.target.endpoint.breaker.rest:
            return None
        if not isinstance(error, ModelRateLimited | ModelUnavailable):
            return None
        if not self.last and self._may_have_begun:  # it was slow; the next one may be quicker
            return None
        if error.retry_after is None:
            # Twice as long each time, spread out so that many do not come back at once.
            return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**tried) * random.uniform(0.75, 1.0)  # noqa: S311
        return error.retry_after if error.retry_after <= (PATIENCE if self.last else SHORT) else None

    async def _in_turn(self) -> Routed:
        endpoint = self.target.endpoint
        self._heard = _Ear(self.listener)
        self._may_have_begun = False
        if endpoint.breaker.rest:
            raise self._left_alone("circuit_open", endpoint.breaker.rest)
        if self.witness.pay is not None:
            await self.witness.pay(self._highest_cost())
        try:
            async with asyncio.timeout(PATIENCE) as queueing, endpoint.gate.place(self.witness.tenant):
                queueing.reschedule(None)
                if not endpoint.breaker.enter():
                    raise self._left_alone("circuit_open", endpoint.breaker.rest)
                return await self._once()
        except TimeoutError:
            raise self._left_alone("queue_full", None) from None

    def _highest_cost(self) -> Decimal | None:
        """What it may cost if the answer is as long as it may be."""
        price = self.prices.find(self.target.model, self.target.endpoint.name)
        if price is None:
            return None
        sent = -(-_size(self.request) // BYTES_PER_TOKEN)
        return price.of(Usage(1, sent, self.request.model_settings.max_tokens or LONG_ANSWER))

    def _left_alone(self, code: str, rest: float | None) -> ModelUnavailable:
        """Not asked at all, which is worth a note and costs nothing."""
        usage = Usage(models=(self.target.model,))
        self.witness.tries.append(Try(self.target.endpoint.name, self.target.model, "failed", code, usage, 0))
        return ModelUnavailable(retry_after=rest)

    async def _once(self) -> Routed:
        endpoint, begun = self.target.endpoint, self.target.endpoint.time.now()
        try:
            response = await self.target.asked.answer(self.request, self._heard)
        except asyncio.CancelledError:
            endpoint.breaker.left()
            self._may_have_begun = True
            self._account("cancelled", None, begun)
            raise
        except Exception as error:
            failure = self._understood(error)
            self._may_have_begun = self._heard.begun or _may_have_begun(failure)
            if isinstance(failure, ModelUnavailable):
                endpoint.breaker.failed()
            elif isinstance(failure, ModelRateLimited):
                endpoint.breaker.left()
            else:
                endpoint.breaker.succeeded()
            self._account("failed", failure.code, begun)
            raise failure from failure.__cause__
        endpoint.breaker.succeeded()
        return self._routed(response, begun)

    def _understood(self, error: Exception) -> DragomanError:
        failure = model_failure(error, begun=self._heard.begun)
        if failure is None:
            logger.error("the model %s failed in an unexpected way", self.target.model, exc_info=error)
            failure = ModelBroken()
        if failure is not error:
            failure.__cause__ = error
        return failure

    def _routed(self, response: Response, begun: float) -> Routed:
        target = self.target
        usage = self._priced(translate.usage(response.usage, target.model))
        took = target.endpoint.time.now() - begun
        target.endpoint.note("answered", took, usage)
        estimated = is_estimate(response.usage)
        return Routed(response, target.endpoint.name, target.model, usage, estimated, round(took * 1000))

    def _account(self, status: CallStatus, code: str | None, begun: float) -> None:
        """A request that gave no answer. Where the endpoint cannot have begun, it used nothing."""
        target, estimated = self.target, self._may_have_begun
        guess = estimated_usage(_size(self.request), self._heard.size) if estimated else None
        usage = self._priced(replace(translate.usage(guess, target.model), requests=1))
        took = target.endpoint.time.now() - begun
        target.endpoint.note(code or status, took, usage)
        tried = Try(target.endpoint.name, target.model, status, code, usage, round(took * 1000), estimated)
        self.witness.tries.append(tried)

    def _priced(self, usage: Usage) -> Usage:
        cost = self.prices.cost(usage, self.target.model, self.target.endpoint.name)
        return replace(usage, cost=cost)


class _Ear:
    """Passes everything on, and notices how much there was."""

    __slots__ = ("_listener", "begun", "size")

    def __init__(self, listener: Listener) -> None:
        self.begun = False
        self.size = 0
        self._listener = listener

    def begin_call(self, output: int, call_id: str, tool: str) -> None:
        self.begun = True
        self._listener.begin_call(output, call_id, tool)

    def say(self, kind: DeltaKind, text: str, output: int) -> None:
        self.begun = True
        self.size += len(text)
        self._listener.say(kind, text, output)


_NOT_REACHED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
)


def _may_have_begun(failure: DragomanError) -> bool:
    """Whether an endpoint that failed may have worked on the request: it took it, and then said nothing that makes sense."""
    if isinstance(failure, ModelBroken):
        return True
    if not isinstance(failure, ModelUnavailable):
        return False
    cause: BaseException | None = failure.__cause__
    if cause is None or isinstance(cause, openai.APIStatusError):
        return False  # it said so itself
    while cause is not None:
        if isinstance(cause, _NOT_REACHED):
            return False
        cause = cause.__cause__
    return True


def _leaves_traces(request: Request) -> bool:
    """Whether an answer that never arrived may still have done something at the endpoint: called a tool that works there,
    or grown a conversation that is kept there."""
    kept_there = request.conversation_id is not None
    return kept_there or any(not isinstance(tool, FunctionTool) for tool in request.tools)


def _size(request: Request) -> int:
    """About as many characters as were sent."""
    schemas = (str(tool.params_json_schema) for tool in request.tools if isinstance(tool, FunctionTool))
    return len(request.system_instructions or "") + len(str(request.input)) + sum(map(len, schemas))

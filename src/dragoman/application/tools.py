"""Which tools there are, and how they are used: within their limits, and so that whatever happens ends in something that a
model can read."""

import asyncio
import contextlib
import contextvars
import dataclasses
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, TypeVar

from dragoman.application.catalog import Catalog
from dragoman.domain.agents import ToolCard, card_of
from dragoman.domain.approvals import ApprovalStatus
from dragoman.domain.errors import NotFound
from dragoman.domain.events import ApprovalDecided, ApprovalRequested, Progress
from dragoman.domain.identity import Principal, Scope
from dragoman.domain.ids import approval_id
from dragoman.domain.text import storable, storable_json
from dragoman.domain.tools import Report, Tool, ToolContext, ToolError, cut
from dragoman.ports.runtime import Recorder, Turn
from dragoman.ports.tools import ToolRegistry

logger = logging.getLogger(__name__)

T = TypeVar("T")

THREADS = 64
"""How many calls of one blocking tool may be at work in a process, if the tool does not say."""
MANY = 1_000_000

NOT_JSON = "The arguments are not a JSON object. Correct them and call {tool} again."
BUSY = "{tool} is busy with other calls. Try again later."
TOO_SLOW = "{tool} did not finish within {seconds:g} seconds. Whether it took effect is unknown."
REFUSED = "A person has refused this call. It was not made."
REFUSED_SAYING = "A person has refused this call, saying: {message}"
NOBODY_AGREED = "Nobody agreed to this call in time. It was not made."
FAILED = "{tool} failed. Trying again may help, else go on without it."


@dataclass(frozen=True, slots=True)
class ToolLimits:
    timeout: float = 120.0  # seconds that a call may take, unless its tool says
    output: int = 100_000  # characters of a result that are kept
    approval: float | None = 7 * 86_400.0  # seconds after which an approval expires, unless its tool says
    guarded: tuple[str, ...] = ()  # patterns of tools that a person must agree to, whatever they say themselves


@dataclass(frozen=True, slots=True)
class ListedTool:
    card: ToolCard
    agents: tuple[str, ...]  # keys of those that use it
    tool: Tool | None  # None: it is its agents' own


@dataclass(frozen=True, slots=True)
class Tools:
    registry: ToolRegistry
    catalog: Catalog
    limits: ToolLimits

    def list(self, principal: Principal) -> Sequence[ListedTool]:
        """The tools that this principal's agents may use, by name: those of the registry, and what agents have brought."""
        used: dict[str, list[str]] = {}
        brought: dict[str, ToolCard] = {}
        for agent in self.catalog.list(principal):
            for card in agent.tools:
                used.setdefault(card.name, []).append(agent.key)
                brought.setdefault(card.name, card)
        ours = {tool.name: tool for tool in self.registry.visible_to(principal)}
        hidden = {name for name in brought if name not in ours and self._registered(name)}
        return [
            ListedTool(
                card_of(ours[name]) if name in ours else brought[name], tuple(used.get(name, ())), ours.get(name)
            )
            for name in sorted({*ours, *brought} - hidden)
        ]

    def _registered(self, name: str) -> bool:
        try:
            self.registry.get(name)
        except NotFound:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool by an agent, in a run that is being played."""

    id: str
    tool: Tool
    arguments: str  # JSON, as the model wrote it
    agent: str
    turn: Turn
    recorder: Recorder
    path: str = ""  # of the agent


@dataclass(frozen=True, slots=True)
class Asking:
    """A call that may have to wait for a person."""

    call_id: str
    name: str  # of the tool
    arguments: Mapping[str, Any]
    agent: str
    turn: Turn
    recorder: Recorder
    path: str = ""
    tool: Tool | None = None  # None: it is none of ours
    wanted: bool = False  # whether it must wait whatever the tool says


@dataclass(frozen=True, slots=True)
class Result:
    output: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Workbench:
    limits: ToolLimits = field(default_factory=ToolLimits)
    _slots: dict[str, asyncio.Semaphore] = field(default_factory=dict)  # by tool

    async def use(self, call: Call) -> Result:
        """Make a call. It raises nothing but a cancellation: a failure is a result, too."""
        over = threading.Event()
        try:
            return Result(self._written(await self._work(call, _context(call, over))))
        except ToolError as error:
            return Result(self._kept(str(error)), failed=True)
        except (Exception, SystemExit):
            logger.exception("the tool %s failed", call.tool.name)
            return Result(FAILED.format(tool=call.tool.name), failed=True)
        finally:
            over.set()

    async def must_wait(self, asking: Asking) -> bool:
        """Whether a call waits for a person, who has been asked when this returns. Not if it has been made, or decided."""
        journal = asking.turn.journal
        if journal.output(asking.call_id) or asking.call_id in journal.decisions:
            return False
        if asking.call_id in journal.requested:
            return True
        need = asking.wanted or self.guards(asking.name) or _need(asking)
        if not need:
            return False
        await asking.recorder.record(self._request(asking, need))
        return True

    def guards(self, name: str) -> bool:
        """Whether the operator wants a person to agree to every call of this tool."""
        return any(fnmatchcase(name, pattern) for pattern in self.limits.guarded)

    def _request(self, asking: Asking, need: bool | Scope) -> ApprovalRequested:
        tool = asking.tool
        seconds = (tool and tool.approval_timeout) or self.limits.approval
        now = datetime.now(UTC)
        return ApprovalRequested(
            approval_id=approval_id(),
            call_id=asking.call_id,
            tool=asking.name,
            arguments=storable_json(dict(asking.arguments)),
            agent=asking.agent,
            path=asking.path,
            scope=(tool.approvers if tool else None) if need is True else need or None,
            expires_at=(now + timedelta(seconds=seconds)).isoformat() if seconds else None,
            at=now.isoformat(),
        )

    async def _work(self, call: Call, context: ToolContext) -> Any:
        tool, seconds = call.tool, call.tool.timeout or self.limits.timeout
        arguments = tool.arguments(read_arguments(tool.name, call.arguments))
        work = partial(tool.call, *((context,) if tool.takes_context else ()), **arguments)
        slot = await self._slot(tool, seconds)
        if tool.blocking:
            working = in_thread(work, then=slot.release)
            return await _within(seconds, tool, lambda: working)
        try:
            return await _within(seconds, tool, work)
        finally:
            slot.release()

    async def _slot(self, tool: Tool, seconds: float) -> asyncio.Semaphore:
        """A place to work, which a thread keeps until it really ends."""
        slot = self._slots.get(tool.name)
        if slot is None:
            places = tool.concurrency or (THREADS if tool.blocking else MANY)
            slot = self._slots[tool.name] = asyncio.Semaphore(places)
        try:
            async with asyncio.timeout(seconds):
                await slot.acquire()
        except TimeoutError:
            raise ToolError(BUSY.format(tool=tool.name)) from None
        return slot

    def _written(self, value: Any) -> str:
        """A result as text: JSON, unless it is text already."""
        if value is None:
            return "Done."
        return self._kept(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=_plain))

    def _kept(self, text: str) -> str:
        return storable(cut(text, self.limits.output))


def _need(asking: Asking) -> bool | Scope:
    """What a tool of ours says of its arguments. Those that do not fit need nobody's word: the call fails."""
    if asking.tool is None or not callable(rule := asking.tool.needs_approval):
        return asking.tool is not None and bool(asking.tool.needs_approval)
    try:
        return rule(asking.tool.arguments(asking.arguments))
    except ToolError:
        return False
    except Exception:
        logger.exception("the approval rule of the tool %s failed", asking.name)
        return True


def refusal(decided: ApprovalDecided) -> Result | None:
    """What the model is told when a person has not agreed to a call."""
    match decided.decision:
        case ApprovalStatus.APPROVED:
            return None
        case ApprovalStatus.EXPIRED:
            return Result(NOBODY_AGREED, failed=True)
    return Result(REFUSED_SAYING.format(message=decided.message) if decided.message else REFUSED, failed=True)


async def _within(seconds: float, tool: Tool, work: Callable[[], Any]) -> Any:
    try:
        async with asyncio.timeout(seconds) as limit:
            working = work()
            return await working if hasattr(working, "__await__") else working
    except TimeoutError:
        if limit.expired():
            raise ToolError(TOO_SLOW.format(tool=tool.name, seconds=seconds)) from None
        raise


def _context(call: Call, over: threading.Event) -> ToolContext:
    turn = call.turn
    return ToolContext(
        run_id=turn.run.id,
        call_id=call.id,
        agent=call.agent,
        principal=turn.principal,
        conversation_id=turn.run.conversation_id,
        session_id=turn.run.session_id,
        context=turn.run.context,
        _report=_reporting(call),
        _over=over,
    )


def _reporting(call: Call) -> Report:
    loop, here = asyncio.get_running_loop(), threading.get_ident()

    def report(message: str, done: int | None, total: int | None) -> None:
        progress = Progress(call.tool.name, storable(str(message)), done, total, call.path)
        if threading.get_ident() == here:
            call.recorder.show(progress)
        else:
            with contextlib.suppress(RuntimeError):  # the server is gone
                loop.call_soon_threadsafe(call.recorder.show, progress)

    return report


def read_arguments(tool: str, text: str) -> dict[str, Any]:
    """What a model wrote, as the object it should be."""
    try:
        given = json.loads(text or "{}")
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise ToolError(NOT_JSON.format(tool=tool))
    return given


def in_thread(work: Callable[[], T], *, then: Callable[[], None]) -> "asyncio.Future[T]":
    """Work that blocks, in a thread of its own that keeps no process alive. ``then`` is called when it has really ended,
    also when nobody waits for it any more."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: T | None, error: BaseException | None) -> None:
        then()
        if ended.done():
            return
        if error is None:
            ended.set_result(result)  # type: ignore[arg-type]
        else:
            ended.set_exception(RuntimeError("it stopped") if isinstance(error, StopIteration) else error)

    def run() -> None:
        result, failure = None, None
        try:
            result = context.run(work)
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is gone, and with it whoever waited
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="tool", daemon=True).start()
    return ended


def _plain(value: Any) -> Any:
    """What JSON does not know."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, set | frozenset):
        return list(value)
    return str(value)

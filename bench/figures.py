"""From what was measured to what is said: medians over rounds, ratios, one table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles


@dataclass(frozen=True, slots=True)
class Measured:
    """One contender in one round."""

    runs_per_second: float
    server_busy: float  # share of its core while it was under load
    cpu_per_run_ms: float
    cpu_per_token_us: float
    first_token_ms: Sequence[float]
    bytes_per_token: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One contender over all rounds: medians; percentiles of the first tokens of all rounds together."""

    runs_per_second: float
    server_busy: float
    cpu_per_run_ms: float
    cpu_per_token_us: float
    first_token_p50_ms: float
    first_token_p99_ms: float
    bytes_per_token: float


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: what to show, and whether more is better (for the ratio; ``None``: no ratio)."""

    title: str
    value: Callable[[Figures], float]
    format: str
    more_is_better: bool | None = False


ROWS = (
    Row("runs per second", lambda f: f.runs_per_second, "{:.0f}", more_is_better=True),
    Row("  server's core busy", lambda f: f.server_busy, "{:.0%}", more_is_better=None),
    Row("CPU per run, ms", lambda f: f.cpu_per_run_ms, "{:.2f}"),
    Row("CPU per streamed token, us", lambda f: f.cpu_per_token_us, "{:.0f}"),
    Row("first token added, p50 ms", lambda f: f.first_token_p50_ms, "{:.1f}"),
    Row("first token added, p99 ms", lambda f: f.first_token_p99_ms, "{:.1f}"),
    Row("bytes per token", lambda f: f.bytes_per_token, "{:.0f}", more_is_better=None),
)


def figures(rounds: Sequence[Measured]) -> Figures:
    def middle(value: Callable[[Measured], float]) -> float:
        return median(value(measured) for measured in rounds)

    first_tokens = [ms for measured in rounds for ms in measured.first_token_ms]
    return Figures(
        runs_per_second=middle(lambda m: m.runs_per_second),
        server_busy=middle(lambda m: m.server_busy),
        cpu_per_run_ms=middle(lambda m: m.cpu_per_run_ms),
        cpu_per_token_us=middle(lambda m: m.cpu_per_token_us),
        first_token_p50_ms=median(first_tokens),
        first_token_p99_ms=quantiles(first_tokens, n=100, method="inclusive")[98],
        bytes_per_token=middle(lambda m: m.bytes_per_token),
    )


def ratio(row: Row, ours: Figures, theirs: Figures) -> float | None:
    """How many times better than the other; below one is worse."""
    if row.more_is_better is None:
        return None
    better, worse = (ours, theirs) if row.more_is_better else (theirs, ours)
    return row.value(better) / row.value(worse) if row.value(worse) > 0 else None


def table(by_name: Mapping[str, Figures], reference: str) -> str:
    """Every contender in a column; behind each figure, how many times better than the reference."""
    names = list(by_name)
    lines = [" " * 30 + "".join(f"{name:>20}" for name in names)]
    for row in ROWS:
        cells = [f"{_cell(row, by_name[name], by_name[reference], name == reference):>20}" for name in names]
        lines.append(f"{row.title:<30}" + "".join(cells))
    return "\n".join(lines)


def _cell(row: Row, ours: Figures, reference: Figures, is_reference: bool) -> str:
    shown = row.format.format(row.value(ours))
    better = None if is_reference else ratio(row, ours, reference)
    return f"{shown}         " if better is None else f"{shown}  ({better:5.1f}x)"


@dataclass(frozen=True, slots=True)
class Durability:
    """What it costs that a run is stored: medians over rounds, each of which had both."""

    stored_ms: float
    in_memory_ms: float
    ratio: float

    @property
    def cost_ms(self) -> float:
        return self.stored_ms - self.in_memory_ms

    def __str__(self) -> str:
        return (
            f"Durability: {self.cost_ms:.2f} ms of CPU per run, {self.stored_ms:.2f} on SQLite against "
            f"{self.in_memory_ms:.2f} in memory ({self.ratio:.2f}x)."
        )


def durability(stored: Sequence[Measured], in_memory: Sequence[Measured]) -> Durability:
    rounds = [(one.cpu_per_run_ms, other.cpu_per_run_ms) for one, other in zip(stored, in_memory, strict=True)]
    return Durability(
        stored_ms=median(one for one, _ in rounds),
        in_memory_ms=median(other for _, other in rounds),
        ratio=median(one / other for one, other in rounds),
    )

"""``make bench``: measure every contender in interleaved rounds, print one table, keep the numbers as JSON."""

import argparse
import contextlib
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench.contenders import CONTENDERS, Contender
from bench.figures import Figures, Measured, durability, figures, table
from bench.measure import FULL, QUICK, SMOKE, Plan, Sitting
from bench.processes import OTHER_CORE, SERVER_CORE, serving

RESULTS = Path(__file__).parent / "results"
REFERENCE = "baseline"


@contextlib.contextmanager
def sittings(plan: Plan, folder: Path) -> Iterator[list[Sitting]]:
    """The fake model and every contender, up and warm."""
    fake = [sys.executable, "-m", "bench.fake_model", "{port}"]
    with contextlib.ExitStack() as stack:
        model = stack.enter_context(serving("fake_model", fake, core=OTHER_CORE, folder=folder, environment={}))
        sitting = []
        for contender in CONTENDERS:
            environment = _environment(contender, model.port, folder)
            server = stack.enter_context(
                serving(contender.name, contender.command, core=SERVER_CORE, folder=folder, environment=environment)
            )
            sitting.append(Sitting(plan, contender, server))
        for each in sitting:
            each.warm_up()
        yield sitting


def _environment(contender: Contender, model_port: int, folder: Path) -> Mapping[str, str]:
    return {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1",
        "OPENAI_API_KEY": "bench",
        "AI_MODEL": "bench",
        "DATABASE_URL": "",  # not the operator's own
        "SESSION_DB_PATH": str(folder / f"{contender.name}.db"),
        "LOG_LEVEL": "WARNING",
        **contender.environment,
    }


def interleaved(plan: Plan, sitting: Sequence[Sitting]) -> Mapping[str, Sequence[Measured]]:
    """Round after round, each contender once, beginning with another each time."""
    measured: dict[str, list[Measured]] = {each.contender.name: [] for each in sitting}
    for number in range(plan.rounds):
        first = number % len(sitting)
        for each in [*sitting[first:], *sitting[:first]]:
            measured[each.contender.name].append(each.measure())
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return measured


def report(
    plan: Plan, measured: Mapping[str, Sequence[Measured]], by_name: Mapping[str, Figures], load_before: float
) -> str:
    about = [f"  {contender.name:<12} {contender.what}" for contender in CONTENDERS]
    how = (
        f"{plan.rounds} interleaved rounds, medians; in brackets: how many times better than the {REFERENCE}.\n"
        f"Server on core {SERVER_CORE}, fake model and clients on core {OTHER_CORE}; Python {platform.python_version()}.\n"
        f"Load average before the start: {load_before:.1f}"
        + (", so others were at work: repeat it." if load_before > 0.5 else ".")
    )
    stored = str(durability(measured["dragoman"], measured["in memory"]))
    return "\n".join(["", *about, "", table(by_name, REFERENCE), "", stored, "", how])


def save(
    plan: Plan, measured: Mapping[str, Sequence[Measured]], by_name: Mapping[str, Figures], load_before: float
) -> Path:
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"{now:%Y%m%d-%H%M%S}.json"
    content = {
        "at": now.isoformat(),
        "python": platform.python_version(),
        "machine": platform.platform(),
        "load_before": load_before,
        "plan": asdict(plan),
        "figures": {name: asdict(each) for name, each in by_name.items()},
        "rounds": {name: [asdict(each) for each in rounds] for name, rounds in measured.items()},
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", dest="plan", const=QUICK, help="one short round, about a minute")
    size.add_argument(
        "--smoke", action="store_const", dest="plan", const=SMOKE, help="a few runs: does it work at all?"
    )
    plan = parser.parse_args().plan or FULL
    load_before = os.getloadavg()[0]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no server is left behind
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, sittings(plan, Path(folder)) as sitting:
        measured = interleaved(plan, sitting)
    by_name = {name: figures(rounds) for name, rounds in measured.items()}
    print(report(plan, measured, by_name, load_before))
    if plan is not SMOKE:
        print(f"Every number: {save(plan, measured, by_name, load_before).relative_to(RESULTS.parent.parent)}")


if __name__ == "__main__":
    main()

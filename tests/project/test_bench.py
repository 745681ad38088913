"""The instrument works: every contender is started, answers a few runs to their end, and is measured. No figure is judged."""

import subprocess
import sys
from pathlib import Path

from bench.contenders import CONTENDERS
from bench.figures import ROWS, Measured, durability, figures, ratio
from bench.load import bytes_per_token, unchunked
from bench.prompt import Answer, first_token, model_delay_us

ROOT = Path(__file__).parents[2]


def measured(**changes):
    usual = {
        "runs_per_second": 100.0,
        "server_busy": 1.0,
        "cpu_per_run_ms": 10.0,
        "cpu_per_token_us": 300.0,
        "first_token_ms": [5.0, 6.0],
        "bytes_per_token": 43.0,
    }
    return Measured(**{**usual, **changes})


def test_every_contender_is_measured():
    command = [sys.executable, "-m", "bench", "--smoke"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as bench:
        try:
            said, complaints = bench.communicate(timeout=110)
        finally:
            bench.terminate()  # not killed: it has servers to end
    assert bench.returncode == 0, complaints
    assert all(contender.name in said for contender in CONTENDERS)
    assert all(row.title in said for row in ROWS)
    assert "\nDurability: " in said


def test_figures_are_medians_over_rounds():
    rounds = [measured(cpu_per_run_ms=ms) for ms in (9.0, 10.0, 100.0)]
    assert figures(rounds).cpu_per_run_ms == 10.0


def test_what_storing_costs_is_the_difference_between_turns_of_one_round():
    stored = [measured(cpu_per_run_ms=ms) for ms in (4.0, 4.0, 9.0)]
    in_memory = [measured(cpu_per_run_ms=ms) for ms in (2.0, 2.5, 6.0)]  # in the last, others were at work
    found = durability(stored, in_memory)
    assert (found.cost_ms, found.ratio) == (1.5, 1.6)


def test_first_tokens_of_all_rounds_are_judged_together():
    rounds = [measured(first_token_ms=[1.0] * 99), measured(first_token_ms=[101.0])]
    assert figures(rounds).first_token_p50_ms == 1.0
    assert 1.0 < figures(rounds).first_token_p99_ms < 101.0


def test_a_ratio_says_how_many_times_better_whichever_way_better_is():
    rows = {row.title: row for row in ROWS}
    ours = figures([measured(runs_per_second=400.0, cpu_per_run_ms=2.5)])
    theirs = figures([measured()])
    assert ratio(rows["runs per second"], ours, theirs) == 4.0
    assert ratio(rows["CPU per run, ms"], ours, theirs) == 4.0


def test_the_newest_order_in_a_history_counts():
    history = f"{Answer(20, 2000).order()} … {Answer(40, 10).order()}".encode()
    assert Answer.ordered_in(history) == Answer(40, 10)
    assert Answer.ordered_in(b"Hello") is None


def test_the_first_token_says_how_long_the_model_took():
    assert model_delay_us(b'{"delta":"' + first_token(2013).encode() + b'"}') == 2013
    assert model_delay_us(b'{"type":"run_started"}') is None


def test_only_frames_with_tokens_count_as_bytes_per_token():
    (contender,) = (each for each in CONTENDERS if each.name == "relay")
    frame = b'id: 1\ndata: {"event_type":"response.output_text.delta","delta":"a"}'
    body = frame + b"\n\n" + frame + b"\n\n" + b'data: {"status":"completed"}\n\n'
    chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    assert unchunked(chunked) == body
    assert bytes_per_token(chunked, contender, tokens=2) == len(frame) + 2

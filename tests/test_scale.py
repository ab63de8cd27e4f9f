"""Ten thousand runs: planned, resumed and reported in a minute and a gigabyte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from simulated_grid import resume, write_grid

from textgym.benchmarks.comparison import read_results
from textgym.benchmarks.report import build_report
from textgym.benchmarks.suites import get_suite

SCRIPT = Path(__file__).with_name("simulated_grid.py")


def test_a_simulated_grid_is_resumed_and_reported_like_any_other(tmp_path: Path) -> None:
    core = get_suite("core")
    specs = write_grid(core, tmp_path, seeds=3)
    assert resume(core, tmp_path, seeds=3) == len(specs) == 216  # and no run was made
    page = build_report(tmp_path).read_text(encoding="utf-8")
    assert "216 of 216 runs are in this report" in page
    assert "1 failed" in page


def test_records_that_say_the_same_share_it(tmp_path: Path) -> None:
    write_grid(get_suite("demo"), tmp_path, seeds=2)
    results = read_results(tmp_path)
    assert results[0].versions is results[-1].versions
    assert results[0].references is results[-1].references
    same = [run for run in results if run.spec.agent == "ppo"]
    assert same[0].spec.facts is same[1].spec.facts
    assert same[0].spec.facts != results[0].spec.facts


@pytest.mark.slow
def test_ten_thousand_runs_in_a_minute_and_a_gigabyte(tmp_path: Path) -> None:
    def run(task: str) -> str:
        words = [sys.executable, str(SCRIPT), task, str(tmp_path / "grid"), "20"]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    assert int(run("write")) >= 10_000
    found = json.loads(run("measure"))
    print(found)  # for the docs; processor time, since the machine may be shared
    assert found["resume"] + found["report"] < 60
    assert found["gigabytes"] < 1

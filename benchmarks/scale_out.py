"""What a Ray cluster costs: the same grid of runs on two workers of Ray and in two processes, as a ratio of wall times.

``python -m textgym.benchmarks.scale_out`` prints it. Both are on this machine, so that only the machinery differs; they
take turns, because a busy machine changes its pace.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .comparison import compare
from .executors import Executor, LocalProcesses
from .ray_cluster import RayTasks
from .ray_connection import connected
from .suites import Entry, Suite

WORKERS = 2
BAR = 1.25


def grid(runs: int, steps: int) -> Suite:
    """So many runs of a Q-table, of so many steps each."""
    entry = Entry(agent="q_learning", steps=steps)
    return Suite(name="grid", title="Grid", entries=(entry,), seeds=tuple(range(runs)), episodes=200)


def report(*, rounds: int = 2, runs: int = 8, steps: int = 400_000) -> Iterator[str]:
    """Measures both in turn, so many times, and tells each round and the median ratio.

    Args:
        rounds: How often.
        runs: Runs of the grid.
        steps: Steps of each run.
    """
    suite, ratios = grid(runs, steps), list[float]()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as place, connected(cores=WORKERS):
        yield f"Ray's start: {time.perf_counter() - start:.1f} s, once a comparison and not in the figures below"
        for number in range(rounds):
            there = _seconds(suite, Path(place) / f"ray-{number}", RayTasks(processes=WORKERS))
            here = _seconds(suite, Path(place) / f"local-{number}", LocalProcesses(processes=WORKERS))
            ratios.append(there / here)
            yield f"{runs} runs of {steps:,} steps: Ray {there:.1f} s, local {here:.1f} s, ratio {there / here:.2f}"
    yield f"median ratio {statistics.median(ratios):.2f} (bar: {BAR})"


def _seconds(suite: Suite, out: Path, executor: Executor) -> float:
    start = time.perf_counter()
    compare(suite, out, executor=executor)
    return time.perf_counter() - start


if __name__ == "__main__":
    for line in report():
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

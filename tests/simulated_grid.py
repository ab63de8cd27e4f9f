"""A comparison of ten thousand runs that nobody trained: records as runs write them, with made-up numbers.

``python tests/simulated_grid.py write DIR 20`` writes one with twenty seeds; ``measure DIR 20`` plans it, resumes it,
reports it, and prints what that took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from textgym.benchmarks.comparison import compare
from textgym.benchmarks.ledger_file import LEDGER, line_of
from textgym.benchmarks.machine import peak_memory
from textgym.benchmarks.records import Measure, RunResult, RunSpec, versions
from textgym.benchmarks.report import build_report
from textgym.benchmarks.run_keys import seal
from textgym.benchmarks.suites import Suite, get_suite

WORDS = "the movie was really very great but its plot were not quite so dull and actors".split()
STRENGTH = {"uniform": 0.0, "q_learning": 0.35, "a2c": 0.45, "dqn": 0.55, "ppo": 0.6, "maskable_ppo": 0.65}


def write_grid(suite: Suite, out: Path, *, seeds: int) -> list[RunSpec]:
    """Fills a folder's ledger with a record for each run of a suite, one in 200 of them failed."""
    out.mkdir(parents=True, exist_ok=True)
    specs = seal(suite.specs(seeds=range(seeds)))
    rng = np.random.default_rng(0)
    with (out / LEDGER).open("wb") as file:
        for number, spec in enumerate(specs):
            file.write(line_of(record(spec, rng, fails=number % 200 == 199)))
    return specs


def record(spec: RunSpec, rng: np.random.Generator, *, fails: bool = False) -> RunResult:
    """What a run might have written."""
    task = spec.env_id.removeprefix("TextGen/").removesuffix("-v0")
    skill = STRENGTH.get(spec.agent, 0.5) + 0.1 * rng.standard_normal()
    found = RunResult(spec=spec, status="ok", task=task, level=str(spec.env.get("level", "")), training_split="train")
    found.steps, found.episodes, found.reward_calls = spec.steps, spec.steps // 6, spec.steps // 7
    found.train_seconds, found.evaluation_seconds = 10.0 * rng.random(), rng.random()
    found.cpu_seconds, found.peak_memory_bytes = 11.0, 400_000_000
    found.versions, found.curve = versions(), _curve(spec.steps, skill, rng)
    known = {"random": -2.0, "blind": -0.5, "best": 1.0, "inexact": []}
    found.references = {split: {score: dict(known) for score in ("reward", "gold")} for split in ("train", "test")}
    found.texts = {name: _texts(count, rng) for name, count in (("start", 20), ("end", 20))}
    if fails:
        found.fail(FloatingPointError("the loss is no number"), stage="learn")
        return found
    found.measures = [
        Measure(play=play, split=split, score=score, mean=3 * skill - 2, standard_error=0.1, normalized=skill, n=200)
        for split in ("train", "test")
        for play in ("greedy", "sampled")
        for score in ("reward", "gold")
    ]
    found.texts |= {name: _texts(12, rng) for name in ("greedy", "held_out")}
    return found


def _curve(steps: int, skill: float, rng: np.random.Generator) -> list[dict[str, Any]]:
    rewards = 3 * skill * np.linspace(0, 1, 50) - 2 + 0.1 * rng.standard_normal(50)
    return [
        {"steps": steps * (k + 1) // 50, "reward": reward, "gold": reward - 0.1, "n": 330, "spread": 0.4, "cut": 0.1,
         "illegal": 0.0}
        for k, reward in enumerate(rewards.tolist())
    ]  # fmt: skip


def _texts(count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    picks = rng.integers(len(WORDS), size=(count, 6)).tolist()
    return [
        {"prompt": "praise the movie", "completion": " ".join(WORDS[k] for k in row), "reward": 0.5, "gold": 0.4}
        for row in picks
    ]


def resume(suite: Suite, out: Path, *, seeds: int) -> int:
    """Plans the grid, reads what is finished and finds nothing left; returns the number of runs."""
    return len(compare(suite, out, seeds=range(seeds), processes=0, on_event=_no_run))


def _no_run(event: Any) -> None:
    assert event.kind in ("plan", "note"), event.message


def measure(suite: Suite, out: Path, *, seeds: int) -> dict[str, float]:
    """Resumes and reports a grid that was written; processor seconds of both, and gigabytes at the most."""
    start = time.process_time()
    resume(suite, out, seeds=seeds)
    middle = time.process_time()
    build_report(out)
    return {"resume": middle - start, "report": time.process_time() - middle, "gigabytes": peak_memory() / 1e9}


def main(out: Path, seeds: int, *, write: bool) -> None:
    """Writes the grid, or measures it: in two processes, so that the memory is that of a user's."""
    suite = get_suite("full")
    if write:
        print(len(write_grid(suite, out, seeds=seeds)))
    else:
        print(json.dumps(measure(suite, out, seeds=seeds)))


if __name__ == "__main__":
    main(Path(sys.argv[2]), int(sys.argv[3]), write=sys.argv[1] == "write")

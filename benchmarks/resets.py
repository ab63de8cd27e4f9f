"""What a reset costs with many prompts against few, in memory and on disk, as ratios within one run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium as gym
import numpy as np

import textgym  # noqa: F401 - registers the ids
from textgym.benchmarks.throughput import Run, measure
from textgym.reading import read_file
from textgym.records import Columns
from textgym.spooling import spool
from textgym.tokenizers import CharTokenizer

FEW, MANY, LANES = 1_000, 1_000_000, 1024


def resetting(prompts: Sequence[Any], lanes: int = LANES) -> Run:
    """Resets all lanes of a vector environment again and again, each time with other prompts; lanes a second."""
    envs = gym.make_vec(
        "TextGen-v0",
        num_envs=lanes,
        prompts=prompts,
        tokenizer=CharTokenizer("0123456789"),
        reward="exact_match",
        max_new_tokens=16,
    )

    def run(seconds: float) -> float:
        envs.reset(seed=0)
        resets, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds:
            envs.reset()
            resets += 1
        return resets * lanes / spent

    return run


def report(*, rounds: int = 7, seconds: float = 0.3, few: int = FEW, many: int = MANY) -> Iterator[str]:
    """Yields the lines of the report; making the environments takes longer than measuring them."""
    yield f"{'time of a reset':<47}{'best':>6}{'median':>8}  ({rounds} rounds)  {'rate':>8}"
    rows = {count: [f"{number:09d}" for number in range(count)] for count in (few, many)}
    runs = {f"memory {count}": resetting(rows[count]) for count in rows}
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for count, texts in rows.items():
            path = Path(folder) / f"{count}.txt"
            path.write_text("\n".join(texts), encoding="utf-8")
            runs[f"disk {count}"] = resetting(spool(read_file(path), Columns(), cache=Path(folder) / "cache"))
        rates = measure(runs, rounds=rounds, seconds=seconds)
    for where in ("memory", "disk"):
        small, large = rates[f"{where} {few}"], rates[f"{where} {many}"]
        best, median = small.max() / large.max(), float(np.median(small / large))  # of times, so rates upside down
        what = f"{many:,} / {few:,} prompts, {where}, {LANES} lanes"
        yield f"{what:<47}{best:6.2f}{median:8.2f}  {np.median(large):>20,.0f}/s"

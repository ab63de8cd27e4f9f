"""What metering and recording cost: a random agent's time with and without, in turn within one process.

Of writing the processor time is measured: on an idle machine that is the wall time, and on a busy one what would be.
Of the record it is the wall time, since that waits for the disk.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from textgym.agents.base import sample_uniform
from textgym.factory import EnvFactory

from .ledger_file import append
from .machine import CostClock, packages
from .meter import Meter
from .metering import MeteredFactory
from .records import RunResult, RunSpec
from .run_files import begin, publish, write_run

LANES = (64, 256, 1024)
_TOKENS_AT_ONCE = 4_096  # before it is the other kind's turn


@dataclass(frozen=True, slots=True)
class Overhead:
    """Shares of a random agent's time.

    Attributes:
        lanes: Texts written at a time.
        metering: Median over the rounds of what counting every step and text adds.
        recording: Median of what the record, the curve, the texts, the run's files and the ledger's line add.
        low: The lowest sum of the two in a round.
        high: The highest.
    """

    lanes: int
    metering: float
    recording: float
    low: float
    high: float

    def __str__(self) -> str:
        parts = f"metering {self.metering:+.1%}, recording {self.recording:+.1%}"
        total = f"together {self.metering + self.recording:+.1%} ({self.low:+.1%} to {self.high:+.1%})"
        return f"{self.lanes:>5} lanes: {parts}, {total}"


def measure(lanes: int, *, steps: int = 1_000_000, rounds: int = 5, **env: Any) -> Overhead:
    """Lets a random agent write on the native vector environment, bare and metered by turns.

    Args:
        lanes: Texts at a time.
        steps: Tokens of one round of each kind: a run of that length is metered and recorded.
        rounds: Rounds; the median is taken.
        **env: Arguments of the environment.
    """
    factory = EnvFactory("TextGen-v0", env)
    packages()  # what is installed is looked up once a process, however many runs that makes
    _round(factory, lanes, 20 * max(lanes, _TOKENS_AT_ONCE))  # warms up
    pairs = np.array([_round(factory, lanes, steps) for _ in range(rounds)])
    sums = pairs.sum(axis=1)
    metering, recording = np.median(pairs, axis=0)
    return Overhead(lanes, float(metering), float(recording), float(sums.min()), float(sums.max()))


def _round(factory: EnvFactory, lanes: int, steps: int) -> tuple[float, float]:
    """The shares that metering and recording add in one round.

    The two kinds take turns after a few milliseconds, so that whatever else the machine does meanwhile slows both. All
    stretches are summed up: what metering does only at the start, at the end or now and then counts as well.
    """
    meter, stretch = Meter(steps), max(1, _TOKENS_AT_ONCE // lanes)
    bare, metered = _writer(factory, lanes), _writer(MeteredFactory.around(factory, meter), lanes)
    seconds = [0.0, 0.0]
    for row in range(max(1, steps // (stretch * lanes))):
        for kind in (0, 1) if row % 2 else (1, 0):  # each goes first as often as the other
            seconds[kind] += (bare, metered)[kind](stretch)
    alone, counted = seconds
    return counted / alone - 1.0, _record(meter, steps) / alone


def _writer(factory: EnvFactory, lanes: int) -> Callable[[int], float]:
    """A function that writes random tokens for so many steps of all lanes, and returns the seconds."""
    envs: Any = factory.vector(lanes, autoreset_mode="SameStep")
    base, rng = envs.unwrapped, np.random.default_rng(0)
    envs.reset(seed=0)

    def write(steps: int) -> float:
        start = time.process_time()
        for _ in range(steps):
            envs.step(sample_uniform(base.action_masks(), rng))
        return time.process_time() - start

    return write


def _record(meter: Meter, steps: int) -> float:
    """Seconds of wall time that a run's record takes, from the meter to the disk."""
    spec = RunSpec(agent="uniform", env_id="TextGen-v0", steps=steps, seed=0)
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        result, clock = RunResult(spec=spec, status="ok", steps=meter.steps, episodes=meter.episodes), CostClock()
        result.reward_calls, result.curve = meter.reward_calls, meter.learning_curve()
        kept = meter.texts.describe()
        moments = kept.pop("moments")
        result.texts = kept
        folder = Path(name) / "run"
        partial = begin(folder)
        write_run(partial, result, texts=moments)
        publish(partial, folder)
        append(Path(name) / "ledger.jsonl", result)
        clock.read()
        return time.perf_counter() - start


def report(*, steps: int = 1_000_000, rounds: int = 5) -> Iterator[str]:
    """Yields a line for each number of lanes."""
    yield f"a random agent on TextGen-v0, {steps:,} tokens a run, median of {rounds} rounds by turns:"
    for lanes in LANES:
        yield str(measure(lanes, steps=steps, rounds=rounds))

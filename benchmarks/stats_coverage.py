"""How often the intervals hold the truth, by simulation, and how long a bootstrap takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial

import numpy as np

from .stats import (
    Floats,
    Method,
    Statistic,
    bootstrap_interval,
    interquartile_mean,
    mean,
    optimality_gap,
    paired_difference,
)

TABLE = "coverage of the intervals"
TASKS, SEEDS, REPLICATES = 10, 20, 50_000
COUNTS = (3, 5, 10, 20)
STATISTICS: Mapping[str, Statistic] = {
    "interquartile mean": interquartile_mean,
    "mean": mean,
    "optimality gap": optimality_gap,
}
Draw = Callable[[np.random.Generator, Floats, int], Floats]
"""``(rng, (tasks, 1) levels, seeds) -> (tasks, seeds)`` scores."""


def _normal(rng: np.random.Generator, levels: Floats, seeds: int) -> Floats:
    return levels + 0.1 * rng.standard_normal((len(levels), seeds))


def _skewed(rng: np.random.Generator, levels: Floats, seeds: int) -> Floats:
    return 1.0 - (1.0 - levels) * rng.gamma(2.0, 0.5, (len(levels), seeds))


def _stuck(rng: np.random.Generator, levels: Floats, seeds: int) -> Floats:
    lucky = rng.random((len(levels), seeds)) < 0.7
    return np.where(lucky, levels, 0.4 * levels) + 0.03 * rng.standard_normal(lucky.shape)


def _uneven(rng: np.random.Generator, levels: Floats, seeds: int) -> Floats:
    scales = np.linspace(0.01, 0.3, len(levels))[:, None]
    return levels + scales * rng.standard_normal((len(levels), seeds))


WORLDS: Mapping[str, Draw] = {
    "normal": _normal,
    "skewed towards 0": _skewed,
    "3 in 10 seeds stuck": _stuck,
    "some tasks noisier": _uneven,
}


def coverage(
    world: str,
    statistic: Statistic,
    *,
    seeds: int,
    tasks: int = TASKS,
    simulations: int = 1000,
    replicates: int = 1000,
    method: Method = "stretched",
) -> float:
    """The share of simulated experiments whose 95 % interval holds the true value.

    Args:
        world: One of :data:`WORLDS`, how scores of a task vary between seeds.
        statistic: Of all scores.
        seeds: Of each task.
        tasks: Their mean scores go from 0.1 to 0.95.
        simulations: Experiments.
        replicates: Resamples of each interval.
        method: As in :func:`textgym.benchmarks.stats.bootstrap_interval`.
    """
    rng, truth, hits = np.random.default_rng(0), _truth(world, statistic, tasks), 0
    for _ in range(simulations):
        scores = WORLDS[world](rng, _levels(tasks), seeds)
        found = bootstrap_interval(scores, rng, statistic=statistic, replicates=replicates, method=method)
        hits += found.low <= truth <= found.high
    return hits / simulations


def _levels(tasks: int) -> Floats:
    return np.linspace(0.1, 0.95, tasks)[:, None]


@cache
def _truth(world: str, statistic: Statistic, tasks: int) -> float:
    """The statistic of so many scores that it hardly varies any more."""
    return float(statistic(WORLDS[world](np.random.default_rng(1), _levels(tasks), 200_000).ravel()))


def markdown(*, simulations: int) -> Iterator[str]:
    """Lines of the table in the documentation."""
    yield f"Share of {simulations:,} simulated experiments whose 95 % interval held the true value."
    yield ""
    yield f"| statistic | tasks | scores | {' | '.join(f'{count} seeds' for count in COUNTS)} |"
    yield "|---|---|---|" + "---|" * len(COUNTS)
    for name, statistic in STATISTICS.items():
        for world in WORLDS:
            yield _row(f"{name} | {TASKS} | {world}", world, statistic, TASKS, simulations)
    for world in ("normal", "skewed towards 0"):
        yield _row(f"mean | 1 | {world}", world, mean, 1, simulations)
    plain = "interquartile mean, plain percentiles"
    yield _row(f"{plain} | {TASKS} | normal", "normal", interquartile_mean, TASKS, simulations, method="percentile")


def _row(
    head: str, world: str, statistic: Statistic, tasks: int, simulations: int, *, method: Method = "stretched"
) -> str:
    shares = [
        coverage(world, statistic, seeds=seeds, tasks=tasks, simulations=simulations, method=method) for seeds in COUNTS
    ]
    return f"| {head} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |"


def report(*, rounds: int = 3) -> Iterator[str]:
    """Lines of a table: seconds of one interval with 50,000 replicates of 10 tasks and 20 seeds."""
    rng = np.random.default_rng(0)
    scores, others = rng.random((TASKS, SEEDS)), rng.random((TASKS, SEEDS))
    yield f"{REPLICATES:,} replicates of {TASKS} tasks x {SEEDS} seeds; the median of {rounds} rounds"
    yield f"{'interval':<28} {'seconds':>8}"
    for name, statistic in STATISTICS.items():
        seconds = _seconds(partial(bootstrap_interval, scores, rng, statistic=statistic), rounds)
        yield f"{name:<28} {seconds:>8.2f}"
    yield f"{'paired difference':<28} {_seconds(partial(paired_difference, scores, others, rng), rounds):>8.2f}"


def _seconds(measured: Callable[[], object], rounds: int) -> float:
    found = []
    for _ in range(rounds):
        begin = time.perf_counter()
        measured()
        found.append(time.perf_counter() - begin)
    return sorted(found)[rounds // 2]

"""Statistics for a handful of runs: robust averages, bootstrap intervals, paired comparisons.

Scores come as *strata*: one array of scores (one a seed) for each task, or a ``(tasks, seeds)`` array.
Resampling draws seeds within each task and never mixes tasks, after Agarwal et al. 2021, "Deep
reinforcement learning at the edge of the statistical precipice". Higher scores are better throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textgym.errors import ConfigurationError

Floats = NDArray[np.float64]
Strata = Sequence[ArrayLike] | NDArray[Any]
Statistic = Callable[[Floats], Floats]
"""Reduces the last axis: ``(..., n) -> (...)``."""

_CHUNK = 1 << 18  # resampled scores held at a time: few enough to stay in a processor's cache


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        estimate: The statistic of the scores themselves.
        low: Lower end.
        high: Upper end.
        n: How many scores went in.
    """

    estimate: float
    low: float
    high: float
    n: int


def mean(scores: ArrayLike) -> Floats:
    """The mean over the last axis."""
    return np.asarray(np.mean(np.asarray(scores, dtype=np.float64), axis=-1))


def median(scores: ArrayLike) -> Floats:
    """The median over the last axis."""
    return np.asarray(np.median(np.asarray(scores, dtype=np.float64), axis=-1))


def interquartile_mean(scores: ArrayLike) -> Floats:
    """The mean over the last axis after the lowest and the highest quarter are cut off.

    Whole scores are cut, ``int(n / 4)`` at either end, as in ``scipy.stats.trim_mean(scores, 0.25)``:
    with fewer than four scores it is the mean.

    Example:
        >>> float(interquartile_mean([0.0, 0.5, 0.7, 100.0]))
        0.6
    """
    values = np.asarray(scores, dtype=np.float64)
    cut = values.shape[-1] // 4
    if cut:
        values = np.sort(values, axis=-1)[..., cut : values.shape[-1] - cut]
    return np.asarray(values.mean(axis=-1))


def bootstrap_interval(
    strata: Strata,
    rng: np.random.Generator,
    *,
    statistic: Statistic = interquartile_mean,
    replicates: int = 50_000,
    confidence: float = 0.95,
) -> Interval:
    """The statistic of all scores, with a stratified percentile bootstrap interval.

    With few scores such an interval is too narrow: resampling three seeds can never leave their own
    range. The report therefore always says n.

    Args:
        strata: The scores of each task.
        rng: Draws the resamples.
        statistic: Of all scores together.
        replicates: How many resamples.
        confidence: Share of replicates inside the interval.

    Raises:
        ConfigurationError: if there is no score, or one is not finite.

    Example:
        >>> scores = [[0.8, 0.9, 1.0], [0.5, 0.6, 0.4]]
        >>> interval = bootstrap_interval(scores, np.random.default_rng(0), replicates=2000)
        >>> interval.low < interval.estimate < interval.high, interval.n
        (True, 6)
    """
    tasks = _check(strata)
    values = np.concatenate([statistic(picked) for picked in _resamples(tasks, rng, replicates)])
    return _interval(float(statistic(np.concatenate(tasks))), values, confidence, sum(map(len, tasks)))


def paired_difference(
    left: Strata,
    right: Strata,
    rng: np.random.Generator,
    *,
    statistic: Statistic = interquartile_mean,
    replicates: int = 50_000,
    confidence: float = 0.95,
) -> Interval:
    """How much better ``left`` is than ``right`` where both ran the same seeds.

    Each replicate draws the same seeds for both sides, so what a seed does to both cancels out.

    Args:
        left: Scores of each task, one a seed.
        right: The other side's scores for the same tasks and seeds, in the same order.
        rng: Draws the resamples.
        statistic: Of all scores of one side; the interval is that of the difference.
        replicates: How many resamples.
        confidence: Share of replicates inside the interval.

    Raises:
        ConfigurationError: if the two sides do not pair up.
    """
    ours, theirs = _check(left), _check(right)
    if [len(task) for task in ours] != [len(task) for task in theirs]:
        raise ConfigurationError(
            f"{[len(task) for task in ours]} and {[len(task) for task in theirs]} scores a task; "
            "paired scores need the same seeds on both sides"
        )
    both = [np.stack(pair, axis=-1) for pair in zip(ours, theirs, strict=True)]
    values = [statistic(picked[..., 0]) - statistic(picked[..., 1]) for picked in _resamples(both, rng, replicates)]
    estimate = float(statistic(np.concatenate(ours)) - statistic(np.concatenate(theirs)))
    return _interval(estimate, np.concatenate(values), confidence, sum(map(len, ours)))


def probability_of_improvement(
    left: Strata,
    right: Strata,
    rng: np.random.Generator,
    *,
    replicates: int = 10_000,
    confidence: float = 0.95,
) -> Interval:
    """How probable it is that a run of ``left`` beats a run of ``right`` on a task drawn at random.

    Ties count half (the Mann-Whitney U statistic over all pairs of runs), averaged over the tasks; the
    two sides may have different numbers of seeds.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> probability_of_improvement([[0.9, 0.8]], [[0.1, 0.8]], rng, replicates=100).estimate
        0.875
    """
    ours, theirs = _check(left), _check(right)
    if len(ours) != len(theirs):
        raise ConfigurationError(f"{len(ours)} and {len(theirs)} tasks; expected the same tasks on both sides")
    wins = [_wins(one, other) for one, other in zip(ours, theirs, strict=True)]
    values = np.mean([_resample_pairs(table, rng, replicates) for table in wins], axis=0)
    n = sum(map(len, ours)) + sum(map(len, theirs))
    return _interval(float(np.mean([table.mean() for table in wins])), values, confidence, n)


def _check(strata: Strata) -> list[Floats]:
    tasks = [np.asarray(task, dtype=np.float64) for task in strata]
    if not tasks or any(task.ndim != 1 or not len(task) for task in tasks):
        raise ConfigurationError("expected scores as one list a task, each with at least one score")
    if not all(np.isfinite(task).all() for task in tasks):
        raise ConfigurationError("a score is not finite; failed runs have no score, leave them out and count them")
    return tasks


def _resamples(tasks: Sequence[Floats], rng: np.random.Generator, replicates: int) -> Iterator[Floats]:
    """Yields chunks ``(replicates of the chunk, n, ...)`` of scores drawn with replacement within tasks."""
    total = sum(map(len, tasks))
    chunk = max(1, _CHUNK // total)
    for start in range(0, replicates, chunk):
        count = min(chunk, replicates - start)
        yield np.concatenate([task[rng.integers(len(task), size=(count, len(task)))] for task in tasks], axis=1)


def _wins(ours: Floats, theirs: Floats) -> Floats:
    return np.greater.outer(ours, theirs) + 0.5 * np.equal.outer(ours, theirs)


def _resample_pairs(wins: Floats, rng: np.random.Generator, replicates: int) -> Floats:
    ours, theirs = wins.shape
    rows = rng.integers(ours, size=(replicates, ours, 1))
    columns = rng.integers(theirs, size=(replicates, 1, theirs))
    return np.asarray(wins[rows, columns].mean(axis=(1, 2)))


def _interval(estimate: float, values: Floats, confidence: float, n: int) -> Interval:
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(values, (tail, 1.0 - tail)).tolist()
    return Interval(estimate, low, high, n)

"""Statistics for a handful of runs: robust averages, bootstrap intervals, paired comparisons.

Scores come as *strata*: one array of scores (one a seed) for each task, or a ``(tasks, seeds)`` array.
Resampling draws seeds within each task and never mixes tasks, after Agarwal et al. 2021, "Deep
reinforcement learning at the edge of the statistical precipice". Higher scores are better throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from textgym.errors import ConfigurationError

from .stats_resampling import (
    Floats,
    Interval,
    Method,
    Spread,
    Statistic,
    Strata,
    check_draws,
    check_strata,
    interval_of,
    resamples,
    spread_of,
    spread_of_influences,
    spread_of_trimmed_mean,
)

__all__ = [
    "Floats",
    "Interval",
    "Method",
    "Statistic",
    "Strata",
    "aggregates",
    "bootstrap_interval",
    "interquartile_mean",
    "mean",
    "median",
    "optimality_gap",
    "over_task_means",
    "paired_difference",
    "probability_of_improvement",
]

_MANY = 200  # scores from which on one sort for all is faster than one for each


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


def optimality_gap(scores: ArrayLike, target: float = 1.0) -> Floats:
    """How far the scores of the last axis fall short of a target on average; lower is better.

    What lies above the target does not make up for what lies below it.

    Example:
        >>> round(float(optimality_gap([0.5, 0.9, 3.0])), 6)
        0.2
    """
    values = np.minimum(np.asarray(scores, dtype=np.float64), target)
    return np.asarray(target - values.mean(axis=-1))


def over_task_means(statistic: Statistic, strata: Strata) -> Statistic:
    """The statistic of the means of the tasks, such as the median task, instead of that of all scores.

    Args:
        statistic: Reduces the last axis.
        strata: The scores that it will be used on; only their numbers matter.

    Returns:
        A statistic of all scores, task after task.

    Example:
        >>> scores = [[0.0, 1.0], [0.9, 0.9], [1.0, 1.0]]
        >>> float(over_task_means(median, scores)(np.concatenate(scores)))
        0.9
    """
    sizes = np.array([len(task) for task in check_strata(strata)])
    starts = np.cumsum(sizes) - sizes

    def reduce(scores: Floats) -> Floats:
        return statistic(np.add.reduceat(scores, starts, axis=-1) / sizes)

    return reduce


def bootstrap_interval(
    strata: Strata,
    rng: np.random.Generator,
    *,
    statistic: Statistic = interquartile_mean,
    replicates: int = 50_000,
    confidence: float = 0.95,
    method: Method = "stretched",
) -> Interval:
    """The statistic of all scores, with a stratified bootstrap interval.

    The percentile interval of few seeds is too narrow. "stretched" corrects it for the number of seeds;
    the page on statistics says how often it then holds the truth. A task with one seed adds nothing to the
    width, so scores with one seed everywhere have an interval of no width: the report always says n.

    Args:
        strata: The scores of each task.
        rng: Draws the resamples.
        statistic: Of all scores together.
        replicates: How many resamples.
        confidence: How often the interval is to hold the truth.
        method: "stretched", or "percentile" as in the paper.

    Raises:
        ConfigurationError: if there is no score, or one is not finite.

    Example:
        >>> scores = [[0.8, 0.9, 1.0], [0.5, 0.6, 0.4]]
        >>> interval = bootstrap_interval(scores, np.random.default_rng(0), replicates=2000)
        >>> interval.low < interval.estimate < interval.high, interval.n
        (True, 6)
    """
    check_draws(replicates, confidence)
    tasks = check_strata(strata)
    values = np.concatenate([statistic(picked) for picked in resamples(tasks, rng, replicates)])
    estimate, n = float(statistic(np.concatenate(tasks))), sum(map(len, tasks))
    return interval_of(estimate, values, _spread_of(tasks, statistic), n=n, confidence=confidence, method=method)


def _spread_of(tasks: Sequence[Floats], statistic: Statistic) -> Spread:
    n = sum(map(len, tasks))
    if statistic is interquartile_mean and n > _MANY:
        return spread_of_trimmed_mean(tasks, n // 4)
    return spread_of(tasks, statistic)


def aggregates(
    strata: Strata, rng: np.random.Generator, *, replicates: int = 50_000, confidence: float = 0.95
) -> dict[str, Interval]:
    """The four numbers that Agarwal et al. (2021) report, with their intervals.

    The median is that of the means of the tasks; the other three are of all scores.

    Args:
        strata: Normalised scores of each task.
        rng: Draws the resamples.
        replicates: How many resamples for each number.
        confidence: How often an interval is to hold the truth.

    Returns:
        "interquartile mean", "median", "mean" and "optimality gap", of which the last is better when lower.
    """
    statistics: dict[str, Statistic] = {
        "interquartile mean": interquartile_mean,
        "median": over_task_means(median, strata),
        "mean": mean,
        "optimality gap": optimality_gap,
    }
    return {
        name: bootstrap_interval(strata, rng, statistic=statistic, replicates=replicates, confidence=confidence)
        for name, statistic in statistics.items()
    }


def paired_difference(
    left: Strata,
    right: Strata,
    rng: np.random.Generator,
    *,
    statistic: Statistic = interquartile_mean,
    replicates: int = 50_000,
    confidence: float = 0.95,
    method: Method = "stretched",
) -> Interval:
    """How much better ``left`` is than ``right`` where both ran the same seeds.

    Each replicate draws the same seeds for both sides, so what a seed does to both cancels out.

    Args:
        left: Scores of each task, one a seed.
        right: The other side's scores for the same tasks and seeds, in the same order.
        rng: Draws the resamples.
        statistic: Of all scores of one side; the interval is that of the difference.
        replicates: How many resamples.
        confidence: How often the interval is to hold the truth.
        method: As in :func:`bootstrap_interval`.

    Raises:
        ConfigurationError: if the two sides do not pair up.
    """
    check_draws(replicates, confidence)
    ours, theirs = check_strata(left), check_strata(right)
    if [len(task) for task in ours] != [len(task) for task in theirs]:
        raise ConfigurationError(
            f"{[len(task) for task in ours]} and {[len(task) for task in theirs]} scores a task; "
            "paired scores need the same seeds on both sides"
        )

    def difference(pairs: Floats) -> Floats:
        return statistic(pairs[..., 0]) - statistic(pairs[..., 1])

    both = [np.stack(pair, axis=-1) for pair in zip(ours, theirs, strict=True)]
    values = np.concatenate([difference(picked) for picked in resamples(both, rng, replicates)])
    estimate, n = float(difference(np.concatenate(both))), sum(map(len, ours))
    return interval_of(estimate, values, spread_of(both, difference), n=n, confidence=confidence, method=method)


def probability_of_improvement(
    left: Strata,
    right: Strata,
    rng: np.random.Generator,
    *,
    replicates: int = 10_000,
    confidence: float = 0.95,
    method: Method = "stretched",
) -> Interval:
    """How probable it is that a run of ``left`` beats a run of ``right`` on a task drawn at random.

    Ties count half (the Mann-Whitney U statistic over all pairs of runs), averaged over the tasks; the
    two sides may have different numbers of seeds. Where every run of one side beats every run of the
    other, the interval has no width; :func:`textgym.benchmarks.stats_tests.improvement_test` says how
    much that is worth.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> probability_of_improvement([[0.9, 0.8]], [[0.1, 0.8]], rng, replicates=100).estimate
        0.875
    """
    check_draws(replicates, confidence)
    ours, theirs = check_strata(left), check_strata(right)
    if len(ours) != len(theirs):
        raise ConfigurationError(f"{len(ours)} and {len(theirs)} tasks; expected the same tasks on both sides")
    wins = [win_table(one, other) for one, other in zip(ours, theirs, strict=True)]
    values = np.mean([_resample_pairs(table, rng, replicates) for table in wins], axis=0)
    influences = [(table.mean(axis=side) - table.mean()) / table.shape[1 - side] for table in wins for side in (1, 0)]
    found = interval_of(
        float(np.mean([table.mean() for table in wins])),
        values,
        spread_of_influences(influences),
        n=sum(map(len, ours)) + sum(map(len, theirs)),
        confidence=confidence,
        method=method,
    )
    return replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))


def win_table(ours: Floats, theirs: Floats) -> Floats:
    """Who wins each pair of runs: ``(ours, theirs)`` of 1, 0 and 0.5 for a tie."""
    return np.greater.outer(ours, theirs) + 0.5 * np.equal.outer(ours, theirs)


def _resample_pairs(wins: Floats, rng: np.random.Generator, replicates: int) -> Floats:
    ours, theirs = wins.shape
    rows = rng.integers(ours, size=(replicates, ours, 1))
    columns = rng.integers(theirs, size=(replicates, 1, theirs))
    return np.asarray(wins[rows, columns].mean(axis=(1, 2)))

"""What all bootstrap intervals share: scores by task, resamples within tasks, and ends that are wide enough.

The plain percentile interval of a few seeds is too narrow: its spread is that of ``n`` scores divided by ``n``
instead of ``n - 1``, and it takes the quantiles of a normal distribution where those of Student's belong. Both
are known factors, and the intervals here are the percentile intervals *stretched* about the estimate by them
(Hesterberg 2015, "What teachers should know about the bootstrap", section 5.3, has them as the "narrowness
bias"; he widens the percentiles instead, which cannot leave the range of three seeds).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textgym.errors import ConfigurationError

from .students_t import quantile

Floats = NDArray[np.float64]
Strata = Sequence[ArrayLike] | NDArray[Any]
"""The scores of each task, one a seed."""
Statistic = Callable[[Floats], Floats]
"""Reduces the last axis: ``(..., n) -> (...)``."""
Method = Literal["stretched", "percentile"]

_ROUNDING = 1e-12  # of sums of thousands of scores
_CHUNK = 1 << 18  # resampled scores held at a time: few enough to stay in a processor's cache


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        estimate: The statistic of the scores themselves.
        low: Lower end.
        high: Upper end.
        n: How many scores went in.
        standard_error: Of the estimate, corrected for few seeds; 0 where there was nothing to resample.
        degrees: Degrees of freedom of that standard error.
    """

    estimate: float
    low: float
    high: float
    n: int
    standard_error: float = 0.0
    degrees: float = np.inf


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """How much less than the truth the resamples of few seeds vary.

    Attributes:
        factor: What their standard deviation is to be multiplied by.
        degrees: Degrees of freedom, by Welch's formula.
    """

    factor: Floats
    degrees: Floats

    def stretch(self, confidence: float) -> Floats:
        """The factor by which a percentile interval is widened."""
        upper = (1.0 + confidence) / 2
        students = [quantile(upper, float(degrees)) for degrees in self.degrees.ravel()]
        return self.factor * np.reshape(students, self.degrees.shape) / NormalDist().inv_cdf(upper)


def check_strata(strata: Strata, *, dimensions: int = 1) -> list[Floats]:
    """The scores of each task as arrays of so many dimensions.

    Raises:
        ConfigurationError: if there is no score, or one is not finite.
    """
    tasks = [np.asarray(task, dtype=np.float64) for task in strata]
    if not tasks or any(task.ndim != dimensions or not task.size for task in tasks):
        raise ConfigurationError("expected scores as one list a task, each with at least one score")
    if not all(np.isfinite(task).all() for task in tasks):
        raise ConfigurationError("a score is not finite; failed runs have no score, leave them out and count them")
    return tasks


def check_draws(replicates: int, confidence: float) -> None:
    """Refuses numbers that make no interval.

    Raises:
        ConfigurationError: for no replicate, and a confidence outside 0 to 1.
    """
    if replicates < 1 or not 0.0 < confidence < 1.0:
        raise ConfigurationError(
            f"replicates={replicates}, confidence={confidence}: expected at least 1 and a share between 0 and 1"
        )


def resamples(tasks: Sequence[Floats], rng: np.random.Generator, replicates: int) -> Iterator[Floats]:
    """Yields chunks ``(replicates of the chunk, n, ...)`` of scores drawn with replacement within tasks."""
    total = sum(task.size for task in tasks)
    chunk = max(1, _CHUNK // total)
    for start in range(0, replicates, chunk):
        count = min(chunk, replicates - start)
        yield np.concatenate([task[rng.integers(len(task), size=(count, len(task)))] for task in tasks], axis=1)


def spread_of(tasks: Sequence[Floats], statistic: Callable[[Floats], Floats]) -> Spread:
    """How far resamples of these tasks fall short of the truth.

    The influence of a score is what changes when the mean of its task stands in its place.

    Args:
        tasks: ``(seeds, ...)`` for each task.
        statistic: ``(B, all seeds, ...) -> (B, ...)``.
    """
    pooled, means = _with_means(tasks)
    whole = statistic(pooled[None])[0]
    influences = np.concatenate([whole - statistic(block) for block in _replaced(pooled, means)])
    return spread_of_influences(np.split(influences, _ends(tasks)))


def spread_of_trimmed_mean(tasks: Sequence[Floats], cut: int) -> Spread:
    """:func:`spread_of` of a mean that is taken after ``cut`` scores are left out at either end, with one sort.

    Thousands of scores would take the square of their number otherwise.

    Args:
        tasks: ``(seeds,)`` for each task.
        cut: At least 1.
    """
    pooled, means = _with_means(tasks)
    order = np.argsort(pooled, kind="stable")
    ordered, ranks = pooled[order], np.empty(len(pooled), dtype=np.int64)
    ranks[order] = np.arange(len(pooled))
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    # The score at its rank goes, the mean comes in; between the cuts stand those others, and perhaps the mean.
    places = np.searchsorted(ordered, means, side="left")
    places -= ranks < places
    first = np.where(places < cut, cut - 1, cut)
    last = np.where(places < len(pooled) - cut, len(pooled) - cut - 2, len(pooled) - cut - 1)
    last = np.where(places < cut, len(pooled) - cut - 2, last)
    inside = (places >= cut) & (places < len(pooled) - cut)
    left, right = first + (ranks <= first), last + (ranks <= last)  # in the order with the score that goes
    kept = sums[right + 1] - sums[left] - np.where((left < ranks) & (ranks < right), pooled, 0.0)
    whole = sums[len(pooled) - cut] - sums[cut]
    influences = (whole - kept - np.where(inside, means, 0.0)) / (len(pooled) - 2 * cut)
    influences[np.abs(influences) <= _ROUNDING * max(1.0, float(np.abs(pooled).max()))] = 0.0
    return spread_of_influences(np.split(influences, _ends(tasks)))


def _with_means(tasks: Sequence[Floats]) -> tuple[Floats, Floats]:
    """All scores, and for each of them the mean of its task."""
    means = np.concatenate([np.broadcast_to(task.mean(axis=0), task.shape) for task in tasks])
    return np.concatenate(tasks), means


def _ends(tasks: Sequence[Floats]) -> NDArray[np.int64]:
    return np.cumsum([len(task) for task in tasks])[:-1]


def resampled_shares(tasks: Sequence[NDArray[np.bool_]], rng: np.random.Generator, replicates: int) -> Floats:
    """The share of True in resamples: ``(seeds, K)`` for each task -> ``(replicates, K)``.

    The same draws and numbers as the means of what :func:`resamples` yields: scores are counted, not copied.
    """
    sizes = [len(task) for task in tasks]
    chunk = max(1, _CHUNK // sum(task.size for task in tasks))
    counts = np.zeros((replicates, sum(sizes)))
    for start in range(0, replicates, chunk):
        rows = np.arange(start, min(start + chunk, replicates))
        first = 0
        for size in sizes:
            picks = first + rng.integers(size, size=(len(rows), size))
            np.add.at(counts, (rows[:, None], picks), 1.0)
            first += size
    return counts @ np.concatenate(tasks).astype(np.float64) / sum(sizes)  # whole numbers: exact in any order


def spread_of_influences(influences: Sequence[Floats]) -> Spread:
    """The same from the influence of each score, ``(seeds, ...)`` for each stratum."""
    several = [part for part in influences if len(part) > 1]
    shape = influences[0].shape[1:]
    if not several:
        return Spread(np.ones(shape), np.full(shape, np.inf))
    sizes = np.array([len(part) for part in several], dtype=np.float64).reshape(-1, *[1] * len(shape))
    variances = np.stack([part.var(axis=0, ddof=1) * len(part) for part in several])
    # An average that cuts its ends off may not feel any single score: then all strata count alike.
    variances = np.where(variances.sum(axis=0) > 0.0, variances, 1.0)
    total = variances.sum(axis=0)
    seen = (variances * (sizes - 1) / sizes).sum(axis=0)
    # Satterthwaite's formula takes the squares of the variances for known, which with two degrees of freedom are
    # twice too large on average; Welch (1947) corrects that.
    degrees = total**2 / (variances**2 / (sizes + 1)).sum(axis=0) - 2.0
    return Spread(np.sqrt(total / seen), np.maximum(degrees, sizes.min() - 1.0))


def ends_of(
    estimate: Floats, replicates: Floats, spread: Spread, *, confidence: float, method: Method
) -> tuple[Floats, Floats]:
    """Lower and upper end from the statistic's resampled values ``(replicates, ...)``."""
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(replicates, (tail, 1.0 - tail), axis=0)
    if method == "percentile":
        return low, high
    stretch = spread.stretch(confidence)
    return estimate - stretch * np.maximum(estimate - low, 0.0), estimate + stretch * np.maximum(high - estimate, 0.0)


def interval_of(
    estimate: float, replicates: Floats, spread: Spread, *, n: int, confidence: float, method: Method = "stretched"
) -> Interval:
    """The interval of a single number."""
    low, high = ends_of(np.asarray(estimate), replicates, spread, confidence=confidence, method=method)
    error = float(spread.factor * replicates.std())
    return Interval(estimate, float(low), float(high), n, error, float(spread.degrees))


def _replaced(pooled: Floats, means: Floats) -> Iterator[Floats]:
    """Yields blocks of copies of the scores, in each of which one gave way to the mean of its task."""
    size = max(1, _CHUNK // pooled.size)
    for start in range(0, len(pooled), size):
        rows = np.arange(start, min(start + size, len(pooled)))
        block = np.repeat(pooled[None], len(rows), axis=0)
        block[rows - start, rows] = means[rows]
        yield block

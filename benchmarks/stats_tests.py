"""Tests of whether one agent is better than another, correction for many tests, and how many seeds it takes.

The test of improvement is exact: under the hypothesis that it makes no difference which agent a run belongs to,
every way of dealing the runs of a task out to the two agents is equally likely (Mann and Whitney 1947), and these
ways are counted instead of simulated, ties included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textgym.errors import ConfigurationError

from .stats import win_table
from .stats_resampling import Floats, Interval, Strata, check_strata
from .students_t import quantile

_MOST_RUNS = 100  # of a task, both sides together: more are not counted but approximated
_MOST_SUMS = 200_000  # different values of the statistic, likewise


@dataclass(frozen=True, slots=True)
class ImprovementTest:
    """Whether the runs of one side beat those of the other.

    Attributes:
        probability: Probability of improvement of the left side, ties counted half, averaged over the tasks.
        greater: p of the hypothesis that the left side is not better.
        less: p of the hypothesis that it is not worse.
        two_sided: Twice the smaller of these, at most 1.
        is_exact: Whether all ways of dealing the runs out were counted; else it is a normal approximation,
            corrected for ties.
    """

    probability: float
    greater: float
    less: float
    two_sided: float
    is_exact: bool


def improvement_test(left: Strata, right: Strata) -> ImprovementTest:
    """Tests the probability of improvement against one half; with one task, the Mann-Whitney test.

    Runs are dealt out anew within each task only. The sides may have different numbers of runs.

    Args:
        left: Scores of each task.
        right: The other side's scores for the same tasks.

    Raises:
        ConfigurationError: if the tasks are not the same, or a score is not finite.

    Example:
        >>> found = improvement_test([[0.7, 0.8, 0.9]], [[0.1, 0.2, 0.3]])
        >>> found.probability, found.greater, found.two_sided
        (1.0, 0.05, 0.1)
    """
    ours, theirs = check_strata(left), check_strata(right)
    if len(ours) != len(theirs):
        raise ConfigurationError(f"{len(ours)} and {len(theirs)} tasks; expected the same tasks on both sides")
    probability = float(np.mean([win_table(one, other).mean() for one, other in zip(ours, theirs, strict=True)]))
    scale = math.lcm(*(len(one) * len(other) for one, other in zip(ours, theirs, strict=True)))
    most = max(len(one) + len(other) for one, other in zip(ours, theirs, strict=True))
    is_exact = most <= _MOST_RUNS and 2 * scale * len(ours) <= _MOST_SUMS
    greater, less = _exact_tails(ours, theirs, scale) if is_exact else _normal_tails(ours, theirs, probability)
    return ImprovementTest(probability, greater, less, min(1.0, 2 * min(greater, less)), is_exact)


def _exact_tails(ours: Sequence[Floats], theirs: Sequence[Floats], scale: int) -> tuple[float, float]:
    """Probabilities of at least and at most the wins that were seen.

    Wins are counted in units of ``1 / (2 scale)`` of a task's probability of improvement.
    """
    chances, seen = np.ones(1), 0
    for one, other in zip(ours, theirs, strict=True):
        unit = scale // (len(one) * len(other))
        seen += unit * round(2 * win_table(one, other).sum())
        chances = _add(chances, _win_chances(one, other), unit)
    return min(1.0, float(chances[seen:].sum())), min(1.0, float(chances[: seen + 1].sum()))


def _add(chances: Floats, others: Floats, unit: int) -> Floats:
    """The chances of a sum of two independent numbers, of which the second comes in larger units."""
    total = np.zeros(len(chances) + unit * (len(others) - 1))
    for count in others.nonzero()[0]:
        total[unit * count : unit * count + len(chances)] += others[count] * chances
    return total


def _win_chances(ours: Floats, theirs: Floats) -> Floats:
    """The chance of each number of half wins, if the runs are dealt out at random."""
    n, runs = len(ours), np.concatenate([ours, theirs])
    ranks = _twice_midranks(runs)
    # ways[k, s] / (N over k): the share of the choices of k runs whose doubled ranks add up to s
    ways = np.zeros((n + 1, int(np.sort(ranks)[-n:].sum()) + 1))
    ways[0, 0] = 1.0
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, : ways.shape[1] - rank]
    least = n * (n + 1)  # the doubled ranks of n runs that win nothing
    return np.asarray(ways[n, least:] / math.comb(len(runs), n))


def _twice_midranks(runs: Floats) -> NDArray[np.int64]:
    _, where, counts = np.unique(runs, return_inverse=True, return_counts=True)
    lasts = np.cumsum(counts)
    return np.asarray((2 * lasts - counts + 1)[where])


def _normal_tails(ours: Sequence[Floats], theirs: Sequence[Floats], probability: float) -> tuple[float, float]:
    variances = [_variance(one, other) for one, other in zip(ours, theirs, strict=True)]
    error = math.sqrt(sum(variances)) / len(ours)
    if error == 0.0:
        return 1.0, 1.0  # all runs are alike
    greater = NormalDist().cdf((0.5 - probability) / error)
    return greater, 1.0 - greater


def _variance(ours: Floats, theirs: Floats) -> float:
    """The variance of a task's probability of improvement if the runs are dealt out at random."""
    n, m = len(ours), len(theirs)
    _, counts = np.unique(np.concatenate([ours, theirs]), return_counts=True)
    counts = counts.astype(np.float64)
    ties = float((counts**3 - counts).sum()) / max(1, (n + m) * (n + m - 1))
    return (n + m + 1 - ties) / (12 * n * m)


def holm(p_values: ArrayLike) -> Floats:
    """Corrects the p values of a family of tests, in their order (Holm 1979).

    A test is significant at 5 % if its corrected p is at most 0.05; the chance that any of those is a false
    alarm is then at most 5 %, however the tests hang together.

    Raises:
        ConfigurationError: for something that is no p value.

    Example:
        >>> holm([0.04, 0.01, 0.03]).tolist()
        [0.06, 0.03, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0.0) & (values <= 1.0)).all():
        raise ConfigurationError(f"p values {values.tolist()}: expected a list of numbers from 0 to 1")
    order = np.argsort(values, kind="stable")
    steps = values[order] * np.arange(len(values), 0, -1)
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(values) else steps
    return corrected


def smallest_p(left: int, right: int) -> float:
    """The smallest two-sided p that so many runs a side can have on one task: every run beats every other.

    Example:
        >>> smallest_p(3, 3), round(smallest_p(5, 5), 4)
        (0.1, 0.0079)
    """
    return min(1.0, 2 / math.comb(left + right, left))


def detectable_difference(
    found: Interval, seeds: int, *, at: int | None = None, power: float = 0.8, confidence: float = 0.95
) -> float:
    """The smallest true difference that so many seeds would find in a given share of experiments.

    The standard error of the difference falls with the square root of the number of seeds. A difference is
    found where it is at least ``(t(confidence) + t(power))`` standard errors, with the quantiles of Student's t
    (Snedecor and Cochran, "Statistical methods", chapter 6).

    Args:
        found: The difference of two agents, from :func:`textgym.benchmarks.stats.paired_difference`.
        seeds: Seeds a task that it comes from, at least 2.
        at: Seeds a task to ask about; the same by default.
        power: The share of experiments.
        confidence: Of the interval in which 0 must not lie.
    """
    at = seeds if at is None else at
    if min(seeds, at) < 2:
        raise ConfigurationError(f"{min(seeds, at)} seed a task shows no spread; expected at least 2")
    degrees = found.degrees * (at - 1) / (seeds - 1)
    error = found.standard_error * math.sqrt(seeds / at)
    return error * (quantile((1 + confidence) / 2, degrees) + quantile(power, degrees))


def seeds_needed(
    found: Interval,
    seeds: int,
    *,
    difference: float | None = None,
    power: float = 0.8,
    confidence: float = 0.95,
    most: int = 100_000,
) -> int | None:
    """How many seeds a task would show a claimed difference, by the formula of :func:`detectable_difference`.

    It assumes that the true difference and the spread of the seeds are those given; both are estimates.

    Args:
        found: The difference of two agents, from :func:`textgym.benchmarks.stats.paired_difference`.
        seeds: Seeds a task that it comes from.
        difference: What is claimed; the estimate by default.
        power: The share of experiments in which it is to be found.
        confidence: Of the interval in which 0 must not lie.
        most: No more than these.

    Returns:
        At least 2; None where even ``most`` are not enough.
    """
    claimed = abs(found.estimate if difference is None else difference)

    def shows(number: int) -> bool:
        return claimed >= detectable_difference(found, seeds, at=number, power=power, confidence=confidence)

    if claimed == 0.0 or not shows(most):
        return None
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return high

"""How far people agree: percent agreement, the kappas of Cohen and Fleiss, and Krippendorff's alpha.

The units are pairs, the raters annotators, the values which text of the pair was preferred, on whichever side it
stood. Ratings are a table ``(R, U)`` of numbers, one row a rater and one column a unit, NaN where there is none; only
units with two ratings or more say anything of agreement, so the others are left out everywhere.

Where every rating is the same, chance alone would agree as well: percent agreement is 1, and the coefficients that
correct for chance are 0 / 0, which is NaN here, with the reason beside it. As soon as two values were used, complete
agreement is 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from textgym.comparisons import Comparison
from textgym.errors import ConfigurationError
from textgym.feedback.ratings import rate

Floats = NDArray[np.float64]
Level = Literal["nominal", "ordinal"]

NO_OVERLAP = "no pair was judged by two annotators"
ALL_THE_SAME = "all judgements that can be compared are the same, so chance alone would agree as well"

_CHUNK = 1 << 21  # resampled units held at a time


@dataclass(frozen=True)
class Coefficient:
    """A measure of agreement with its interval.

    Attributes:
        value: 1 is complete agreement; NaN where it is not defined.
        low: Lower end of the bootstrap interval over units.
        high: Upper end.
        reason: Why the value is not defined; "" where it is.
    """

    value: float
    low: float
    high: float
    reason: str = ""


@dataclass(frozen=True)
class Agreement:
    """How far the annotators of some comparisons agree.

    Attributes:
        annotators: How many of them judged a pair that somebody else judged too.
        pairs: How many pairs two or more of them judged.
        ratings: How many judgements of those pairs there are.
        percent: Share of agreeing pairs of ratings, from 0 to 1.
        cohen: Mean of Cohen's kappa over all pairs of annotators.
        fleiss: Fleiss' kappa.
        nominal: Krippendorff's alpha, where one disagreement is as bad as another.
        ordinal: Krippendorff's alpha, where a tie stands between the two texts.
    """

    annotators: int
    pairs: int
    ratings: int
    percent: Coefficient
    cohen: Coefficient
    fleiss: Coefficient
    nominal: Coefficient
    ordinal: Coefficient

    @property
    def coefficients(self) -> dict[str, Coefficient]:
        """All five by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if isinstance(value, Coefficient)}


def measure_agreement(
    comparisons: Iterable[Comparison], *, replicates: int = 1000, confidence: float = 0.95, seed: int = 0
) -> Agreement:
    """All measures of agreement, each with a percentile bootstrap interval over pairs.

    Of an annotator's judgements of one pair the first counts: repeats are there to measure the annotator
    (:mod:`textgym.feedback.quality`). Attention checks are left out, since everybody is meant to agree on them, and so
    are skips. Resamples in which a coefficient is not defined are left out of its interval; with few pairs the
    interval is too narrow.

    Args:
        comparisons: In the order in which they were made.
        replicates: How many resamples; 0 for no interval.
        confidence: Share of them inside the interval.
        seed: Of the resamples.

    Example:
        >>> from textgym.comparisons import Comparison
        >>> def vote(pair, annotator, choice):
        ...     return Comparison(prompt="p", left="a", right="b", pair=pair, annotator=annotator, choice=choice)
        >>> votes = [vote("1", "ann", "left"), vote("1", "bo", "left"), vote("2", "ann", "tie"), vote("2", "bo", "tie")]
        >>> measure_agreement(votes, replicates=0).nominal.value
        1.0
    """
    votes = list(comparisons)
    nominal, ordinal = _overlapping(rate(votes)), _overlapping(rate(votes, ordinal=True))
    statistics: dict[str, tuple[Floats, Callable[[Floats], Floats]]] = {
        "percent": (nominal, partial(_percent, _count(nominal))),
        "cohen": (nominal, partial(_cohen, nominal)),
        "fleiss": (nominal, partial(_fleiss, _count(nominal))),
        "nominal": (nominal, partial(_alpha, _count(nominal), "nominal")),
        "ordinal": (ordinal, partial(_alpha, _count(ordinal), "ordinal")),
    }
    measured = {
        name: _coefficient(table, statistic, replicates=replicates, confidence=confidence, seed=seed)
        for name, (table, statistic) in statistics.items()
    }
    known = ~np.isnan(nominal)
    return Agreement(int(known.any(axis=1).sum()), nominal.shape[1], int(known.sum()), **measured)


# ---- the coefficients ---------------------------------------------------------------------------------------------


def percent_agreement(ratings: ArrayLike) -> float:
    """Share of the pairs of ratings of a unit that agree, averaged over units, from 0 to 1.

    Raises:
        ConfigurationError: for what is no table; as do the other coefficients.

    Example:
        >>> percent_agreement([[1, 2, 3, 3], [1, 2, 3, float("nan")]])
        1.0
    """
    return _plain(ratings, lambda table: partial(_percent, _count(table)))


def cohen_kappa(ratings: ArrayLike) -> float:
    """Cohen's kappa of two raters over the units that both rated; for more raters, the mean over all pairs of them.

    Cohen (1960), "A coefficient of agreement for nominal scales"; the mean over pairs is Light's (1971). Pairs of
    raters for whom it is not defined are left out. Where raters share few units, their kappas are mostly noise: then
    look at alpha instead.

    Example:
        >>> round(cohen_kappa([[1, 1, 0, 0], [1, 0, 0, 0]]), 3)
        0.5
    """
    return _plain(ratings, lambda table: partial(_cohen, table))


def fleiss_kappa(ratings: ArrayLike) -> float:
    """Fleiss' kappa: raters are interchangeable, and chance is the share of each value among all ratings.

    Fleiss (1971), "Measuring nominal scale agreement among many raters", has the same number of ratings for every unit.
    Where the numbers differ, each unit's agreement is the share of its own pairs of ratings that agree, every unit
    counts the same, and the shares of the values are taken over all ratings together.

    Example:
        >>> round(fleiss_kappa([[1, 1, 0, 0], [1, 0, 0, 0]]), 3)
        0.467
    """
    return _plain(ratings, lambda table: partial(_fleiss, _count(table)))


def krippendorff_alpha(ratings: ArrayLike, *, level: Level = "nominal") -> float:
    """Krippendorff's alpha, for any number of raters and missing ratings.

    Krippendorff (2011), "Computing Krippendorff's alpha-reliability".

    Args:
        ratings: ``(R, U)``.
        level: "nominal", where one disagreement is as bad as another, or "ordinal", where values that lie further
            apart in the ranking of all ratings disagree more.

    Example:
        >>> round(krippendorff_alpha([[1, 1, 0, 0], [1, 0, 0, 0]]), 3)
        0.533
    """
    if level not in ("nominal", "ordinal"):
        raise ConfigurationError(f"level={level!r}: expected 'nominal' or 'ordinal'")
    return _plain(ratings, lambda table: partial(_alpha, _count(table), level))


def _plain(ratings: ArrayLike, make: Callable[[Floats], Callable[[Floats], Floats]]) -> float:
    values = np.asarray(ratings, dtype=np.float64)
    if values.ndim != 2:
        raise ConfigurationError(f"ratings of shape {values.shape}: expected a table (raters, units)")
    table = _overlapping(values)
    return float(make(table)(np.ones((1, table.shape[1])))[0]) if table.size else np.nan


def _overlapping(table: Floats) -> Floats:
    return table[:, (~np.isnan(table)).sum(axis=0) > 1]


def _count(table: Floats) -> Floats:
    """``(U, V)`` how many raters gave each value to each unit."""
    values = np.unique(table[~np.isnan(table)])
    return np.asarray((table[:, :, None] == values).sum(axis=0), dtype=np.float64)


# Each of the following takes weights (B, U), how often each unit counts, and returns (B,) coefficients.


def _percent(counts: Floats, weights: Floats) -> Floats:
    number = counts.sum(axis=1)
    share = (counts * (counts - 1)).sum(axis=1) / (number * (number - 1))
    return _ratio(weights @ share, weights.sum(axis=1))


def _fleiss(counts: Floats, weights: Floats) -> Floats:
    totals = weights @ counts
    expected = (_ratio(totals, totals.sum(axis=1, keepdims=True)) ** 2).sum(axis=1)
    return _ratio(_percent(counts, weights) - expected, 1.0 - expected)


def _cohen(table: Floats, weights: Floats) -> Floats:
    values = np.unique(table[~np.isnan(table)])
    cells = table[:, :, None] == values
    sums, defined = np.zeros(len(weights)), np.zeros(len(weights))
    for one, other in combinations(range(len(table)), 2):
        both = cells[one].any(axis=1) & cells[other].any(axis=1)
        if not both.any():
            continue
        squares = cells[one][both][:, :, None] & cells[other][both][:, None, :]
        tables = (weights[:, both] @ squares.reshape(both.sum(), -1)).reshape(-1, len(values), len(values))
        total, same = tables.sum(axis=(1, 2)), tables.trace(axis1=1, axis2=2)
        chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1)
        kappa = _ratio(total * same - chance, total**2 - chance)
        known = ~np.isnan(kappa)
        sums[known] += kappa[known]
        defined += known
    return _ratio(sums, defined)


def _alpha(counts: Floats, level: Level, weights: Floats) -> Floats:
    size = counts.shape[1]
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(size)
    pairs /= counts.sum(axis=1)[:, None, None] - 1
    coincidences = (weights @ pairs.reshape(-1, size * size)).reshape(-1, size, size)
    totals = weights @ counts
    distances = np.broadcast_to(1.0 - np.eye(size), coincidences.shape)
    if level == "ordinal":
        middles = totals.cumsum(axis=1) - totals / 2
        distances = (middles[:, :, None] - middles[:, None, :]) ** 2
    observed = (coincidences * distances).sum(axis=(1, 2))
    expected = (totals[:, :, None] * totals[:, None, :] * distances).sum(axis=(1, 2))
    return 1.0 - _ratio((totals.sum(axis=1) - 1) * observed, expected)


def _ratio(upper: Floats, lower: Floats) -> Floats:
    """The quotient, NaN for 0 / 0."""
    return np.divide(upper, lower, out=np.full(np.broadcast_shapes(upper.shape, lower.shape), np.nan), where=lower != 0)


# ---- intervals ----------------------------------------------------------------------------------------------------


def _coefficient(
    table: Floats, statistic: Callable[[Floats], Floats], *, replicates: int, confidence: float, seed: int
) -> Coefficient:
    units = table.shape[1]
    if not units:
        return Coefficient(np.nan, np.nan, np.nan, NO_OVERLAP)
    value = float(statistic(np.ones((1, units)))[0])
    if np.isnan(value):
        return Coefficient(np.nan, np.nan, np.nan, ALL_THE_SAME)
    rng, chunk = np.random.default_rng(seed), max(1, _CHUNK // units)  # the same resamples for every coefficient
    sizes: Sequence[int] = [min(chunk, replicates - start) for start in range(0, replicates, chunk)]
    drawn = [statistic(_resample(rng, units, size)) for size in sizes]
    values = np.concatenate([np.empty(0), *drawn])
    values = values[~np.isnan(values)]
    if not len(values):
        return Coefficient(value, np.nan, np.nan)
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(values, (tail, 1.0 - tail)).tolist()
    return Coefficient(value, low, high)


def _resample(rng: np.random.Generator, units: int, count: int) -> Floats:
    """``(count, U)`` how often each unit was drawn."""
    cells = rng.integers(units, size=(count, units)) + units * np.arange(count)[:, None]
    return np.bincount(cells.ravel(), minlength=count * units).reshape(count, units).astype(np.float64)

"""How good predicted preferences are: log-loss, Brier score, accuracy and calibration. NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ConfigurationError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def log_loss(probabilities: Floats, outcomes: Integers) -> float:
    """The mean of minus the logarithm of the probability of what happened.

    Args:
        probabilities: ``(N, 3)`` of left, a tie and right.
        outcomes: ``(N,)`` 1 for left, 0 for a tie, -1 for right.
    """
    return float(-np.log(np.maximum(_of(probabilities, outcomes), 1e-12)).mean())


def brier_score(probabilities: Floats, outcomes: Integers) -> float:
    """The mean squared distance of the probabilities from what happened, from 0 to 2.

    Brier (1950), "Verification of forecasts expressed in terms of probability". Without ties, twice the usual score
    of two classes.
    """
    squares = (probabilities**2).sum(axis=1) - 2 * _of(probabilities, outcomes) + 1.0
    return float(squares.mean())


def hits(probabilities: Floats, outcomes: Integers) -> Floats:
    """``(N,)`` 1 where the likeliest choice was made; where several are as likely, one over their number."""
    highest = np.isclose(probabilities, probabilities.max(axis=1, keepdims=True), rtol=0.0, atol=1e-12)
    return np.asarray(_of(highest, outcomes) / highest.sum(axis=1))


def error_of_mean(values: Floats, groups: Integers) -> float:
    """The standard error of the mean of values that depend on each other within groups.

    Liang and Zeger (1986), "Longitudinal data analysis using generalized linear models": judgements of one pair are no
    independent witnesses.

    Args:
        values: ``(N,)`` for example :func:`hits`.
        groups: ``(N,)`` places of at least 0: which of them belong together.

    Example:
        >>> right = np.array([1.0, 1.0, 0.0, 0.0])
        >>> error_of_mean(right, np.array([0, 1, 2, 3])), round(error_of_mean(right, np.array([0, 0, 1, 1])), 3)
        (0.25, 0.354)
    """
    sums = np.bincount(groups, values - values.mean())
    return float(np.sqrt((sums**2).sum()) / len(values))


def _of(table: NDArray[Any], outcomes: Integers) -> Floats:
    return np.asarray(table[np.arange(len(outcomes)), 1 - outcomes], dtype=np.float64)


@dataclass(frozen=True)
class Calibration:
    """Predicted and observed shares of the text that the model favours, in bins of as many judgements each.

    Attributes:
        predicted: ``(K,)`` mean probability that the favoured text wins, from 0.5 to 1.
        observed: ``(K,)`` share of the judgements in which it won; a tie is half a win.
        counts: ``(K,)`` judgements in each bin.
    """

    predicted: tuple[float, ...]
    observed: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of both, weighted by counts."""
        gaps = np.abs(np.array(self.predicted) - np.array(self.observed))
        return float(np.average(gaps, weights=self.counts)) if self.counts else float("nan")


def calibrate(probabilities: Floats, outcomes: Integers, *, bins: int = 10) -> Calibration:
    """Compares predicted with observed shares.

    Naeini et al. (2015), "Obtaining well calibrated probabilities using Bayesian binning", with bins of equal counts.

    Args:
        probabilities: ``(N, 3)`` of left, a tie and right.
        outcomes: ``(N,)`` 1 for left, 0 for a tie, -1 for right.
        bins: K; fewer where there are too few judgements for ten in each.

    Example:
        >>> sure = np.tile([1.0, 0.0, 0.0], (40, 1))
        >>> calibrate(sure, np.where(np.arange(40) < 30, 1, -1)).error
        0.25
    """
    if bins < 1:
        raise ConfigurationError(f"bins={bins}: expected at least 1")
    left = probabilities[:, 0] + 0.5 * probabilities[:, 1]
    won = 0.5 * (outcomes + 1)
    favoured, observed = np.maximum(left, 1.0 - left), np.where(left >= 0.5, won, 1.0 - won)
    order = np.argsort(favoured, kind="stable")
    groups = [rows for rows in np.array_split(order, max(1, min(bins, len(order) // 10))) if len(rows)]
    return Calibration(
        tuple(float(favoured[rows].mean()) for rows in groups),
        tuple(float(observed[rows].mean()) for rows in groups),
        tuple(len(rows) for rows in groups),
    )


def correlate(one: Floats, other: Floats) -> float:
    """Pearson's correlation; 0 where one side does not vary.

    Example:
        >>> round(correlate(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])), 6)
        1.0
    """
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one**2).sum() * (other**2).sum()))
    return float((one * other).sum() / size) if size > 1e-12 else 0.0


def correlate_ranks(one: Floats, other: Floats) -> float:
    """Spearman's correlation; equal values share their mean rank."""
    return correlate(_rank(one), _rank(other))


def _rank(values: Floats) -> Floats:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - 0.5 * (counts - 1))[places.ravel()])

"""The model of Bradley and Terry and its fit to comparisons.

In the model of Bradley and Terry (1952, "Rank analysis of incomplete block designs") a text with score
``s`` is preferred to one with score ``t`` with probability ``1 / (1 + exp(t - s))``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ConfigurationError
from textgym.newton import Slope, minimise

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def preference_probability(left: Floats, right: Floats, *, temperature: float = 1.0) -> Floats:
    """Probability that a Boltzmann-rational judge prefers the left text, from both scores.

    Example:
        >>> preference_probability(np.array([1.0, 3.0]), np.array([1.0, 1.0])).round(3).tolist()
        [0.5, 0.881]
    """
    return sigmoid((left - right) / temperature)


def sigmoid(margins: Floats) -> Floats:
    """The logistic function, ``1 / (1 + exp(-margins))``, of numbers of any size."""
    small = np.exp(-np.abs(margins))  # never overflows
    return np.where(margins >= 0, 1.0, small) / (1.0 + small)


@dataclass(frozen=True)
class SparseRows:
    """A sparse matrix as a list of entries; entries of the same cell add up.

    Attributes:
        rows: ``(E,)`` row of each entry.
        columns: ``(E,)`` column of each entry.
        values: ``(E,)`` the entries.
        shape: Number of rows and columns.
    """

    rows: Integers
    columns: Integers
    values: Floats
    shape: tuple[int, int]

    def times(self, vector: Floats) -> Floats:
        """The matrix times a vector of ``shape[1]`` numbers."""
        return np.asarray(np.bincount(self.rows, self.values * vector[self.columns], self.shape[0]), dtype=np.float64)

    def transposed_times(self, vector: Floats) -> Floats:
        """The transposed matrix times a vector of ``shape[0]`` numbers."""
        return np.asarray(np.bincount(self.columns, self.values * vector[self.rows], self.shape[1]), dtype=np.float64)


def fit_bradley_terry(
    differences: SparseRows, *, penalty: float = 1.0, tolerance: float = 1e-7, max_iterations: int = 100
) -> Floats:
    """Fits the weights of a linear score to comparisons.

    Minimises ``sum(log(1 + exp(-x @ w))) + penalty / 2 * w @ w`` over the rows ``x`` of ``differences``:
    logistic regression without intercept, which is strictly convex. Newton's method; each step is
    solved by conjugate gradients, so that no ``(F, F)`` matrix is ever needed.

    Args:
        differences: ``(N, F)``: features of the chosen text minus features of the rejected one.
        penalty: Weight of the squared norm; must be above 0.
        tolerance: Stops once no weight can be further than this from the optimum.
        max_iterations: Newton steps at most.

    Returns:
        ``(F,)`` weights.

    Raises:
        ConfigurationError: if ``penalty`` is not above 0 or the steps did not suffice.
    """
    if not penalty > 0:
        raise ConfigurationError(
            f"penalty={penalty!r}: expected a number above 0 (without one, the optimum may be at infinity)"
        )

    # The loss curves by penalty at least, so the gradient bounds the distance to the optimum.
    return minimise(
        _Logistic(differences, penalty),
        np.zeros(differences.shape[1]),
        steepness=penalty * tolerance,
        max_iterations=max_iterations,
    )


@dataclass(frozen=True)
class _Logistic:
    """What :func:`fit_bradley_terry` minimises."""

    differences: SparseRows
    penalty: float

    def value(self, weights: Floats) -> float:
        misses = np.logaddexp(0.0, -self.differences.times(weights)).sum()
        return float(misses + 0.5 * self.penalty * (weights**2).sum())

    def slope(self, weights: Floats) -> Slope:
        rows, penalty = self.differences, self.penalty
        doubt = sigmoid(-rows.times(weights))  # the probability of the opposite choice
        spread = doubt * (1.0 - doubt)

        def curve(vector: Floats) -> Floats:
            return penalty * vector + rows.transposed_times(spread * rows.times(vector))

        shares = np.bincount(rows.columns, rows.values**2 * spread[rows.rows], rows.shape[1])
        return Slope(
            penalty * weights - rows.transposed_times(doubt), curve, np.asarray(penalty + shares, dtype=np.float64)
        )

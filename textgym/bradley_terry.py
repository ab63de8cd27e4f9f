"""The model of Bradley and Terry and its fit to comparisons.

In the model of Bradley and Terry (1952, "Rank analysis of incomplete block designs") a text with score
``s`` is preferred to one with score ``t`` with probability ``1 / (1 + exp(t - s))``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textgym.errors import ConfigurationError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def preference_probability(left: Floats, right: Floats, *, temperature: float = 1.0) -> Floats:
    """Probability that a Boltzmann-rational judge prefers the left text, from both scores.

    Example:
        >>> preference_probability(np.array([1.0, 3.0]), np.array([1.0, 1.0])).round(3).tolist()
        [0.5, 0.881]
    """
    return _sigmoid((left - right) / temperature)


def _sigmoid(margins: Floats) -> Floats:
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

    def loss(weights: Floats) -> float:
        return float(np.logaddexp(0.0, -differences.times(weights)).sum() + 0.5 * penalty * (weights**2).sum())

    weights = np.zeros(differences.shape[1])
    for _ in range(max_iterations):
        doubt = _sigmoid(-differences.times(weights))  # the probability of the opposite choice
        gradient = penalty * weights - differences.transposed_times(doubt)
        # The loss curves by penalty at least, so this bounds the distance to the optimum.
        if _norm(gradient) <= penalty * tolerance:
            return weights
        precision = max(min(0.1, 0.01 * _norm(gradient) ** 0.5) * _norm(gradient), 0.1 * penalty * tolerance)
        step = _newton_step(differences, gradient, doubt * (1.0 - doubt), penalty, precision)
        # Far away a full step can overshoot; close by, the loss cannot tell the last digits apart.
        now = loss(weights)
        while _norm(step) > 1e-3 and loss(weights + step) > now:
            step = 0.5 * step
        weights = weights + step
    raise ConfigurationError(f"no optimum within {max_iterations} steps; raise max_iterations, penalty or tolerance")


def _newton_step(differences: SparseRows, gradient: Floats, spread: Floats, penalty: float, precision: float) -> Floats:
    """Solves ``(penalty + X' diag(spread) X) step = -gradient`` by preconditioned conjugate gradients."""
    shares = differences.values**2 * spread[differences.rows]
    diagonal = penalty + np.bincount(differences.columns, shares, differences.shape[1])
    step, rest = np.zeros_like(gradient), -gradient
    direction = rest / diagonal
    fit = (rest * direction).sum()
    for _ in range(10 * len(gradient)):
        curved = penalty * direction + differences.transposed_times(spread * differences.times(direction))
        size = fit / (direction * curved).sum()
        step, rest = step + size * direction, rest - size * curved
        if _norm(rest) <= precision:
            break
        scaled = rest / diagonal
        previous, fit = fit, (rest * scaled).sum()
        direction = scaled + fit / previous * direction
    return step


def _norm(vector: Floats) -> float:
    return float(np.sqrt((vector**2).sum()))

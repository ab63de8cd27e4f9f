"""The model of Bradley and Terry, its fit, and the optimiser beneath."""

from __future__ import annotations

import math

import numpy as np
import pytest

from textgym.bradley_terry import SparseRows, fit_bradley_terry, preference_probability
from textgym.errors import ConfigurationError
from textgym.newton import Slope, minimise


def sparse(matrix: np.ndarray) -> SparseRows:
    rows, columns = np.nonzero(matrix)
    return SparseRows(rows, columns, matrix[rows, columns].astype(float), matrix.shape)


def test_preference_probability_is_symmetric_and_never_overflows() -> None:
    left, right = np.array([0.0, 1e6, -1e6, 2.0]), np.array([0.0, 0.0, 0.0, 1.0])
    chance = preference_probability(left, right)
    assert np.allclose(chance, [0.5, 1.0, 0.0, 1 / (1 + math.exp(-1))])
    assert np.allclose(chance + preference_probability(right, left), 1.0)
    assert preference_probability(left, right, temperature=2.0)[3] == pytest.approx(1 / (1 + math.exp(-0.5)))


def test_sparse_rows_multiply_like_the_dense_matrix() -> None:
    rng = np.random.default_rng(1)
    matrix = rng.integers(-1, 2, (7, 4))
    vector, other = rng.normal(size=4), rng.normal(size=7)
    assert np.allclose(sparse(matrix).times(vector), matrix @ vector)
    assert np.allclose(sparse(matrix).transposed_times(other), other @ matrix)


def test_fit_of_two_texts_is_the_log_of_the_odds() -> None:
    wins, losses = 30, 10
    weights = fit_bradley_terry(sparse(np.array([[1]] * wins + [[-1]] * losses)), penalty=1e-4, tolerance=1e-4)
    assert weights[0] == pytest.approx(math.log(wins / losses), abs=1e-4)


def test_fit_recovers_known_weights() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(size=8)
    matrix = rng.integers(-2, 3, (20_000, 8))
    chance = 1 / (1 + np.exp(-(matrix @ truth)))
    matrix[rng.random(len(matrix)) > chance] *= -1
    weights = fit_bradley_terry(sparse(matrix))
    assert np.abs(weights - truth).max() < 0.1


def test_fit_ends_where_the_gradient_vanishes_even_if_separable() -> None:
    matrix = np.array([[1, 0, 2], [1, 1, 0], [2, 1, 1]])
    weights = fit_bradley_terry(sparse(matrix), penalty=0.5, tolerance=1e-10)
    doubt = 1 / (1 + np.exp(matrix @ weights))
    assert np.allclose(0.5 * weights, doubt @ matrix, atol=1e-10)
    assert np.isfinite(weights).all()


def test_fit_says_when_it_cannot() -> None:
    with pytest.raises(ConfigurationError, match="penalty"):
        fit_bradley_terry(sparse(np.array([[1]])), penalty=0.0)
    with pytest.raises(ConfigurationError, match="no optimum within 1 steps"):
        fit_bradley_terry(sparse(np.array([[1, 2], [2, -1]])), max_iterations=1)


class Valley:
    """A smooth loss along which full Newton steps overshoot: the logarithm of a hyperbolic cosine."""

    def value(self, point: np.ndarray) -> float:
        return float(np.logaddexp(point, -point).sum())

    def slope(self, point: np.ndarray) -> Slope:
        curvature = 1.0 - np.tanh(point) ** 2
        return Slope(np.tanh(point), lambda vector: curvature * vector, curvature)


def test_newton_steps_are_shortened_where_they_would_overshoot() -> None:
    assert np.abs(minimise(Valley(), np.array([3.0, -4.0]), steepness=1e-10)).max() < 1e-9

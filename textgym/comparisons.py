"""Comparisons of two texts, simulated annotators, and the Bradley-Terry fit.

In the model of Bradley and Terry (1952, "Rank analysis of incomplete block designs") a text with score
``s`` is preferred to one with score ``t`` with probability ``1 / (1 + exp(t - s))``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from textgym.episodes import EpisodeBatch, Score
from textgym.errors import ConfigurationError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One judgement: which of two completions of the same prompt is better.

    Attributes:
        prompt: The prompt's original string.
        left: One completion as text.
        right: The other completion as text.
        choice: The better one.
        left_ids: The left completion as token ids, an end id included if it was written.
        right_ids: The right completion as token ids.
        annotator: Who judged.
        metadata: Anything else that is known about the judgement.

    Example:
        >>> Comparison(prompt="praise the movie", left="was great", right="was", choice="left").chosen
        'was great'
    """

    prompt: str
    left: str
    right: str
    choice: Literal["left", "right"]
    left_ids: tuple[int, ...] = ()
    right_ids: tuple[int, ...] = ()
    annotator: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.choice not in ("left", "right"):
            raise ConfigurationError(f"choice={self.choice!r}: expected 'left' or 'right'")

    @property
    def chosen(self) -> str:
        """The text that was preferred."""
        return self.left if self.choice == "left" else self.right

    @property
    def rejected(self) -> str:
        """The text that was not preferred."""
        return self.right if self.choice == "left" else self.left

    @property
    def chosen_ids(self) -> tuple[int, ...]:
        """The preferred completion as token ids."""
        return self.left_ids if self.choice == "left" else self.right_ids

    @property
    def rejected_ids(self) -> tuple[int, ...]:
        """The other completion as token ids."""
        return self.right_ids if self.choice == "left" else self.left_ids


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
class BoltzmannAnnotator:
    """A simulated judge that errs more often the closer two texts are.

    Attributes:
        score: What the judge values, for example a task's gold score.
        temperature: Size of the score difference at which the better text wins 73 % of the time;
            towards 0 the judge never errs.
        name: Goes into each comparison.
    """

    score: Score
    temperature: float = 1.0
    name: str = "boltzmann"

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigurationError(f"temperature={self.temperature!r}: expected a number above 0")

    def compare(self, left: EpisodeBatch, right: EpisodeBatch, rng: np.random.Generator) -> list[Comparison]:
        """Judges row ``i`` of ``left`` against row ``i`` of ``right``.

        Raises:
            ConfigurationError: if the two batches do not have the same prompts.
        """
        if not np.array_equal(left.prompt_indices, right.prompt_indices):
            raise ConfigurationError(
                "both batches must have the same prompt in each row: texts are compared per prompt"
            )
        prefers_left = rng.random(len(left)) < preference_probability(
            self.score(left), self.score(right), temperature=self.temperature
        )
        rows = zip(left.prompt_texts, left.completions, right.completions, prefers_left.tolist(), strict=True)
        return [
            Comparison(
                prompt=prompt,
                left=one,
                right=other,
                choice="left" if first else "right",
                left_ids=tuple(left.ids(row)),
                right_ids=tuple(right.ids(row)),
                annotator=self.name,
            )
            for row, (prompt, one, other, first) in enumerate(rows)
        ]


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

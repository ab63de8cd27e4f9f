"""What week 6 compares answers with: wins read from judgements, the exact fit of Bradley and Terry, and its ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from textgym.bradley_terry import preference_probability
from textgym.newton import Slope, minimise

Floats = NDArray[np.float64]


class Judgement(TypedDict):
    """What a person said of two texts, as the page of the label server stores it."""

    a: int  # number of one text
    b: int  # number of the other
    left: str  # "a" or "b": which of them stood on the left
    choice: str  # "left", "right", "tie" or "skip"


def count_wins(judgements: Sequence[Judgement], count: int) -> Floats:
    """``(count, count)`` how often the text of the row beat that of the column; a tie is half a win for both."""
    wins = np.zeros((count, count))
    for judgement in judgements:
        sides = (judgement["a"], judgement["b"])
        left, right = sides if judgement["left"] == "a" else sides[::-1]
        gained = {"left": 1.0, "right": 0.0, "tie": 0.5}.get(judgement["choice"])
        if gained is not None:
            wins[left, right] += gained
            wins[right, left] += 1.0 - gained
    return wins


def log_likelihood(scores: Floats, wins: Floats) -> float:
    """The logarithm of the probability of all these wins, in the model of Bradley and Terry."""
    return float(-(wins * np.logaddexp(0.0, scores[None, :] - scores[:, None])).sum())


class _Fit:
    """Minus the penalised likelihood, as :func:`textgym.newton.minimise` takes it."""

    def __init__(self, wins: Floats, penalty: float) -> None:
        self.wins, self.penalty = wins, penalty

    def value(self, point: Floats) -> float:
        return -log_likelihood(point, self.wins) + 0.5 * self.penalty * float(point @ point)

    def slope(self, point: Floats) -> Slope:
        chances = preference_probability(point[:, None], point[None, :])
        games = self.wins + self.wins.T
        missed = (games * chances - self.wins).sum(axis=1)
        spread = games * chances * (1.0 - chances)

        def curve(vector: Floats) -> Floats:
            return np.asarray(self.penalty * vector + spread.sum(axis=1) * vector - spread @ vector)

        return Slope(missed + self.penalty * point, curve, self.penalty + spread.sum(axis=1))


def fit_scores(wins: Floats, penalty: float) -> Floats:
    """The scores that maximise ``log_likelihood - penalty / 2 * sum of squares``, to 1e-9 or so.

    Args:
        wins: ``(N, N)`` of the row against the column.
        penalty: Above 0; it also makes the mean score 0.
    """
    steepness = 1e-11 * float(penalty + wins.sum())
    return minimise(_Fit(wins, penalty), np.zeros(len(wins)), steepness=steepness, max_iterations=200)


def accuracy_ceiling(left: Floats, right: Floats, temperature: float) -> float:
    """How often the best of all models agrees with one judgement of a Boltzmann-rational judge, on average.

    Args:
        left: ``(B,)`` true scores.
        right: ``(B,)`` true scores of the texts beside.
        temperature: Of the judge.
    """
    chances = preference_probability(left, right, temperature=temperature)
    return float(np.maximum(chances, 1.0 - chances).mean())


def accuracy(left: Floats, right: Floats, choices: Sequence[str]) -> float:
    """How often scores agree with decided choices; equal scores agree by half, ties are left out.

    Args:
        left: ``(B,)`` the model's scores.
        right: ``(B,)`` of the texts beside.
        choices: "left", "right" or anything else for each pair.
    """
    sides = np.array([{"left": 1.0, "right": -1.0}.get(choice, 0.0) for choice in choices])
    agreement = 0.5 + 0.5 * np.sign(left - right) * sides
    return float(agreement[sides != 0].mean())
